"""Meshes as geometries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

from framework.core.errors import UserError
from framework.core.step import StepInfo, named_generator
from framework.geometry.mesh_file import edge_face_counts, signed_volume
from framework.geometry.surface_points import surface_points
from framework.geometry.triangle_mesh import TriangleMesh
from framework.structures.mesh import Mesh

STEP = StepInfo(0, 10)


def build(path: Path | None = None, **settings: object) -> TriangleMesh:
    config = TriangleMesh.Config(mesh=None if path is None else str(path), **settings)  # type: ignore[arg-type]
    return TriangleMesh(config, generator=named_generator(0, "mesh"), backends={})


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    """Red above, blue below; its vertices are split at every face."""
    sphere = trimesh.creation.icosphere(subdivisions=3)
    sphere = trimesh.Trimesh(
        sphere.triangles.reshape(-1, 3), np.arange(len(sphere.faces) * 3).reshape(-1, 3), process=False
    )
    is_upper = sphere.vertices[:, 2] > 0.0
    sphere.visual.vertex_colors = np.where(is_upper[:, None], [230, 40, 40, 255], [40, 40, 230, 255])
    sphere.export(tmp_path / "ball.ply")
    return tmp_path / "ball.ply"


def test_a_file_becomes_a_closed_mesh_of_the_given_size(ball: Path) -> None:
    mesh = build(ball, size=1.2, color_iterations=0).surface(STEP)
    assert bool((edge_face_counts(mesh.faces) == 2).all()) and len(mesh.vertices) == 642
    torch.testing.assert_close(mesh.vertices.norm(dim=1), torch.full((642,), 0.6), atol=1e-4, rtol=0.0)
    assert signed_volume(mesh) > 0.0


def test_without_a_file_it_is_a_sphere_half_as_wide_as_the_cube() -> None:
    mesh = build(radius=2.0).surface(STEP)
    torch.testing.assert_close(mesh.vertices.norm(dim=1), torch.ones(len(mesh.vertices)))


def test_features_learn_the_colours_of_the_file(ball: Path) -> None:
    geometry = build(ball, size=1.2, color_iterations=60)
    geometry.learn_look(torch.logit)
    _, _, points = surface_points(geometry.surface(STEP), 2000, named_generator(1, "points"))
    points = points[points[:, 2].abs() > 0.1]
    with torch.no_grad():
        colors = torch.sigmoid(geometry.features(points, STEP)[:, :3])
    upper, lower = torch.tensor([230.0, 40.0, 40.0]) / 255, torch.tensor([40.0, 40.0, 230.0]) / 255
    expected = torch.where(points[:, 2:] > 0.0, upper, lower)
    assert float((colors - expected).abs().mean()) < 0.02


def test_colours_are_left_alone_if_that_is_wished(ball: Path) -> None:
    geometry, plain = build(ball, color_iterations=0), build()
    geometry.learn_look(torch.logit)
    for part in ("encoding", "mlp"):
        for first, second in zip(getattr(geometry, part).parameters(), getattr(plain, part).parameters(), strict=True):
            assert torch.equal(first, second)


def test_vertices_are_trained_only_where_they_should_be(ball: Path) -> None:
    free, fixed = build(ball, optimize_vertices=True, color_iterations=0), build(ball, color_iterations=0)
    assert isinstance(free.vertices, nn.Parameter) and not isinstance(fixed.vertices, nn.Parameter)
    free.surface(STEP).vertices.sum().backward()
    assert free.vertices.grad is not None and bool((free.vertices.grad == 1.0).all())
    assert set(free.state_dict()) == set(fixed.state_dict())


@pytest.mark.parametrize("optimize_vertices", [False, True])
def test_a_state_with_another_mesh_brings_it_along(ball: Path, optimize_vertices: bool) -> None:
    source = build(ball, color_iterations=0)
    other = build(optimize_vertices=optimize_vertices)
    vertices = other.vertices
    other.make_room(source.state_dict())
    other.load_state_dict(source.state_dict())
    assert other.vertices is vertices  # an optimizer may hold it
    assert torch.equal(other.surface(STEP).vertices, source.surface(STEP).vertices)
    assert torch.equal(other.surface(STEP).faces, source.surface(STEP).faces)


def test_a_mesh_without_faces_is_refused() -> None:
    with pytest.raises(UserError, match="surface without faces: the shape has vanished"):
        build().take_mesh(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)))


def test_a_mesh_beyond_the_cube_is_refused_with_the_remedies(ball: Path) -> None:
    with pytest.raises(UserError, match=r"reaches 1.5 from the origin, beyond .* 1. Set geometry.size to at most 2"):
        build(ball, size=3.0)


def test_an_irregular_file_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    sheet.export(tmp_path / "sheet.ply")
    assert len(build(tmp_path / "sheet.ply").surface(STEP).faces) == 1
    assert "sheet.ply: not a closed manifold: 3 edges have one face" in caplog.text


def test_a_file_of_triangles_without_extent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 0 0\nf 1 2 3\n")
    with pytest.raises(UserError, match=r"line.obj: none of its triangles has three corners in different places"):
        build(tmp_path / "line.obj")


@pytest.mark.parametrize("settings", [{"size": 0.0}, {"color_iterations": -1}, {"radius": -1.0}])
def test_impossible_settings_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        TriangleMesh.Config(**settings)  # type: ignore[arg-type]


def test_random_points_are_uniform_by_area() -> None:
    """One triangle has three times the area of the other; within each, points average to the middle."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 0, 1], [0, 1, 1]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]))
    face, barycentric, points = surface_points(mesh, 20_000, named_generator(0, "points"))
    assert float((face == 1).float().mean()) == pytest.approx(0.75, abs=0.015)
    torch.testing.assert_close(barycentric.sum(dim=1), torch.ones(20_000))
    assert float(barycentric.min()) >= 0.0
    middle = points[face == 1].mean(dim=0)
    torch.testing.assert_close(middle, torch.tensor([1.0, 1.0 / 3.0, 1.0]), atol=0.03, rtol=0.0)
