"""What the hand-written gradients of the Warp operations can not do."""

from __future__ import annotations

import torch


def refuse_second_derivatives(operation: str) -> None:
    """To be called first in a backward pass that torch cannot differentiate.

    Torch's `once_differentiable` complains only where the incoming gradient itself depends on something, and lets the
    dependence on the saved inputs vanish in silence.

    Raises:
        RuntimeError: If a graph of this backward pass was asked for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{operation}: the Warp implementation is differentiable once, but a gradient was asked for with "
            f"create_graph=True. Set backends.{operation} to 'torch'."
        )
