"""What a mesh answers."""

from __future__ import annotations

import pytest
import torch

from framework.structures.mesh import Mesh
from framework.toybox.evaluation.mesh_surface import MeshSurface, has_surface

# Two triangles in the plane z = 0, of areas 0.5 and 2.
VERTICES = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [7, 0, 0], [5, 2, 0]])
FACES = torch.tensor([[0, 1, 2], [3, 4, 5]])


def test_samples_are_spread_by_area() -> None:
    mesh = Mesh(VERTICES, FACES)
    points = MeshSurface(mesh).sample(5000, generator=torch.Generator().manual_seed(0))
    assert mesh.face_areas().tolist() == [0.5, 2.0]
    is_large = points[:, 0] > 4.0
    assert float(is_large.float().mean()) == pytest.approx(0.8, abs=0.02)
    # The centroid of evenly spread points is that of the triangle.
    torch.testing.assert_close(points[is_large].mean(dim=0), VERTICES[3:].mean(dim=0), rtol=0, atol=0.03)


def test_colours_are_those_of_the_nearest_point_of_the_texture() -> None:
    texture = torch.zeros(2, 2, 3)
    texture[:, 0], texture[:, 1] = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    uvs = torch.tensor([[0.0, 0], [1, 0], [0, 1]]).repeat(2, 1)
    surface = MeshSurface(Mesh(VERTICES, FACES, uvs=uvs, texture=texture))
    points = torch.tensor([[0.1, 0.1, 4.0], [6.9, 0.05, -3.0], [0.5, 0.1, 1.0]])
    expected = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0.5, 0, 0.5]])
    torch.testing.assert_close(surface.color(points), expected)
    torch.testing.assert_close(surface.distance(points), torch.tensor([4.0, 3.0, 1.0]))


def test_a_mesh_without_area_has_no_surface() -> None:
    line = Mesh(VERTICES * torch.tensor([1.0, 0.0, 0.0]), FACES)
    assert not has_surface(line) and not has_surface(Mesh(VERTICES[:0], FACES[:0]))
    with pytest.raises(ValueError, match="no area"):
        MeshSurface(line)
