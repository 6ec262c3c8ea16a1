"""Texture coordinates of files, beside vertices that are welded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from meshes import icosphere

from framework.core.step import StepInfo, named_generator
from framework.export.gltf import write_glb
from framework.export.texturing import bake, unwrap
from framework.geometry.conversion import convert
from framework.geometry.mesh_file import edge_face_counts, load_mesh
from framework.geometry.surface_points import surface_points
from framework.geometry.texture_coordinates import corner_uvs, split_at_seams, warn_unless_unique
from framework.geometry.triangle_mesh import TriangleMesh
from framework.materials.physically_based import PhysicallyBased
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.surface import base_color

STEP = StepInfo(0, 10, mode="export")


@pytest.fixture(scope="module")
def asset() -> Mesh:
    """A sphere in an atlas, its texture red to the left and blue to the right."""
    sphere = Mesh(*icosphere(4, 0.6))
    mesh = unwrap(dataclasses.replace(sphere, normals=sphere.vertex_normals()), texture_size=64, padding=2)
    texture = torch.zeros(64, 64, 3)
    texture[:, :32, 0] = texture[:, 32:, 2] = 1.0
    return dataclasses.replace(mesh, texture=texture)


@pytest.fixture
def path(asset: Mesh, tmp_path: Path) -> Path:
    write_glb(asset, tmp_path / "asset.glb")
    return tmp_path / "asset.glb"


def build(path: Path | None = None, **settings: object) -> TriangleMesh:
    config = TriangleMesh.Config(mesh=None if path is None else str(path), size=None, **settings)  # type: ignore[arg-type]
    return TriangleMesh(config, generator=named_generator(0, "mesh"), backends={})


def looks(mesh: Mesh, texture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of a mesh and their colours under a texture."""
    face, barycentric, points = surface_points(mesh, 500, named_generator(1, "points"))
    return points, base_color(dataclasses.replace(mesh, texture=texture), face, barycentric)


def test_what_is_delivered_has_the_vertices_faces_and_coordinates_of_the_file(path: Path) -> None:
    loaded, geometry = load_mesh(path), build(path, color_iterations=0)
    drawn, delivered = geometry.surface(STEP), geometry.delivered(STEP)

    assert bool((edge_face_counts(drawn.faces) == 2).all()) and drawn.uvs is None
    assert len(delivered.vertices) == len(loaded.vertices) > len(drawn.vertices)
    assert delivered.uvs is not None and loaded.uvs is not None and delivered.normals is not None
    assert torch.equal(delivered.vertices[delivered.faces], loaded.vertices[loaded.faces])
    assert torch.equal(delivered.uvs[delivered.faces], loaded.uvs[loaded.faces])
    torch.testing.assert_close(delivered.normals, delivered.vertices / 0.6, atol=0.02, rtol=0.0)


@pytest.mark.parametrize("settings", [{}, {"num_features": 5}, {"optimize_vertices": True}], ids=str)
def test_coordinates_go_through_conversions_and_checkpoints(path: Path, settings: dict[str, object]) -> None:
    source = build(path, color_iterations=0)
    target = TriangleMesh.Config(size=None, **settings)  # type: ignore[arg-type]
    converted = convert(source, target, step=STEP, generator=named_generator(0, "start"), backends={})
    restored = build(**settings)
    restored.make_room(converted.state_dict())
    restored.load_state_dict(converted.state_dict())
    for geometry in (converted, restored):
        assert isinstance(geometry, TriangleMesh)
        mesh, expected = geometry.delivered(STEP), source.delivered(STEP)
        assert mesh.uvs is not None and expected.uvs is not None
        assert torch.equal(mesh.uvs, expected.uvs) and torch.equal(mesh.vertices, expected.vertices)


def test_a_mesh_without_coordinates_is_delivered_as_it_is_drawn() -> None:
    mesh = build().delivered(STEP)
    assert mesh.uvs is None and mesh.normals is None


def test_splitting_moves_no_colour(asset: Mesh) -> None:
    welded = build()
    welded.take_mesh(*_welded(asset))
    mesh = split_at_seams(welded.surface(STEP), corner_uvs(asset))
    assert asset.texture is not None
    points, colors = looks(mesh, asset.texture)
    others, expected = looks(asset, asset.texture)
    assert torch.equal(points, others) and torch.equal(colors, expected)


