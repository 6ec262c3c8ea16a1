"""OBJ files as another program reads them."""

from __future__ import annotations

import numpy as np
import trimesh

from framework.export.obj import write_obj
from framework.export.png import decode_png


def test_another_program_reads_the_shape_and_its_texture_in_gltf_axes(painted_cube, tmp_path) -> None:
    files = write_obj(painted_cube, tmp_path / "model.obj")
    assert [file.name for file in files] == ["model.obj", "model.mtl", "model.png"]
    loaded = trimesh.load_mesh(tmp_path / "model.obj", process=False)
    assert np.isclose(loaded.volume, 1.0)
    image = np.asarray(loaded.visual.material.image.convert("RGB")) / 255.0
    # trimesh keeps the OBJ convention: v upwards from the lower edge of the image.
    columns, rows = (loaded.visual.uv * [image.shape[1], image.shape[0]]).clip(0.5, 127.5).T
    colors = image[(127.99 - rows).astype(int), columns.astype(int)]
    world = np.asarray(loaded.vertices)[:, [2, 0, 1]]  # (y, z, x) -> (x, y, z)
    assert np.abs(colors - (0.5 + 0.8 * world)).max() < 0.05


def test_the_material_of_a_matte_mesh_names_its_base_colour_alone(painted_cube, tmp_path) -> None:
    _, material, _ = write_obj(painted_cube, tmp_path / "model.obj")
    assert material.read_text() == "newmtl model\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd model.png\n"


def test_a_physically_based_mesh_has_a_gray_picture_for_each_property_and_one_for_normals(shiny_ball, tmp_path) -> None:
    files = write_obj(shiny_ball, tmp_path / "model.obj")
    names = ["model.png", "model-roughness.png", "model-metallic.png", "model-normal.png"]
    assert [file.name for file in files] == ["model.obj", "model.mtl", *names]
    lines = files[1].read_text().splitlines()
    assert [line for line in lines if line.startswith(("map_", "norm"))] == [
        f"{key} {name}" for key, name in zip(("map_Kd", "map_Pr", "map_Pm", "norm"), names, strict=True)
    ]
    orm = shiny_ball.surface.orm
    for file, expected in zip(files[3:], (orm[..., 1:2], orm[..., 2:3], shiny_ball.surface.normal), strict=True):
        assert (decode_png(file.read_bytes()) - expected).abs().max() <= 0.5 / 255.0 + 1e-6
