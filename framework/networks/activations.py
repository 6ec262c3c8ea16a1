"""Functions that turn network outputs into densities, colours and the like, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_LARGEST_EXPONENT = 15.0


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.exp(x.clamp(max=_LARGEST_EXPONENT))


def trunc_exp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """exp(x), whose derivative stops growing at x = 15, so that one huge density cannot wreck a step (Instant-NGP).

    Half precision is computed and returned as float32, because float16 ends at exp(11).
    """
    return _TruncatedExp.apply(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x)


def _identity(x: Tensor) -> Tensor:
    return x


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": _identity,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "trunc-exp": trunc_exp,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of this name.

    Raises:
        ValueError: If there is none; names the closest.
    """
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    close = difflib.get_close_matches(name, _ACTIVATIONS, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known are {', '.join(_ACTIVATIONS)}."
    raise ValueError(f"No activation is called '{name}'. {hint}")
