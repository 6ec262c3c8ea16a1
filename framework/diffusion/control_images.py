"""What a ControlNet follows, made of a render as the published preprocessors make it of a photograph.

All are images (B, H, W, 3) in [0, 1] without gradients: a render is to follow its denoiser, not its own outlines.

- `depth`: inverse depth as MiDaS gives it, from 0 at the object's farthest point to 1 at its nearest, 0 behind it;
- `normal`: normals seen from the camera, blue to the front, red to the left, green to the top (ControlNet 1.1; the Sobel
  filters of 1.0 come to the same); what lies behind faces the camera;
- `canny`: white edges of the colours on black (Canny 1986, as in OpenCV: largest channel, sum of absolute differences).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy  # Its parts are loaded when they are used: ndimage takes a third of a second.
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.diffusion.images import resize
from framework.structures.cameras import Cameras
from framework.structures.render_output import Buffer, RenderOutput

ControlKind = Literal["depth", "normal", "canny"]

NEEDS: dict[ControlKind, frozenset[Buffer]] = {
    "depth": frozenset({Buffer.DEPTH, Buffer.OPACITY}),
    "normal": frozenset({Buffer.NORMAL, Buffer.OPACITY}),
    "canny": frozenset({Buffer.RGB}),
}
"""What of a render each is made of."""
CANNY_THRESHOLDS = (100.0, 200.0)
"""Of differences of levels from 0 to 255; those of the published examples."""
_COVERED = 0.5
"""Opacity from which on a pixel shows the object."""
_TO_THE_LEFT = (-1.0, 1.0, 1.0)
_SECTOR = np.tan(np.radians(22.5))


@torch.no_grad()
def control_image(
    kind: ControlKind, render: RenderOutput, cameras: Cameras, *, size: tuple[int, int]
) -> Float[Tensor, "B H W 3"]:
    """The control image of a render.

    Args:
        kind: Which.
        render: Holds what `NEEDS` says.
        cameras: That it was seen from.
        size: Height and width, pixels, at which a photograph would be looked at for edges.

    Raises:
        MissingBuffer: If the render does not hold what is needed.
    """
    user = f"a ControlNet that follows '{kind}'"
    if kind == "canny":
        rgb = render.require(Buffer.RGB, user).float().permute(0, 3, 1, 2)
        return canny_edges(resize(rgb, height=size[0], width=size[1]).permute(0, 2, 3, 1))
    opacity = render.require(Buffer.OPACITY, user).float()
    if kind == "depth":
        return inverse_depth(render.require(Buffer.DEPTH, user).float(), opacity, cameras)
    return seen_normals(render.require(Buffer.NORMAL, user).float(), opacity, cameras)


def inverse_depth(
    depth: Float[Tensor, "B H W 1"], opacity: Float[Tensor, "B H W 1"], cameras: Cameras
) -> Float[Tensor, "B H W 3"]:
    """Inverse depth, normalised image by image over what is covered; 0 elsewhere.

    Args:
        depth: Distance along the ray weighted by opacity, world units.
    """
    covered = opacity > _COVERED
    directions = cameras.rays().directions.view(*depth.shape[:3], 3)
    forward = -cameras.camera_to_world[:, None, None, :3, 2]
    along = (directions * forward).sum(dim=-1, keepdim=True)  # of depth in a unit of distance
    inverse = opacity / (depth * along).clamp(min=1e-6)
    nearest = inverse.masked_fill(~covered, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
    farthest = inverse.masked_fill(~covered, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    scaled = (inverse - farthest) / (nearest - farthest).clamp(min=1e-6)
    return torch.where(covered, scaled, 0.0).clamp(0.0, 1.0).expand(-1, -1, -1, 3)


def seen_normals(
    normal: Float[Tensor, "B H W 3"], opacity: Float[Tensor, "B H W 1"], cameras: Cameras
) -> Float[Tensor, "B H W 3"]:
    """World-space normals in camera space, as colours."""
    to_camera = cameras.camera_to_world[:, :3, :3]
    seen = torch.einsum("bji,bhwj->bhwi", to_camera, torch.nn.functional.normalize(normal, dim=-1))
    colors = 0.5 + 0.5 * seen * seen.new_tensor(_TO_THE_LEFT)
    return torch.where(opacity > _COVERED, colors, colors.new_tensor([0.5, 0.5, 1.0]))


def canny_edges(
    images: Float[Tensor, "B H W 3"], thresholds: tuple[float, float] = CANNY_THRESHOLDS
) -> Float[Tensor, "B H W 3"]:
    """Edges of images in [0, 1]; computed on the CPU.

    Args:
        thresholds: Edges are kept from the lower one on where they touch one above the upper.
    """
    levels = (images.detach().clamp(0.0, 1.0) * 255.0).round().cpu().numpy()
    edges = np.stack([_edges(image, *thresholds) for image in levels])
    return torch.from_numpy(edges).to(images)[..., None].expand(-1, -1, -1, 3)


def _edges(levels: Float[np.ndarray, "H W 3"], low: float, high: float) -> Bool[np.ndarray, "H W"]:
    across, down = _sobel(levels, along=1), _sobel(levels, along=0)
    strength = np.abs(across) + np.abs(down)
    channel = strength.argmax(axis=-1)[..., None]
    x, y, m = (np.take_along_axis(values, channel, axis=-1)[..., 0] for values in (across, down, strength))
    ridge = m * _is_ridge(x, y, m)
    parts, _ = scipy.ndimage.label(ridge > low, structure=np.ones((3, 3)))
    strong = np.unique(parts[ridge > high])
    return np.isin(parts, strong[strong > 0])


def _sobel(levels: Float[np.ndarray, "H W 3"], *, along: int) -> Float[np.ndarray, "H W 3"]:
    """Channel by channel, which `ndimage.sobel` would smooth across."""
    difference = scipy.ndimage.correlate1d(levels, [-1.0, 0.0, 1.0], axis=along, mode="nearest")
    smooth: np.ndarray = scipy.ndimage.correlate1d(difference, [1.0, 2.0, 1.0], axis=1 - along, mode="nearest")
    return smooth


def _is_ridge(
    x: Float[np.ndarray, "H W"], y: Float[np.ndarray, "H W"], m: Float[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"]:
    """Where the gradient is at least as strong as that of both neighbours along its own direction, in steps of 45 degrees."""
    padded = np.pad(m, 1)
    steps = [(0, 1), (1, 0), (1, 1), (1, -1)]
    is_flat = np.abs(y) < _SECTOR * np.abs(x)
    is_steep = _SECTOR * np.abs(y) > np.abs(x)
    sector = np.where(is_flat, 0, np.where(is_steep, 1, np.where(x * y >= 0, 2, 3)))
    height, width = m.shape
    result = np.zeros(m.shape, dtype=bool)
    for number, (row, column) in enumerate(steps):
        before = padded[1 - row : 1 - row + height, 1 - column : 1 - column + width]
        after = padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        result |= (sector == number) & (m > before) & (m >= after)
    return result
