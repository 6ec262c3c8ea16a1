"""Mesh files of many kinds, good and bad."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from framework.core.errors import UserError
from framework.export.gltf import write_glb
from framework.geometry import mesh_file
from framework.geometry.mesh_file import edge_face_counts, load_mesh, signed_volume, warn_of_irregular_edges, welded
from framework.structures.mesh import Mesh
from framework.structures.surface import base_color


def box(**settings: object) -> trimesh.Trimesh:
    return trimesh.creation.box(extents=(1.0, 2.0, 4.0), **settings)


def saved(mesh: trimesh.Trimesh | trimesh.Scene, path: Path) -> Path:
    mesh.export(path)
    return path


@pytest.mark.parametrize(("suffix", "extents"), [("glb", [4.0, 1.0, 2.0]), ("obj", [4.0, 1.0, 2.0])])
def test_files_with_y_up_are_turned(tmp_path: Path, suffix: str, extents: list[float]) -> None:
    mesh = load_mesh(saved(box(), tmp_path / f"box.{suffix}"))
    assert (mesh.vertices.amax(dim=0) - mesh.vertices.amin(dim=0)).tolist() == pytest.approx(extents)
    assert signed_volume(mesh) == pytest.approx(8.0)


@pytest.mark.parametrize("suffix", ["ply", "stl"])
def test_other_files_are_taken_as_they_stand(tmp_path: Path, suffix: str) -> None:
    path = saved(box(), tmp_path / f"box.{suffix}")
    assert load_mesh(path).vertices.amax(dim=0).tolist() == pytest.approx([0.5, 1.0, 2.0])
    assert load_mesh(path, up="y").vertices.amax(dim=0).tolist() == pytest.approx([2.0, 0.5, 1.0])


def test_what_export_writes_comes_back_in_its_place(tmp_path: Path) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=1)
    vertices = torch.from_numpy(sphere.vertices).float() * torch.tensor([1.0, 0.5, 0.2]) + 0.1
    mesh = Mesh(vertices, torch.from_numpy(sphere.faces).long())
    write_glb(Mesh(mesh.vertices, mesh.faces, normals=mesh.vertex_normals()), tmp_path / "model.glb")
    torch.testing.assert_close(load_mesh(tmp_path / "model.glb").vertices, vertices)


def test_size_centres_and_scales_by_the_longest_side(tmp_path: Path) -> None:
    moved = box()
    moved.apply_translation([5.0, 6.0, 7.0])
    mesh = load_mesh(saved(moved, tmp_path / "box.ply"), size=1.5)
    assert mesh.vertices.amax(dim=0).tolist() == pytest.approx([0.1875, 0.375, 0.75])
    assert mesh.vertices.amin(dim=0).tolist() == pytest.approx([-0.1875, -0.375, -0.75])


def textured(color: tuple[int, int, int], factor: list[int]) -> trimesh.Trimesh:
    square = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0], pixels[1] = color, (0, 0, 0)  # the upper half is coloured
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels), baseColorFactor=factor)
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    square.visual = trimesh.visual.TextureVisuals(uv=uvs, material=material)
    return square


def test_a_texture_is_kept_upright_and_times_its_factor(tmp_path: Path) -> None:
    path = saved(textured((200, 100, 50), [255, 128, 255, 255]), tmp_path / "square.glb")
    mesh = load_mesh(path)
    assert mesh.texture is not None and mesh.uvs is not None
    upper = mesh.vertices[mesh.faces][:, :, 2].amax(dim=1).argmax()  # file axis y becomes world axis z
    top = int(mesh.vertices[mesh.faces[upper]][:, 2].argmax())
    barycentric = torch.nn.functional.one_hot(torch.tensor([top]), 3).float()
    half = 1.055 * (128 / 255) ** (1 / 2.4) - 0.055  # factors are linear, textures are sRGB
    expected = torch.tensor([[200.0, 100.0 * half, 50.0]]) / 255
    torch.testing.assert_close(base_color(mesh, upper[None], barycentric), expected, atol=1e-3, rtol=0.0)


def test_parts_are_joined_with_the_colours_of_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = trimesh.creation.box()
    first.visual.vertex_colors = [255, 0, 0, 255]
    second = textured((0, 255, 0), [255, 255, 255, 255])
    scene = trimesh.Scene()
    scene.add_geometry(first, transform=trimesh.transformations.translation_matrix([3, 0, 0]))
    scene.add_geometry(second)
    mesh = load_mesh(saved(scene, tmp_path / "scene.glb"))
    assert len(mesh.faces) == 14 and mesh.colors is not None and mesh.texture is None
    # World axis y is file axis x: the box stands at 3.
    is_box = mesh.vertices[:, 1] > 2.0
    torch.testing.assert_close(mesh.colors[is_box], torch.tensor([[1.0, 0.0, 0.0]]).expand(int(is_box.sum()), 3))
    assert set(mesh.colors[~is_box][:, 1].round().tolist()) == {0.0, 1.0}
    assert "of its 2 parts 1 have no texture. Its texture coordinates are not kept" in caplog.text


def test_welding_joins_what_shares_a_place_and_drops_what_vanishes() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=2)
    corners = torch.from_numpy(sphere.vertices[sphere.faces].reshape(-1, 3)).float()
    faces = torch.cat([torch.arange(len(corners)).view(-1, 3), torch.tensor([[0, 0, 1]])])
    mesh = welded(Mesh(corners, faces))
    assert (len(mesh.vertices), len(mesh.faces)) == (len(sphere.vertices), len(sphere.faces))
    assert bool((edge_face_counts(mesh.faces) == 2).all())
    assert signed_volume(mesh) == pytest.approx(sphere.volume, rel=1e-5)


def test_open_and_crowded_edges_are_counted_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    fan = Mesh(torch.rand(5, 3), torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    with caplog.at_level(logging.WARNING):
        warn_of_irregular_edges(fan, "fan.obj")
    assert "fan.obj: not a closed manifold: 6 edges have one face, 1 have more than two" in caplog.text
    caplog.clear()
    sphere = trimesh.creation.icosphere(subdivisions=1)
    whole = Mesh(torch.from_numpy(sphere.vertices).float(), torch.from_numpy(sphere.faces).long())
    warn_of_irregular_edges(whole, "whole.obj")
    assert caplog.text == ""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.glb: there is no such mesh file"):
        load_mesh(tmp_path / "nowhere.glb")


def test_unknown_kinds_of_files_are_refused_with_those_that_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'.docx' is no kind of mesh file.*Use GLB, OBJ or PLY"):
        load_mesh(write(tmp_path / "shape.docx", "text"))


@pytest.mark.parametrize("suffix", ["glb", "ply"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match="cannot be read as a mesh"):
        load_mesh(write(tmp_path / f"broken.{suffix}", "nonsense"))


@pytest.mark.parametrize("text", ["", "v 0 0 0\nv 1 0 0\nv 0 1 0\n"])
def test_files_without_faces_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"holds no triangles|cannot be read"):
        load_mesh(write(tmp_path / "points.obj", text))


def test_positions_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    text = "v 0 0 nan\nv 1 0 0\nv 0 1 0\nv 0 1 inf\nf 1 2 3\nf 2 3 4\n"
    with pytest.raises(UserError, match="the positions of 2 of 4 vertices are not finite"):
        load_mesh(write(tmp_path / "nan.obj", text))


def test_too_many_faces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_file, "_MOST_FACES", 11)
    with pytest.raises(UserError, match=r"has 12 faces, more than 11. Simplify it first"):
        load_mesh(saved(box(), tmp_path / "box.ply"))


def test_a_mesh_without_extent_cannot_be_scaled(tmp_path: Path) -> None:
    path = write(tmp_path / "point.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    with pytest.raises(UserError, match="bounding box is 0 long"):
        load_mesh(path, size=1.0)
