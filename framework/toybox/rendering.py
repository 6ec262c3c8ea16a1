"""Images of toybox scenes: the one entry point, and the choice between its implementations."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.cameras import Cameras
from framework.toybox import tracing_torch
from framework.toybox.pack import ScenePack
from framework.toybox.tracing import Lights, ToyImages


def render(
    pack: ScenePack,
    *,
    cameras: Cameras,
    lights: Lights,
    background: Float[Tensor, "S 3"],
    implementation: Literal["auto", "warp", "torch"] = "auto",
) -> ToyImages:
    """Antialiased images of S scenes on the pack's device; nothing here is differentiable.

    Args:
        pack: The scenes.
        cameras, lights: One for each scene.
        background: Colours, sRGB values in [0, 1].
        implementation: Warp is the faster one; "auto" takes torch only on a CUDA device that Warp cannot use.
    """
    if implementation == "auto":
        implementation = "warp" if _warp_runs_on(pack.device) else "torch"
    if implementation == "torch":
        return tracing_torch.render(pack, cameras=cameras, lights=lights, background=background)
    from framework.toybox import tracing_warp  # Warp takes a third of a second to import, needed or not.

    return tracing_warp.render(pack, cameras=cameras, lights=lights, background=background)


def _warp_runs_on(device: torch.device) -> bool:
    from framework.ops.warp.launching import sees_cuda

    return device.type == "cpu" or (device.type == "cuda" and sees_cuda())
