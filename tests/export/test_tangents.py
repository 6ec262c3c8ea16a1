"""Tangent space against closed forms."""

from __future__ import annotations

import dataclasses

import torch

from framework.export.tangents import from_tangent_space, in_tangent_space, vertex_tangents
from framework.structures.mesh import Mesh

CORNERS = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
UPWARDS = torch.tensor([[0.0, 0.0, 1.0]])


def quad(uvs: torch.Tensor) -> Mesh:
    """A rectangle in the plane z = 0, seen from above."""
    return Mesh(CORNERS, FACES, normals=UPWARDS.expand(4, 3).contiguous(), uvs=uvs)


def test_the_tangent_points_where_u_grows_and_the_bitangent_where_v_does() -> None:
    straight = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert torch.allclose(vertex_tangents(quad(straight)), torch.tensor([1.0, 0.0, 0.0, 1.0]))
    turned = straight[[3, 0, 1, 2]]  # u grows along +y, v along -x
    assert torch.allclose(vertex_tangents(quad(turned)), torch.tensor([0.0, 1.0, 0.0, 1.0]), atol=1e-6)


def test_a_mirrored_texture_turns_the_bitangent() -> None:
    mirrored = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # u grows along -x, v along +y
    assert torch.allclose(vertex_tangents(quad(mirrored)), torch.tensor([-1.0, 0.0, 0.0, -1.0]))


def test_directions_are_split_along_tangent_bitangent_and_normal() -> None:
    mirrored = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    mesh = quad(mirrored)
    directions = torch.tensor([[0.6, 0.0, 0.8], [0.0, 0.6, 0.8]])
    face, middle = torch.tensor([0, 1]), torch.full((2, 3), 1.0 / 3.0)
    local = in_tangent_space(directions, mesh, vertex_tangents(mesh), face, middle)
    assert torch.allclose(local, torch.tensor([[-0.6, 0.0, 0.8], [0.0, 0.6, 0.8]]), atol=1e-6)


def test_leaving_tangent_space_undoes_entering_it(shiny_ball) -> None:
    generator = torch.Generator().manual_seed(0)
    face = torch.randint(len(shiny_ball.faces), (500,), generator=generator)
    shares = torch.rand(500, 3, generator=generator)
    at = (shiny_ball, vertex_tangents(shiny_ball), face, shares / shares.sum(dim=1, keepdim=True))
    directions = torch.randn(500, 3, generator=generator)
    assert torch.allclose(from_tangent_space(in_tangent_space(directions, *at), *at), directions, atol=1e-4)


def test_tangents_are_unit_vectors_in_the_plane_of_the_vertex(shiny_ball) -> None:
    tangents = vertex_tangents(shiny_ball)
    assert torch.allclose(tangents[:, :3].norm(dim=1), torch.ones(len(tangents)), atol=1e-5)
    assert float((tangents[:, :3] * shiny_ball.normals).sum(dim=1).abs().max()) < 1e-5
    assert set(tangents[:, 3].tolist()) <= {-1.0, 1.0}


def test_a_texture_without_area_still_gives_some_tangent(shiny_ball) -> None:
    lost = dataclasses.replace(shiny_ball, uvs=torch.zeros_like(shiny_ball.uvs))
    tangents = vertex_tangents(lost)[:, :3]
    assert torch.allclose(tangents.norm(dim=1), torch.ones(len(tangents)), atol=1e-5)
    assert float((tangents * lost.normals).sum(dim=1).abs().max()) < 1e-5
