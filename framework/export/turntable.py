"""A video of a mesh on a turntable."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from framework.export.mesh_rendering import MeshRenderer
from framework.export.video import write_video
from framework.materials.surroundings import Surroundings
from framework.structures.mesh import Mesh
from framework.structures.views import Lights, Views

_FOV_Y = math.radians(40.0)
_MARGIN = 1.1
_AMBIENT, _DIFFUSE = 0.45, 0.5  # white objects stay apart from the white background


def write_turntable(
    mesh: Mesh,
    path: Path,
    *,
    frames: int = 120,
    size: int = 256,
    elevation_deg: float = 15.0,
    frames_per_second: int = 30,
    is_quiet: bool = False,
) -> None:
    """Write an MP4 (H.264, plays in every browser) of one full turn to `path`, starting at the front.

    Args:
        mesh: What is shown, on white, lit as `viewer` does it.
        frames: Views of the turn.
        size: Side of the square video, pixels; even, as H.264 with 4:2:0 chroma demands.
        is_quiet: Show no progress bar.

    Raises:
        ValueError: If `size` is odd, or the mesh has no faces.
    """
    if size % 2 != 0:
        raise ValueError(f"write_turntable: size must be even, got {size}.")
    renderer = viewer(mesh)
    views = turntable_views(mesh, frames=frames, size=size, elevation_deg=elevation_deg)
    turns = track(range(frames), description="Turntable", disable=is_quiet, transient=True)
    write_video(path, (renderer.render(views[i]).rgb[0] for i in turns), frames_per_second=frames_per_second)


def viewer(mesh: Mesh) -> MeshRenderer:
    """Draws a mesh for people: physically based ones under a sky, all others by the lights of `framed_views`."""
    return MeshRenderer(mesh, surroundings=None if mesh.surface is None else Surroundings.load("sky"))


def turntable_views(mesh: Mesh, *, frames: int, size: int, elevation_deg: float = 15.0) -> Views:
    """Views around the z axis, counter-clockwise seen from above, that show all of the mesh."""
    azimuth = torch.arange(frames, device=mesh.vertices.device) * (2.0 * math.pi / frames)
    return framed_views(mesh, azimuth, torch.full_like(azimuth, math.radians(elevation_deg)), size=size)


def framed_views(mesh: Mesh, azimuth: Float[Tensor, "B"], elevation: Float[Tensor, "B"], *, size: int) -> Views:
    """Views that show all of the mesh, lit from over the camera's shoulder.

    Args:
        azimuth, elevation: Where the cameras stand, radians.
        size: Height and width of the images, pixels.
    """
    reach = mesh.vertices.norm(dim=-1).max().item()
    distance = torch.full_like(azimuth, _MARGIN * reach / math.sin(0.5 * _FOV_Y))
    views = Views.orbit(azimuth, elevation, distance, torch.full_like(azimuth, _FOV_Y), height=size, width=size)
    return _lit(views)


def _lit(views: Views) -> Views:
    """The views with a light above and to the left of each camera."""
    axes = views.cameras.camera_to_world[:, :3]
    positions = views.cameras.positions + views.distance[:, None] * (0.5 * axes[:, :, 1] - 0.35 * axes[:, :, 0])
    one = torch.ones_like(views.distance)
    lights = Lights(positions, _AMBIENT * one, _DIFFUSE * one, torch.zeros_like(one, dtype=torch.bool))
    return Views(views.cameras, views.azimuth, views.elevation, views.distance, lights)
