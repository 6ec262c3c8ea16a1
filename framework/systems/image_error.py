"""How wrong a predicted image is, the colour of its background apart from all else."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def background_weighted(
    error: Float[Tensor, "B C H W"], opacity: Float[Tensor, "B 1 H W"], share: float
) -> Float[Tensor, "B C H W"]:
    """The squared error, with that part of it multiplied by `share` that is one colour all over the background.

    The background is what `opacity` leaves free. Where it is 0 or 1 both parts are orthogonal, so that a share of 1 sums to
    the squared error itself.
    """
    free = 1.0 - opacity
    mean = (free * error).sum(dim=(2, 3), keepdim=True) / free.sum(dim=(2, 3), keepdim=True).clamp(min=1.0)
    return (error - free * mean).square() + share * (free * mean).square()
