"""The exporter from a scene to files."""

from __future__ import annotations

import logging

import pytest
import torch
import trimesh

from framework.core.errors import UserError
from framework.core.registries import EXPORTERS
from framework.export.loading import load_glb
from framework.export.mesh import MeshExporter
from framework.export.mesh_rendering import render_mesh
from framework.structures.views import Views

SMALL = {"resolution": 64, "max_faces": 4000, "texture_size": 256}


def two_tone_albedo(positions):
    """Red in front (+x), blue behind, and pure green deep inside, where nobody looks."""
    front = torch.tensor([0.9, 0.1, 0.1])
    back = torch.tensor([0.1, 0.1, 0.9])
    color = torch.where(positions[:, :1] > 0.0, front, back)
    return torch.where(positions.norm(dim=1, keepdim=True) < 0.3, torch.tensor([0.1, 0.9, 0.1]), color)


def hollow_ball(positions):
    """A shell from radius 0.4 to 0.6, with debris far away."""
    radius = positions.norm(dim=1)
    shell = 60.0 * torch.sigmoid((0.6 - radius) / 0.003) * torch.sigmoid((radius - 0.4) / 0.01)
    debris = 60.0 * ((positions - 0.8).norm(dim=1) < 0.04)
    return shell + debris


@pytest.fixture
def scene(make_scene):
    return make_scene(hollow_ball, two_tone_albedo)


def test_the_mesh_is_the_visible_ball_without_cavity_and_debris(scene, renderer, step) -> None:
    mesh, report = MeshExporter(MeshExporter.Config(**SMALL)).build(scene, renderer, step)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy())
    assert torch.allclose(mesh.vertices.norm(dim=1), torch.tensor(0.6), atol=2.0 / 63.0)
    assert solid.volume == pytest.approx(4.0 / 3.0 * torch.pi * 0.6**3, rel=0.08)
    assert len(mesh.faces) == report.num_faces <= 4000
    assert ((mesh.normals * mesh.vertices).sum(dim=1) > 0.0).all()
    assert report.silhouette_iou > 0.95  # the debris is missing
    assert report.psnr > 25.0


def test_both_sides_of_the_delivered_file_show_the_colours_of_the_volume(scene, renderer, step, tmp_path) -> None:
    files = MeshExporter(MeshExporter.Config(**SMALL)).export(scene, renderer, tmp_path / "mesh", step)
    assert [file.name for file in files] == ["model.glb", "model.obj", "model.mtl", "model.png", "export.json"]
    azimuth = torch.tensor([0.0, torch.pi])
    fill = torch.ones(2)
    views = Views.orbit(azimuth, 0.0 * fill, 3.0 * fill, 0.6 * fill, height=33, width=33)
    shown = render_mesh(load_glb(files[0]), views).rgb
    assert torch.allclose(shown[0, 16, 16], torch.tensor([0.9, 0.1, 0.1]), atol=0.03)
    assert torch.allclose(shown[1, 16, 16], torch.tensor([0.1, 0.1, 0.9]), atol=0.03)


def test_an_export_logs_how_it_compares_with_the_volume(scene, renderer, step, tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        MeshExporter(MeshExporter.Config(**SMALL)).export(scene, renderer, tmp_path, step)
    assert "silhouette IoU 0.9" in caplog.text and "dB" in caplog.text


def test_a_configured_threshold_is_used_as_it_is(make_scene, renderer, step) -> None:
    scene = make_scene(lambda positions: 10.0 * (1.0 - positions.norm(dim=1)).clamp_min(0.0))
    mesh, report = MeshExporter(MeshExporter.Config(threshold=7.0, **SMALL)).build(scene, renderer, step)
    assert report.threshold == 7.0
    assert torch.allclose(mesh.vertices.norm(dim=1), torch.tensor(0.3), atol=1.0 / 63.0)


def test_an_empty_field_is_a_user_error_and_touches_no_file(make_scene, renderer, step, tmp_path) -> None:
    scene = make_scene(lambda positions: torch.full((len(positions),), 0.01))
    with pytest.raises(UserError, match=r"nothing to export.*between 0.01 and 0.01.*export\.threshold"):
        MeshExporter(MeshExporter.Config(**SMALL)).export(scene, renderer, tmp_path, step)
    assert not list(tmp_path.iterdir())


def test_a_threshold_that_nothing_exceeds_is_a_user_error_with_the_field_s_range(make_scene, renderer, step) -> None:
    scene = make_scene(lambda positions: 3.0 * (positions.norm(dim=1) < 0.5))
    with pytest.raises(UserError, match=r"No density exceeds export\.threshold 5.*between 0 and 3"):
        MeshExporter(MeshExporter.Config(threshold=5.0, **SMALL)).build(scene, renderer, step)


def test_a_field_that_is_dense_only_on_the_border_of_its_cube_is_a_user_error(make_scene, renderer, step) -> None:
    scene = make_scene(lambda positions: 900.0 * (positions[:, 0] > 0.99))
    with pytest.raises(UserError, match="only on the faces of the geometry's cube"):
        MeshExporter(MeshExporter.Config(threshold=100.0, smoothing=0.0, **SMALL)).build(scene, renderer, step)


def test_space_pruned_by_the_occupancy_grid_is_not_exported(make_scene, renderer, step) -> None:
    scene = make_scene(lambda positions: 60.0 * ((positions.abs() - 0.5).norm(dim=1) < 0.25))  # eight balls
    scene.occupancy.is_occupied[:, :, :24] = False  # the lower four are never rendered
    mesh, _ = MeshExporter(MeshExporter.Config(**SMALL)).build(scene, renderer, step)
    assert mesh.vertices[:, 2].min() > 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0.0}, "threshold must be a positive density, got 0.0"),
        ({"texture_size": 1000}, "texture_size must be a power of two from 16 on, got 1000"),
        ({"smoothing": -1.0}, "must not be negative"),
        ({"resolution": 4}, "resolution must be at least 8"),
        ({"min_component_fraction": 1.0}, "min_component_fraction must lie in"),
    ],
)
def test_values_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        MeshExporter.Config(**values)


def test_the_exporter_is_registered_as_mesh() -> None:
    assert EXPORTERS.find("mesh") is MeshExporter
