"""Scaling of losses for 16-mixed, where gradients below 6e-8 would become zero on their way through float16.

The loss is multiplied by a power of two and the gradient divided by it, which rounds nothing. The scale is halved when a
step is not finite, which is then skipped, and doubled after many steps in a row that are, so that it stays just below what
overflows (Mixed Precision Training, arXiv:1710.03740). All ranks agree on which steps are finite, hence on the scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_START = 2.0**16
_MOST = 2.0**24
_PATIENCE = 2000


@dataclass
class LossScale:
    """The scale of the present step.

    Attributes:
        scale: What losses are multiplied by; 1 or more.
        finite_steps: Steps in a row that were finite with it.
    """

    scale: float = _START
    finite_steps: int = 0

    def unscale(self, gradients: Iterable[Tensor]) -> None:
        """Make gradients of the scaled loss those of the loss."""
        torch._foreach_mul_(list(gradients), 1.0 / self.scale)

    def note(self, *, is_finite: bool) -> None:
        """Adapt the scale to a step that was finite with it, or was not."""
        if not is_finite:
            self.scale, self.finite_steps = max(1.0, 0.5 * self.scale), 0
            return
        self.finite_steps += 1
        if self.finite_steps == _PATIENCE:
            self.scale, self.finite_steps = min(_MOST, 2.0 * self.scale), 0

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"scale": self.scale, "finite_steps": self.finite_steps}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on with what a checkpoint kept."""
        self.scale, self.finite_steps = float(state["scale"]), int(state["finite_steps"])
