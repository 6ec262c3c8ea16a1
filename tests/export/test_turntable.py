"""The turntable video as a player decodes it."""

from __future__ import annotations

import math
import subprocess

import imageio_ffmpeg
import pytest
import torch

from framework.export.mesh_rendering import MeshRenderer
from framework.export.turntable import turntable_views, viewer, write_turntable


def decode(path, *, size):
    """Frames (T, size, size, 3) in [0, 1] and ffmpeg's description of the file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(command, capture_output=True, check=True)
    frames = torch.frombuffer(bytearray(result.stdout), dtype=torch.uint8)
    return frames.reshape(-1, size, size, 3) / 255.0, result.stderr.decode()


def test_the_video_shows_one_turn_that_starts_at_the_front(painted_cube, tmp_path) -> None:
    path = tmp_path / "turntable.mp4"
    write_turntable(painted_cube, path, frames=8, size=66, is_quiet=True)
    video, log = decode(path, size=66)
    assert len(video) == 8
    centres = video[[0, 2, 4, 6], 40, 33]
    # Front, left, back and right face in turn: red is high, middle, low, middle; green a quarter turn later.
    assert centres[:, 0].argmax() == 0 and centres[:, 0].argmin() == 2
    assert centres[:, 1].argmax() == 1 and centres[:, 1].argmin() == 3
    assert video[:, 2, 2].min() > 0.97  # on white
    assert "h264" in log and "yuv420p" in log and "66x66" in log


def test_the_views_hold_the_whole_mesh_from_every_side(painted_cube) -> None:
    views = turntable_views(painted_cube, frames=6, size=64)
    to_camera = views.cameras.world_to_camera()
    corners = torch.cat([painted_cube.vertices, torch.ones(len(painted_cube.vertices), 1)], dim=1)
    local = torch.einsum("bij,nj->bni", to_camera, corners)
    reach = (local[..., :2].abs() / -local[..., 2:3]).max().item()
    assert 0.5 < reach / math.tan(0.5 * views.cameras.fov_y[0].item()) < 1.0


def test_people_see_physically_based_meshes_under_a_sky_and_others_as_ever(shiny_ball, painted_cube) -> None:
    for mesh, is_equal in ((shiny_ball, False), (painted_cube, True)):
        views = turntable_views(mesh, frames=2, size=32)
        shown, matte = viewer(mesh).render(views).rgb, MeshRenderer(mesh).render(views).rgb
        assert torch.equal(shown, matte) == is_equal
        assert (shown - matte).abs().max() < 0.8  # the same object all the same


def test_an_odd_size_is_refused_before_anything_is_written(painted_cube, tmp_path) -> None:
    with pytest.raises(ValueError, match="even, got 65"):
        write_turntable(painted_cube, tmp_path / "turntable.mp4", size=65)
    assert not list(tmp_path.iterdir())
