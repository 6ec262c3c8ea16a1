"""Films of images."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch

from framework.export.video import write_video


def test_a_film_shows_its_images_in_their_order(tmp_path: Path) -> None:
    levels = torch.linspace(0.1, 0.9, 5)
    path = tmp_path / "film.mp4"
    write_video(path, (level.expand(32, 48, 3) for level in levels), frames_per_second=5)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    frames = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, 32, 48, 3) / 255.0
    shown = frames.mean(dim=(1, 2, 3)).tolist()
    assert shown == pytest.approx(levels.tolist(), abs=0.03)


def test_what_cannot_be_a_film_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with pytest.raises(ValueError, match="at least one image"):
        write_video(path, [])
    with pytest.raises(ValueError, match="must be even, got 31 and 48"):
        write_video(path, [torch.zeros(31, 48, 3)])
    assert not list(tmp_path.iterdir())
