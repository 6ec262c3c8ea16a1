"""The precision in which operations compute."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """`tensor`, or its float32 copy if it is of half precision, as autocast regions hand out.

    Sums over samples and table gradients lose their small terms in half precision. Float64 stays, for gradient checks.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
