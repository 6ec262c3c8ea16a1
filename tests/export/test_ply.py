"""PLY files as another program reads them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import trimesh

from framework.export.ply import write_ply
from framework.geometry.mesh_file import load_mesh


def test_another_program_reads_a_closed_shape_with_colours_in_world_axes(painted_cube, tmp_path) -> None:
    path = tmp_path / "model.ply"
    write_ply(painted_cube, path)
    loaded = trimesh.load_mesh(path, process=False)
    assert loaded.is_watertight and np.isclose(loaded.volume, 1.0)
    assert len(loaded.vertices) == 8 and len(loaded.faces) == 12
    colors = loaded.visual.vertex_colors[:, :3] / 255.0
    assert np.abs(colors - (0.5 + 0.8 * np.asarray(loaded.vertices))).max() < 0.02


def test_our_own_reader_finds_the_mesh_where_it_was(painted_cube, tmp_path) -> None:
    path = tmp_path / "model.ply"
    write_ply(painted_cube, path)
    loaded = load_mesh(path)
    corners, original = (mesh.vertices[mesh.faces.long()].reshape(-1, 3) for mesh in (loaded, painted_cube))
    assert torch.equal(corners, original)


def test_vertex_colours_are_written_as_they_are_and_white_without(cube, tmp_path) -> None:
    levels = torch.arange(24).reshape(8, 3) * 10
    write_ply(dataclasses.replace(cube, colors=levels / 255.0), tmp_path / "colored.ply")
    write_ply(cube, tmp_path / "plain.ply")
    colored, plain = (trimesh.load_mesh(tmp_path / f"{name}.ply", process=False) for name in ("colored", "plain"))
    assert sorted(map(tuple, colored.visual.vertex_colors[:, :3])) == sorted(map(tuple, levels.tolist()))
    assert (plain.visual.vertex_colors == 255).all()
