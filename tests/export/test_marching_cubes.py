"""Marching cubes: orientation, position and closedness."""

from __future__ import annotations

import math

import torch
import trimesh

from framework.export.marching_cubes import marching_cubes


def test_a_single_inside_vertex_becomes_an_octahedron_cut_at_the_zero_of_each_edge() -> None:
    field = torch.full((3, 3, 3), -1.0)
    field[1, 1, 1] = 3.0
    vertices, faces = marching_cubes(field)
    assert len(faces) == 8
    expected = 1.0 + 0.75 * torch.cat([torch.eye(3), -torch.eye(3)])
    assert {tuple(row) for row in vertices.tolist()} == {tuple(row) for row in expected.tolist()}


def test_a_ball_has_its_volume_and_outward_faces() -> None:
    sizes = [33, 35, 37]
    axes = torch.meshgrid(*(torch.arange(size) - 16.3 for size in sizes), indexing="ij")
    vertices, faces = marching_cubes(12.0 - torch.stack(axes).norm(dim=0))
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight
    assert math.isclose(mesh.volume, 4.0 / 3.0 * math.pi * 12.0**3, rel_tol=0.01)
    assert torch.allclose((vertices - 16.3).norm(dim=1), torch.tensor(12.0), atol=0.05)


def test_noise_gives_a_closed_surface_that_is_wound_alike_everywhere() -> None:
    noise = torch.randn(14, 15, 16, generator=torch.Generator().manual_seed(0))
    vertices, faces = marching_cubes(torch.nn.functional.pad(noise, (1,) * 6, value=-1.0))
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0.0


def test_a_field_without_a_change_of_sign_has_no_surface() -> None:
    vertices, faces = marching_cubes(torch.full((4, 4, 4), -1.0))
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)
