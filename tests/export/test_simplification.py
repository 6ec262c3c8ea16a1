"""Fewer faces, the same shape."""

from __future__ import annotations

import math

import torch
import trimesh

from framework.export.simplification import decimate, smooth_normals
from framework.structures.mesh import Mesh


def icosphere(subdivisions):
    ball = trimesh.creation.icosphere(subdivisions)
    return Mesh(torch.tensor(ball.vertices, dtype=torch.float32), torch.tensor(ball.faces.copy()))


def test_a_ball_keeps_its_volume_closedness_and_normals_at_an_eighth_of_its_faces() -> None:
    simple = decimate(icosphere(4), max_faces=640)
    assert len(simple.faces) <= 640
    solid = trimesh.Trimesh(simple.vertices.numpy(), simple.faces.numpy(), process=False)
    assert solid.is_watertight
    assert math.isclose(solid.volume, 4.0 / 3.0 * math.pi, rel_tol=0.03)
    assert ((simple.normals * torch.nn.functional.normalize(simple.vertices, dim=1)).sum(dim=1) > 0.97).all()


def test_a_mesh_that_is_small_enough_keeps_its_faces_and_drops_unused_vertices() -> None:
    ball = icosphere(1)
    padded = Mesh(torch.cat([torch.full((3, 3), 9.0), ball.vertices]), ball.faces + 3)
    simple = decimate(padded, max_faces=1000)
    assert torch.equal(simple.vertices, ball.vertices) and torch.equal(simple.faces, ball.faces)


def test_every_normal_is_a_unit_vector_even_at_degenerate_faces() -> None:
    vertices = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    normals = smooth_normals(Mesh(vertices, torch.tensor([[0, 1, 2]])))
    assert torch.allclose(normals.norm(dim=1), torch.ones(3))