def _welded(mesh: Mesh) -> tuple[Mesh]:
    vertices, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    return (Mesh(vertices, index[mesh.faces]),)


@pytest.mark.parametrize(
    ("change", "share"),
    [
        (lambda uvs: 0.5 + 0.3 * (uvs - 0.5), None),
        (lambda uvs: torch.stack([(2.0 * uvs[:, 0] - 1.0).abs(), uvs[:, 1]], dim=1), "some"),  # folded in the middle
        (lambda uvs: 3.0 * uvs - 1.0, "some"),  # repeated
        (lambda uvs: torch.zeros_like(uvs), "100 %"),
    ],
    ids=["smaller", "folded", "repeated", "one texel"],
)
def test_coordinates_that_parts_of_the_surface_share_are_refused(
    asset: Mesh, change: object, share: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert asset.uvs is not None and callable(change)
    mesh = dataclasses.replace(asset, uvs=change(asset.uvs))
    assert warn_unless_unique(mesh, "asset.glb", named_generator(0, "probes")) == (share is None)
    assert ("share their texels with other parts" in caplog.text) == (share is not None)
    assert share in (None, "some") or share in caplog.text


def test_a_file_whose_coordinates_are_shared_is_delivered_without(
    asset: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert asset.uvs is not None
    write_glb(dataclasses.replace(asset, uvs=0.0 * asset.uvs), tmp_path / "flat.glb")
    assert build(tmp_path / "flat.glb", color_iterations=0).delivered(STEP).uvs is None
    assert "flat.glb: 100 % of its surface share their texels" in caplog.text


def shiny(asset: Mesh) -> Mesh:
    """The asset with a roughness and a metallic of its own."""
    orm = torch.tensor([1.0, 0.2, 0.9]).expand(32, 32, 3).contiguous()
    return dataclasses.replace(asset, surface=SurfaceTextures(orm, torch.full((32, 32, 3), 0.5)))


def test_roughness_and_metallic_of_the_file_stay_in_what_is_delivered(asset: Mesh, tmp_path: Path) -> None:
    write_glb(shiny(asset), tmp_path / "shiny.glb")
    source = build(tmp_path / "shiny.glb", color_iterations=0)
    target = TriangleMesh.Config(size=None)
    converted = convert(source, target, step=STEP, generator=named_generator(0, "start"), backends={})
    restored = build()
    restored.make_room(converted.state_dict())
    restored.load_state_dict(converted.state_dict())
    for geometry in (source, converted, restored):
        assert isinstance(geometry, TriangleMesh)
        surface = geometry.delivered(STEP).surface
        assert surface is not None and surface.normal is not None
        torch.testing.assert_close(surface.orm[0, 0], torch.tensor([1.0, 0.2, 0.9]), atol=3e-3, rtol=0.0)


def test_features_learn_what_a_physically_based_material_shows_of_the_file(asset: Mesh, tmp_path: Path) -> None:
    write_glb(shiny(asset), tmp_path / "shiny.glb")
    geometry = build(tmp_path / "shiny.glb", num_features=5, color_iterations=80)
    material = PhysicallyBased(PhysicallyBased.Config(), num_features=5, generator=named_generator(0, "material"))
    geometry.learn_look(material.features_of)
    with torch.no_grad():
        found = material.surface(geometry.features(geometry.vertices, STEP), STEP)
    assert found.roughness is not None and found.metallic is not None
    torch.testing.assert_close(found.roughness.mean(), torch.tensor(0.2), atol=0.05, rtol=0.0)
    torch.testing.assert_close(found.metallic.mean(), torch.tensor(0.891), atol=0.05, rtol=0.0)  # 0.9 is out of reach


def test_baking_keeps_the_textures_that_the_material_says_nothing_of(asset: Mesh) -> None:
    whole = shiny(asset)
    matte = bake(whole, lambda positions, normals: torch.rand_like(positions), texture_size=16)
    assert matte.surface is whole.surface
    own = bake(whole, lambda positions, normals: torch.full((len(positions), 5), 0.4), texture_size=16)
    assert own.surface is not None and own.surface.normal is not None
    torch.testing.assert_close(own.surface.orm[..., 1:], torch.full((16, 16, 2), 0.4))
    torch.testing.assert_close(
        own.surface.normal, torch.full((16, 16, 3), 0.5)
    )  # the file's, at the size of the others
