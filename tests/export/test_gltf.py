"""GLB files: what their bytes say, and that they load back as they were."""

from __future__ import annotations

import dataclasses
import json
import struct

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trimesh

from framework.core.errors import UserError
from framework.export.gltf import from_gltf_axes, glb_bytes, write_glb
from framework.export.loading import load_glb
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.surface import interpolate, sample_texture


def parts(data: bytes):
    """The JSON document and the binary chunk, read independently of the loader."""
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack("<I", data[12:16])[0]
    assert data[16:20] == b"JSON" and data[20 + size + 4 : 20 + size + 8] == b"BIN\0"
    return json.loads(data[20 : 20 + size]), data[20 + size + 8 :]


def attribute(document, binary, name: str, columns: int) -> np.ndarray:
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"][name]]
    view = document["bufferViews"][accessor["bufferView"]]
    end = view["byteOffset"] + view["byteLength"]
    return np.frombuffer(binary[view["byteOffset"] : end], "<f4").reshape(-1, columns)


def test_the_front_is_written_at_plus_z_and_the_top_at_plus_y(painted_cube) -> None:
    top_front = torch.tensor([1.0, 0.0, 2.0])  # world: front is +x, up is +z
    mesh = dataclasses.replace(painted_cube, vertices=painted_cube.vertices + top_front)
    document, binary = parts(glb_bytes(mesh))
    positions, normals = attribute(document, binary, "POSITION", 3), attribute(document, binary, "NORMAL", 3)
    assert np.allclose(positions.min(axis=0), [-0.5, 1.5, 0.5]) and np.allclose(positions.max(axis=0), [0.5, 2.5, 1.5])
    assert (np.sign(normals) == np.sign(positions - [0.0, 2.0, 1.0])).all()
    accessor = document["accessors"][0]
    assert accessor["min"] == positions.min(axis=0).tolist() and accessor["max"] == positions.max(axis=0).tolist()


def test_texture_coordinates_are_written_from_the_top(painted_cube) -> None:
    document, binary = parts(glb_bytes(painted_cube))
    written = torch.from_numpy(attribute(document, binary, "TEXCOORD_0", 2).copy())
    assert torch.allclose(written[:, 1], 1.0 - painted_cube.uvs[:, 1])
    assert torch.equal(written[:, 0], painted_cube.uvs[:, 0])


def test_the_material_is_matte_and_its_texture_lies_inside_the_file(painted_cube) -> None:
    document, binary = parts(glb_bytes(painted_cube))
    surface = document["materials"][0]["pbrMetallicRoughness"]
    assert (surface["metallicFactor"], surface["roughnessFactor"]) == (0.0, 1.0)
    image = document["images"][document["textures"][surface["baseColorTexture"]["index"]]["source"]]
    start = document["bufferViews"][image["bufferView"]]["byteOffset"]
    assert binary[start : start + 4] == b"\x89PNG" and image["mimeType"] == "image/png"


def test_a_physically_based_material_is_whole_and_its_textures_lie_inside_the_file(shiny_ball) -> None:
    document, binary = parts(glb_bytes(shiny_ball))
    material = document["materials"][0]
    surface = material["pbrMetallicRoughness"]
    assert (surface["metallicFactor"], surface["roughnessFactor"]) == (1.0, 1.0)
    assert material["occlusionTexture"] == surface["metallicRoughnessTexture"]
    used = [surface["baseColorTexture"], surface["metallicRoughnessTexture"], material["normalTexture"]]
    assert [document["images"][reference["index"]]["name"] for reference in used] == [
        "model-base-color",
        "model-orm",
        "model-normal",
    ]
    for image in document["images"]:
        start = document["bufferViews"][image["bufferView"]]["byteOffset"]
        assert binary[start : start + 4] == b"\x89PNG"


def test_another_program_reads_roughness_and_metallic_from_their_channels(shiny_ball, tmp_path) -> None:
    write_glb(shiny_ball, tmp_path / "model.glb")
    scene = trimesh.load_scene(tmp_path / "model.glb", process=False)
    material = next(iter(scene.geometry.values())).visual.material
    assert (material.metallicFactor, material.roughnessFactor) == (1.0, 1.0)
    for image, written in (
        (material.baseColorTexture, shiny_ball.texture),
        (material.metallicRoughnessTexture, shiny_ball.surface.orm),
        (material.occlusionTexture, shiny_ball.surface.orm),
        (material.normalTexture, shiny_ball.surface.normal),
    ):
        assert np.abs(np.asarray(image.convert("RGB")) / 255.0 - written.numpy()).max() <= 0.5 / 255.0 + 1e-6


