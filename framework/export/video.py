"""Films of images."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import imageio_ffmpeg
import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.files import replacing


def write_video(path: Path, frames: Iterable[Float[Tensor, "H W 3"]], *, frames_per_second: int = 30) -> None:
    """Write images in [0, 1], all of one size, as an MP4 (H.264, plays in every browser).

    Raises:
        ValueError: If there is no image, or height or width is odd, which H.264 with 4:2:0 chroma cannot hold.
    """
    with replacing(path) as temporary:
        writer: Generator[None, bytes, None] | None = None
        try:
            for frame in frames:
                writer = writer or _open_video(temporary, frame.shape[0], frame.shape[1], frames_per_second)
                writer.send((frame * 255.0).round().to(torch.uint8).cpu().numpy().tobytes())
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ValueError("A video needs at least one image.")


def _open_video(path: Path, height: int, width: int, frames_per_second: int) -> Generator[None, bytes, None]:
    """A started ffmpeg that is sent RGB frames."""
    if height % 2 or width % 2:
        raise ValueError(f"Height and width of a video must be even, got {height} and {width}.")
    writer: Generator[None, bytes, None] = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=frames_per_second,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        output_params=["-crf", "18", "-movflags", "+faststart"],
    )
    next(writer)
    return writer
