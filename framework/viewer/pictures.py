"""What a watcher sees of a render: pictures of 8 bits a channel, of one buffer each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from framework.core.step import StepInfo
from framework.renderers.base import Renderer, Scene
from framework.structures.cameras import Cameras
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

MOST_ELONGATED = 2.5
"""Pictures that are wider than this are drawn narrower and stretched, so that they stay affordable."""


def camera(
    rotation: Float[Tensor, "3 3"], position: Float[Tensor, "3"], fov_y: float, *, size: int, aspect: float
) -> Cameras:
    """A camera whose shorter image side is `size` pixels.

    Args:
        rotation: From the camera's axes (OpenCV: x right, y down, looking along z) to the world's.
        position: World space.
        fov_y: Radians.
        size: Pixels.
        aspect: Width over height.
    """
    longer = round(size * min(max(aspect, 1.0 / aspect), MOST_ELONGATED))
    height, width = (size, longer) if aspect >= 1.0 else (longer, size)
    pose = torch.eye(4, device=position.device)
    pose[:3, :3] = rotation * position.new_tensor([1.0, -1.0, -1.0])
    pose[:3, 3] = position
    return Cameras(pose[None], position.new_tensor([fov_y]), height, width)


@torch.no_grad()
def draw(
    kind: str, cameras: Cameras, scene: Scene, renderer: Renderer, step: StepInfo
) -> UInt8[Tensor, "height width 3"]:
    """The picture of a kind in `KINDS` that one camera sees.

    Raises:
        BrokenSurface: If training has destroyed the surface.
    """
    needs = frozenset({Buffer.NORMAL} if kind == "normal" else ())
    views = Views.of_cameras(cameras)
    shown = KINDS[kind](renderer.render(views, scene, needs & renderer.provides, step), views, scene)
    return (shown[0].expand(-1, -1, 3).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu()


def _rgb(render: RenderOutput, views: Views, scene: Scene) -> Tensor:
    return render.rgb


def _normal(render: RenderOutput, views: Views, scene: Scene) -> Tensor:
    """Facing +x is red, +y green, +z blue; nothing is black."""
    return 0.5 * (render.require(Buffer.NORMAL, "the viewer") + render.opacity)


def _opacity(render: RenderOutput, views: Views, scene: Scene) -> Tensor:
    return render.opacity


def _depth(render: RenderOutput, views: Views, scene: Scene) -> Tensor:
    """White where the cube of the geometry begins at the earliest, black where it ends, and where there is nothing."""
    half = 3.0**0.5 * scene.geometry.config.radius
    far = views.distance[:, None, None, None] + half
    near = (far - 2.0 * half).clamp_min(0.0)
    return (far * render.opacity - render.depth) / (far - near)


KINDS: Mapping[str, Callable[[RenderOutput, Views, Scene], Tensor]] = {
    "rgb": _rgb,
    "normal": _normal,
    "depth": _depth,
    "opacity": _opacity,
}
"""How each kind of picture, (1, H, W, 1 or 3), is made of a render."""
