"""The exporter from a scene to files."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
import torch
import trimesh

from framework.core.errors import UserError
from framework.core.registries import EXPORTERS
from framework.core.step import named_generator
from framework.export.loading import load_glb
from framework.export.mesh import MeshExporter
from framework.export.mesh_rendering import render_mesh
from framework.materials.physically_based import PhysicallyBased
from framework.structures.surface import interpolate, sample_texture
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


def exported(scene, renderer, step, folder, **settings):
    """The mesh in the file that was written, and what `export.json` says of it."""
    MeshExporter(MeshExporter.Config(**{**SMALL, **settings})).export(scene, renderer, folder, step)
    return load_glb(folder / "model.glb"), json.loads((folder / "export.json").read_text())


@pytest.fixture
def scene(make_scene):
    return make_scene(hollow_ball, two_tone_albedo)


def test_the_mesh_is_the_visible_ball_without_cavity_and_debris(scene, renderer, step, tmp_path) -> None:
    mesh, report = exported(scene, renderer, step, tmp_path)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy())
    assert torch.allclose(mesh.vertices.norm(dim=1), torch.tensor(0.6), atol=2.0 / 63.0)
    assert solid.volume == pytest.approx(4.0 / 3.0 * torch.pi * 0.6**3, rel=0.08)
    assert len(mesh.faces) == report["num_faces"] <= 4000
    assert ((mesh.normals * mesh.vertices).sum(dim=1) > 0.0).all()
    assert report["silhouette_iou"] > 0.95  # the debris is missing
    assert report["psnr"] > 25.0


def test_both_sides_of_the_delivered_file_show_the_colours_of_the_volume(scene, renderer, step, tmp_path) -> None:
    files = MeshExporter(MeshExporter.Config(**SMALL)).export(scene, renderer, tmp_path / "mesh", step)
    assert [file.name for file in files] == ["model.glb", "model.obj", "model.mtl", "model.png", "export.json"]
    azimuth = torch.tensor([0.0, torch.pi])
    fill = torch.ones(2)
    views = Views.orbit(azimuth, 0.0 * fill, 3.0 * fill, 0.6 * fill, height=33, width=33)
    shown = render_mesh(load_glb(files[0]), views).rgb
    assert torch.allclose(shown[0, 16, 16], torch.tensor([0.9, 0.1, 0.1]), atol=0.03)
    assert torch.allclose(shown[1, 16, 16], torch.tensor([0.1, 0.1, 0.9]), atol=0.03)


def test_a_physically_based_scene_is_delivered_with_all_its_properties(make_scene, renderer, step, tmp_path) -> None:
    def properties(positions):  # red copper in front, blue plastic behind
        side = torch.where(positions[:, :1] > 0.0, 1.0, 0.0)
        front, back = torch.tensor([0.9, 0.1, 0.1, 0.99, 0.2]), torch.tensor([0.1, 0.1, 0.9, 0.001, 0.7])
        return side * front + (1.0 - side) * back

    config = PhysicallyBased.Config(roughness_range=(0.0, 1.0), metallic_range=(0.0, 1.0))
    material = PhysicallyBased(config, num_features=5, generator=named_generator(0, "test"))
    ball = make_scene(lambda positions: 80.0 * (positions.norm(dim=1) < 0.6), properties, material)
    mesh, report = exported(ball, renderer, step, tmp_path)
    assert report["psnr"] > 25.0 and report["lit_psnr"] > 25.0
    assert mesh.surface.normal is None
    face = torch.arange(len(mesh.faces))
    middle = torch.full((len(face), 3), 1.0 / 3.0)
    positions = interpolate(mesh.vertices, mesh.faces, face, middle)
    is_clear = positions[:, 0].abs() > 0.1
    expected = material.surface(torch.logit(properties(positions), eps=1e-4), step)
    orm = sample_texture(mesh.surface.orm, interpolate(mesh.uvs, mesh.faces, face, middle))[is_clear]
    assert torch.allclose(orm[:, 0], torch.ones(len(orm)))
    assert torch.allclose(orm[:, 1], expected.roughness[is_clear], atol=0.02)
    assert torch.allclose(orm[:, 2], expected.metallic[is_clear], atol=0.02)
    assert orm[:, 2].max() > 0.9 and orm[:, 2].min() < 0.05


def test_the_report_is_on_the_file_as_it_was_written(scene, renderer, step, tmp_path, monkeypatch) -> None:
    def spoiled(path):
        mesh = load_glb(path)
        return dataclasses.replace(mesh, texture=1.0 - mesh.texture)

    _, report = exported(scene, renderer, step, tmp_path / "good")
    assert report["lit_psnr"] is None  # of a matte material
    monkeypatch.setattr("framework.export.mesh.load_glb", spoiled)
    _, other = exported(scene, renderer, step, tmp_path / "bad")
    assert other["silhouette_iou"] == report["silhouette_iou"] and other["psnr"] < report["psnr"] - 10.0


def test_the_formats_asked_for_are_written_and_no_others(scene, renderer, step, tmp_path) -> None:
    config = MeshExporter.Config(formats=("glb", "ply"), **SMALL)
    files = MeshExporter(config).export(scene, renderer, tmp_path, step)
    assert [file.name for file in files] == ["model.glb", "model.ply", "export.json"]
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_an_export_logs_how_it_compares_with_the_volume(scene, renderer, step, tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        MeshExporter(MeshExporter.Config(**SMALL)).export(scene, renderer, tmp_path, step)
    assert "silhouette IoU 0.9" in caplog.text and "dB" in caplog.text


def test_a_configured_threshold_is_used_as_it_is(make_scene, renderer, step, tmp_path) -> None:
    scene = make_scene(lambda positions: 10.0 * (1.0 - positions.norm(dim=1)).clamp_min(0.0))
    mesh, report = exported(scene, renderer, step, tmp_path, threshold=7.0)
    assert report["threshold"] == 7.0
    assert torch.allclose(mesh.vertices.norm(dim=1), torch.tensor(0.3), atol=1.0 / 63.0)


def test_an_empty_field_is_a_user_error_and_touches_no_file(make_scene, renderer, step, tmp_path) -> None:
    scene = make_scene(lambda positions: torch.full((len(positions),), 0.01))
    with pytest.raises(UserError, match=r"nothing to export.*between 0.01 and 0.01.*export\.threshold"):
        MeshExporter(MeshExporter.Config(**SMALL)).export(scene, renderer, tmp_path, step)
    assert not list(tmp_path.iterdir())


def test_a_threshold_that_nothing_exceeds_is_a_user_error_with_the_field_s_range(
    make_scene, renderer, step, tmp_path
) -> None:
    scene = make_scene(lambda positions: 3.0 * (positions.norm(dim=1) < 0.5))
    with pytest.raises(UserError, match=r"No density exceeds export\.threshold 5.*between 0 and 3"):
        exported(scene, renderer, step, tmp_path, threshold=5.0)


def test_a_field_that_is_dense_only_on_the_border_of_its_cube_is_a_user_error(
    make_scene, renderer, step, tmp_path
) -> None:
    scene = make_scene(lambda positions: 900.0 * (positions[:, 0] > 0.99))
    with pytest.raises(UserError, match="only on the faces of the geometry's cube"):
        exported(scene, renderer, step, tmp_path, threshold=100.0, smoothing=0.0)


def test_space_pruned_by_the_occupancy_grid_is_not_exported(make_scene, renderer, step, tmp_path) -> None:
    scene = make_scene(lambda positions: 60.0 * ((positions.abs() - 0.5).norm(dim=1) < 0.25))  # eight balls
    scene.occupancy.is_occupied[:, :, :24] = False  # the lower four are never rendered
    mesh, _ = exported(scene, renderer, step, tmp_path)
    assert mesh.vertices[:, 2].min() > 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0.0}, "threshold must be a positive density, got 0.0"),
        ({"texture_size": 1000}, "texture_size must be a power of two from 16 on, got 1000"),
        ({"smoothing": -1.0}, "must not be negative"),
        ({"resolution": 4}, "resolution must be at least 8"),
        ({"min_component_fraction": 1.0}, "min_component_fraction must lie in"),
        ({"formats": ("obj",)}, r"formats must contain glb.*got \['obj'\]"),
    ],
)
def test_values_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        MeshExporter.Config(**values)


def test_the_exporter_is_registered_as_mesh() -> None:
    assert EXPORTERS.find("mesh") is MeshExporter
