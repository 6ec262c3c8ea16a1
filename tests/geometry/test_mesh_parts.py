"""Parts of a file become one mesh with one picture, in which each part looks as it did."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from framework.geometry import mesh_parts
from framework.geometry.mesh_file import load_mesh
from framework.geometry.mesh_parts import Part, joined
from framework.geometry.surface_points import surface_points
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.surface import interpolate, sample_texture


def square(color: tuple[float, float, float], *, at: float, size: tuple[int, int] = (16, 16)) -> Mesh:
    """A square whose texture is of one colour, with a dark spot in its upper left."""
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    texture = torch.tensor(color).expand(*size, 3).clone()
    texture[: size[0] // 4, : size[1] // 4] = 0.1
    vertices = torch.cat([corners + at, torch.zeros(4, 1)], dim=1)
    return Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), uvs=corners.clone(), texture=texture)


def colors(mesh: Mesh, image: torch.Tensor | None = None) -> torch.Tensor:
    """At many points, the same ones of meshes with equal faces."""
    assert mesh.uvs is not None and mesh.texture is not None
    face, barycentric, _ = surface_points(mesh, 3000, torch.Generator().manual_seed(0))
    return sample_texture(
        mesh.texture if image is None else image, interpolate(mesh.uvs, mesh.faces, face, barycentric)
    )


def expected(parts: list[Mesh], whole: Mesh) -> torch.Tensor:
    """What `colors` would be if each point asked the texture of its own part."""
    face, barycentric, _ = surface_points(whole, 3000, torch.Generator().manual_seed(0))
    result = torch.zeros(len(face), 3)
    for index, part in enumerate(parts):
        own = face // 2 == index
        assert part.uvs is not None and part.texture is not None
        uvs = interpolate(part.uvs, part.faces, face[own] - 2 * index, barycentric[own])
        result[own] = sample_texture(part.texture, uvs)
    return result


PARTS = [
    square((0.9, 0.2, 0.2), at=0.0),
    square((0.2, 0.9, 0.2), at=2.0, size=(8, 32)),
    square((0.2, 0.2, 0.9), at=4.0, size=(64, 4)),
]


def test_parts_of_several_textures_look_as_before_and_share_no_texel() -> None:
    whole = joined([Part(part, index) for index, part in enumerate(PARTS)], "a.glb")
    assert len(whole.faces) == 6 and whole.uvs is not None and bool(((whole.uvs > 0.0) & (whole.uvs < 1.0)).all())
    torch.testing.assert_close(colors(whole), expected(PARTS, whole), atol=1e-4, rtol=0.0)
    boxes = [(uvs.amin(dim=0), uvs.amax(dim=0)) for uvs in whole.uvs.view(3, 4, 2)]
    for index, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:index]:
            assert bool(((low > other_high) | (high < other_low)).any())


def test_parts_of_one_material_keep_one_picture() -> None:
    halves = [
        dataclasses.replace(PARTS[0], uvs=PARTS[0].uvs * torch.tensor([0.5, 1.0]) + torch.tensor([shift, 0.0]))
        for shift in (0.0, 0.5)
    ]
    whole = joined([Part(half, 7) for half in halves], "a.glb")
    assert whole.texture is not None and max(whole.texture.shape[:2]) < 16 + 3 * 8
    torch.testing.assert_close(colors(whole), expected(halves, whole), atol=1e-4, rtol=0.0)


def test_roughness_and_normals_go_along_and_parts_without_them_are_matte() -> None:
    orm, normal = torch.tensor([1.0, 0.3, 0.8]).expand(4, 4, 3), torch.tensor([0.7, 0.5, 0.9]).expand(4, 4, 3)
    shiny = dataclasses.replace(PARTS[1], surface=SurfaceTextures(orm, normal))
    whole = joined([Part(PARTS[0], 0), Part(shiny, 1)], "a.glb")
    assert whole.surface is not None and whole.surface.normal is not None
    face, _, _ = surface_points(whole, 3000, torch.Generator().manual_seed(0))
    is_shiny = (face >= 2)[:, None]
    found = torch.where(is_shiny, torch.tensor([1.0, 0.3, 0.8]), torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(colors(whole, whole.surface.orm), found, atol=1e-5, rtol=0.0)
    bent = torch.where(is_shiny, torch.tensor([0.7, 0.5, 0.9]), torch.tensor([0.5, 0.5, 1.0]))
    torch.testing.assert_close(colors(whole, whole.surface.normal), bent, atol=1e-5, rtol=0.0)


def test_pictures_that_are_too_large_together_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_parts, "_LARGEST", 64)
    whole = joined([Part(square((0.9, 0.2, 0.2), at=index, size=(40, 40)), index) for index in range(3)], "a.glb")
    assert whole.texture is not None and max(whole.texture.shape[:2]) <= 64


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (dataclasses.replace(PARTS[1], uvs=2.0 * PARTS[1].uvs), "1 have a texture that repeats"),
        (Mesh(PARTS[1].vertices, PARTS[1].faces, colors=torch.ones(4, 3)), "1 have no texture"),
    ],
    ids=["repeating", "bare"],
)
def test_without_room_in_one_picture_vertices_are_coloured_with_a_warning(
    other: Mesh, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = joined([Part(PARTS[0], 0), Part(other, 1)], "thing.glb")
    assert whole.uvs is None and whole.colors is not None and len(whole.colors) == 8
    assert f"thing.glb: of its 2 parts {reason}. Its texture coordinates are not kept" in caplog.text


def test_a_file_of_two_textured_parts_keeps_its_coordinates_roughness_and_metallic(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for index, (color, factors) in enumerate((((200, 40, 40), (0.3, 1.0)), ((40, 40, 200), (0.9, 0.0)))):
        box = trimesh.creation.box()
        image = Image.fromarray(np.full((32, 32, 3), color, np.uint8))
        material = trimesh.visual.material.PBRMaterial(
            name=f"m{index}", baseColorTexture=image, roughnessFactor=factors[0], metallicFactor=factors[1]
        )
        box.visual = trimesh.visual.TextureVisuals(uv=np.random.default_rng(0).random((8, 2)), material=material)
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([3 * index, 0, 0]))
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    assert mesh.uvs is not None and mesh.surface is not None and len(mesh.faces) == 24
    for index, (color, orm) in enumerate((((200, 40, 40), (1.0, 0.3, 1.0)), ((40, 40, 200), (1.0, 0.9, 0.0)))):
        uvs = mesh.uvs[(mesh.vertices[:, 1] > 1.5) == bool(index)]  # world axis y is file axis x
        torch.testing.assert_close(sample_texture(mesh.texture, uvs), (torch.tensor(color) / 255).expand(8, 3))
        found = sample_texture(mesh.surface.orm, uvs)
        torch.testing.assert_close(found, torch.tensor(orm).expand(8, 3), atol=1e-3, rtol=0.0)


def test_a_matte_material_brings_no_textures_of_roughness(tmp_path: Path) -> None:
    for factors in ({}, {"roughnessFactor": 1.0, "metallicFactor": 0.0}):
        box = trimesh.creation.box()
        image = Image.fromarray(np.full((8, 8, 3), 100, np.uint8))
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, **factors)
        box.visual = trimesh.visual.TextureVisuals(uv=np.random.default_rng(0).random((8, 2)), material=material)
        box.export(tmp_path / "box.glb")
        assert load_mesh(tmp_path / "box.glb").surface is None
