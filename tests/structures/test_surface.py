"""Values at points of a surface."""

from __future__ import annotations

import torch

from framework.structures.mesh import Mesh
from framework.structures.surface import base_color, interpolate, sample_texture


def test_interpolation_blends_the_vertices_of_the_face_that_was_hit() -> None:
    values = torch.tensor([[0.0, 1.0], [4.0, 1.0], [0.0, 9.0], [7.0, 7.0]])
    faces = torch.tensor([[3, 3, 3], [0, 1, 2]])
    blended = interpolate(values, faces, torch.tensor([1, 0]), torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]))
    assert torch.allclose(blended, torch.tensor([[1.0, 3.0], [7.0, 7.0]]))


def test_texture_coordinates_start_at_the_lower_left() -> None:
    texture = torch.zeros(2, 4, 3)
    texture[1, 0] = torch.tensor([1.0, 0.5, 0.25])  # lower left texel
    at_centre = sample_texture(texture, torch.tensor([[0.125, 0.25], [0.0, 0.0], [0.25, 0.25]]))
    assert torch.allclose(at_centre, torch.tensor([[1.0, 0.5, 0.25], [1.0, 0.5, 0.25], [0.5, 0.25, 0.125]]))


def test_a_mesh_is_coloured_by_its_texture_else_by_its_vertices_else_white() -> None:
    corners, faces = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]])
    face, barycentric = torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.0]])
    colors, texture = torch.eye(3), torch.full((2, 2, 3), 0.25)
    assert base_color(Mesh(corners, faces), face, barycentric).tolist() == [[1.0, 1.0, 1.0]]
    assert base_color(Mesh(corners, faces, colors=colors), face, barycentric).tolist() == [[0.5, 0.5, 0.0]]
    textured = Mesh(corners, faces, uvs=corners[:, :2], texture=texture, colors=colors)
    assert torch.allclose(base_color(textured, face, barycentric), torch.full((1, 3), 0.25))
