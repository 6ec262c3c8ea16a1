"""Regularisers of meshes on shapes whose values are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import trimesh

from framework.core.errors import MissingBuffer
from framework.losses.mesh import Laplacian, NormalConsistency, adjacent_faces, edges, neighbour_means
from framework.structures.losses import Frame
from framework.structures.mesh import Mesh

Make = Callable[..., Frame]
SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
TWO_FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(shape.vertices).float(), torch.tensor(shape.faces))


def folded(angle: float) -> Mesh:
    """A square whose second half is turned by `angle` about the diagonal."""
    axis = torch.tensor([1.0, 1.0, 0.0]) / math.sqrt(2.0)
    away = torch.tensor([-0.5, 0.5, 0.0])
    vertices = SQUARE.clone()
    turned = math.cos(angle) * away + math.sin(angle) * torch.linalg.cross(axis, away)
    vertices[3] = torch.tensor([0.5, 0.5, 0.0]) + turned
    return Mesh(vertices, TWO_FACES)


def consistency(make_frame: Make, mesh: Mesh) -> torch.Tensor:
    return NormalConsistency(NormalConsistency.Config())(make_frame(torch.ones(1, 1), mesh=mesh)).losses[
        "normal-consistency"
    ]


def laplacian(make_frame: Make, mesh: Mesh) -> torch.Tensor:
    return Laplacian(Laplacian.Config())(make_frame(torch.ones(1, 1), mesh=mesh)).losses["laplacian"]


def test_edges_and_neighbouring_faces_of_a_closed_surface_are_all_there() -> None:
    shape = trimesh.creation.icosphere(subdivisions=2)
    mesh = mesh_of(shape)
    found = {tuple(pair) for pair in edges(mesh).tolist()}
    assert found == {tuple(sorted(pair)) for pair in shape.edges_unique.tolist()} and len(edges(mesh)) == len(found)
    pairs = {tuple(sorted(pair)) for pair in adjacent_faces(mesh).tolist()}
    assert pairs == {tuple(sorted(pair)) for pair in shape.face_adjacency.tolist()}


@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi / 2])
def test_a_fold_costs_one_minus_its_cosine(make_frame: Make, angle: float) -> None:
    assert consistency(make_frame, folded(angle)).item() == pytest.approx(1.0 - math.cos(angle), abs=1e-6)


def test_a_box_costs_two_thirds_of_its_edges(make_frame: Make) -> None:
    assert consistency(make_frame, mesh_of(trimesh.creation.box())).item() == pytest.approx(12.0 / 18.0)


def test_normals_do_not_depend_on_the_size_of_a_mesh_and_the_laplacian_grows_with_it(make_frame: Make) -> None:
    mesh = mesh_of(trimesh.creation.icosphere(subdivisions=2))
    large = Mesh(10.0 * mesh.vertices, mesh.faces)
    torch.testing.assert_close(consistency(make_frame, large), consistency(make_frame, mesh))
    torch.testing.assert_close(laplacian(make_frame, large), 10.0 * laplacian(make_frame, mesh))


def test_the_laplacian_of_a_tetrahedron_is_four_thirds_of_its_radius(make_frame: Make) -> None:
    vertices = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]))
    torch.testing.assert_close(neighbour_means(mesh), -vertices / 3.0)
    assert laplacian(make_frame, mesh).item() == pytest.approx(4.0 / 3.0 * math.sqrt(3.0))


def test_a_vertex_of_a_flat_grid_is_the_mean_of_its_neighbours_and_one_of_no_face_is_left_alone() -> None:
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    vertices = torch.stack([x, y, 0.0 * x], dim=-1).reshape(-1, 3)
    faces = [[i, i + 1, i + 4, i + 3] for i in (0, 1, 3, 4)]
    triangles = torch.tensor([[a, b, c] for a, b, c, _ in faces] + [[a, c, d] for a, _, c, d in faces])
    mesh = Mesh(torch.cat([vertices, torch.tensor([[9.0, 9.0, 9.0]])]), triangles)
    means = neighbour_means(mesh)
    torch.testing.assert_close(means[4], vertices[4])
    torch.testing.assert_close(means[9], mesh.vertices[9])


@pytest.mark.parametrize("loss", [consistency, laplacian])
def test_gradients_equal_differences(make_frame: Make, loss: Callable[[Make, Mesh], torch.Tensor]) -> None:
    mesh = mesh_of(trimesh.creation.icosphere(subdivisions=1))
    noise = 0.05 * torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(0))
    vertices = (mesh.vertices + noise).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda moved: loss(make_frame, Mesh(moved, mesh.faces)), (vertices,), fast_mode=True
    )


@pytest.mark.parametrize("loss", [consistency, laplacian])
def test_faces_without_area_and_meshes_without_faces_cost_nothing(
    make_frame: Make, loss: Callable[[Make, Mesh], torch.Tensor]
) -> None:
    flat = torch.zeros(4, 3, requires_grad=True)
    for mesh in (Mesh(flat, TWO_FACES), Mesh(flat[:0], TWO_FACES[:0])):
        value = loss(make_frame, mesh)
        value.backward()
        assert value.item() == 0.0 and flat.grad is not None and not bool(flat.grad.any())


def test_a_render_without_a_mesh_is_an_error_that_names_the_loss(make_frame: Make) -> None:
    with pytest.raises(MissingBuffer, match="loss 'laplacian': needs 'mesh'"):
        Laplacian(Laplacian.Config())(make_frame(torch.ones(1, 1)))