def test_a_viewer_finds_the_bent_normals_by_the_tangents_in_the_file(shiny_ball) -> None:
    document, binary = parts(glb_bytes(shiny_ball))
    tangents = torch.from_numpy(attribute(document, binary, "TANGENT", 4).copy())
    tangents = torch.cat([from_gltf_axes(tangents[:, :3]), tangents[:, 3:]], dim=1)
    generator = torch.Generator().manual_seed(0)
    face = torch.randint(len(shiny_ball.faces), (4000,), generator=generator)
    shares = torch.rand(4000, 3, generator=generator)
    at = (shiny_ball.faces, face, shares / shares.sum(dim=1, keepdim=True))
    # What a shader does with a normal texture (glTF 2.0, 3.7.2.1 and 3.9.3).
    normal, tangent = F.normalize(interpolate(shiny_ball.normals, *at), dim=1), interpolate(tangents, *at)
    bitangent = torch.linalg.cross(normal, tangent[:, :3]) * tangent[:, 3:].sign()
    texel = 2.0 * sample_texture(shiny_ball.surface.normal, interpolate(shiny_ball.uvs, *at)) - 1.0
    frame = torch.stack([F.normalize(tangent[:, :3], dim=1), F.normalize(bitangent, dim=1), normal], dim=1)
    shown = F.normalize(torch.einsum("nk,nkc->nc", texel, frame), dim=1)
    positions = interpolate(shiny_ball.vertices, *at)
    expected = F.normalize(normal + 0.4 * torch.sin(5.0 * positions.roll(1, dims=1)), dim=1)
    cosine = (shown * expected).sum(dim=1)
    assert cosine.mean() > 0.9995 and cosine.min() > 0.98
    assert (normal * expected).sum(dim=1).mean() < 0.97  # the texture bends them by a lot


def test_further_textures_load_back(shiny_ball, painted_cube, tmp_path) -> None:
    write_glb(shiny_ball, tmp_path / "model.glb")
    loaded = load_glb(tmp_path / "model.glb")
    for image, written in (
        (loaded.texture, shiny_ball.texture),
        (loaded.surface.orm, shiny_ball.surface.orm),
        (loaded.surface.normal, shiny_ball.surface.normal),
    ):
        assert (image - written).abs().max() <= 0.5 / 255.0 + 1e-6
    unbent = dataclasses.replace(shiny_ball, surface=SurfaceTextures(shiny_ball.surface.orm))
    write_glb(unbent, tmp_path / "unbent.glb")
    assert load_glb(tmp_path / "unbent.glb").surface.normal is None
    write_glb(painted_cube, tmp_path / "matte.glb")
    assert load_glb(tmp_path / "matte.glb").surface is None


def test_a_mesh_loads_back_as_it_was_written(painted_cube, tmp_path) -> None:
    write_glb(painted_cube, tmp_path / "model.glb")
    loaded = load_glb(tmp_path / "model.glb")
    assert torch.equal(loaded.vertices, painted_cube.vertices) and torch.equal(loaded.normals, painted_cube.normals)
    assert torch.equal(loaded.faces, painted_cube.faces)
    assert torch.allclose(loaded.uvs, painted_cube.uvs, atol=1e-6)
    assert (loaded.texture - painted_cube.texture).abs().max() <= 0.5 / 255.0 + 1e-6


def test_a_mesh_without_texture_loads_back_too(cube, tmp_path) -> None:
    write_glb(cube, tmp_path / "model.glb")
    loaded = load_glb(tmp_path / "model.glb")
    assert torch.equal(loaded.vertices, cube.vertices)
    assert loaded.uvs is None and loaded.texture is None


def test_a_mesh_without_faces_or_normals_is_not_written(cube, tmp_path) -> None:
    for mesh in (Mesh(cube.vertices, cube.faces), dataclasses.replace(cube, faces=cube.faces[:0])):
        with pytest.raises(ValueError, match="without faces or without normals"):
            write_glb(mesh, tmp_path / "model.glb")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_a_user_error(tmp_path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.glb: cannot be read"):
        load_glb(tmp_path / "nowhere.glb")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-100], "should have"),
        (lambda data: data[:5], "damaged"),
        (lambda data: b"PNG!" + data[4:], "does not begin as GLB"),
        (lambda data: data.replace(b'"POSITION"', b'"POSITIVE"'), "lacks 'POSITION'"),
        (lambda data: data.replace(b'{"asset"', b'["asset"'), "damaged"),
        (lambda data: data.replace(b"\x89PNG", b"\x89JPG"), "PNG"),
    ],
)
def test_a_damaged_file_is_a_user_error_that_says_what_is_wrong(painted_cube, tmp_path, damage, message) -> None:
    path = tmp_path / "model.glb"
    path.write_bytes(damage(glb_bytes(painted_cube)))
    with pytest.raises(UserError, match=message) as caught:
        load_glb(path)
    assert str(path) in str(caught.value) and "Export the run again" in str(caught.value)


def test_a_failed_write_leaves_the_file_that_was_there(painted_cube, cube, tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.glb"
    write_glb(painted_cube, path)
    before = path.read_bytes()

    def full_disk(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_glb(cube, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
