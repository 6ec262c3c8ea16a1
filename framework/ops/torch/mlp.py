"""Perceptrons in plain torch; matrix products follow autocast."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from framework.ops.torch.precision import at_least_float32

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def mlp(inputs: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """See `framework.ops.mlp.mlp`."""
    hidden = at_least_float32(inputs)
    for weight in weights[:-1]:
        hidden = _FUNCTIONS[activation](F.linear(hidden, weight))
    return F.linear(hidden, weights[-1])
