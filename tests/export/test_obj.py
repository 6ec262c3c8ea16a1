"""OBJ files as another program reads them."""

from __future__ import annotations

import numpy as np
import trimesh

from framework.export.obj import write_obj


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
