"""The best vector in a box, without gradients: an evolution with steps of all sizes.

The score of a fit has several peaks (a handle may point anywhere), so the best few vectors stay parents side by side
instead of being averaged. Some coordinates must be known far better than others, so each step draws its own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Objective = Callable[[Float[Tensor, "S D"]], Float[Tensor, "S"]]

_LARGEST_STEP, _SMALLEST_STEP = 0.25, 2e-3
"""Range of the standard deviation of a step, in sides of the box; sizes are uniform in their logarithm."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to search.

    Attributes:
        starts: Random vectors of the first generation.
        generations: Further generations.
        children: Vectors of each further generation.
        parents: The best vectors so far, around which they are drawn.
    """

    starts: int = 64
    generations: int = 32
    children: int = 16
    parents: int = 4


def maximize(
    objective: Objective,
    low: Float[Tensor, "D"],
    high: Float[Tensor, "D"],
    *,
    known: Float[Tensor, "K D"],
    effort: Effort,
    generator: torch.Generator,
) -> Float[Tensor, "D"]:
    """The vector with the highest score that was found.

    Args:
        objective: Scores of many vectors at once.
        low, high: Corners of the box.
        known: Vectors in the box that are tried beside the random ones.
        effort: How long to search.
        generator: Source of all draws, on the CPU.
    """
    vectors = torch.cat([known, low + (high - low) * torch.rand(effort.starts, len(low), generator=generator)])
    scores = objective(vectors)
    for _ in range(effort.generations):
        order = scores.topk(min(effort.parents, len(scores))).indices
        vectors, scores = vectors[order], scores[order]
        parents = vectors[torch.randint(len(vectors), (effort.children,), generator=generator)]
        moved = parents + (high - low) * _steps(effort.children, len(low), generator)
        children = torch.minimum(torch.maximum(moved, low), high)
        vectors, scores = torch.cat([vectors, children]), torch.cat([scores, objective(children)])
    return vectors[scores.argmax()]


def _steps(count: int, dimensions: int, generator: torch.Generator) -> Float[Tensor, "S D"]:
    """Random steps in a unit box. About half of the coordinates stay, so a child keeps what its parent has right."""
    size = torch.rand(count, 1, generator=generator) * math.log(_SMALLEST_STEP / _LARGEST_STEP)
    is_moved = torch.rand(count, dimensions, generator=generator) < 0.5
    return _LARGEST_STEP * size.exp() * torch.randn(count, dimensions, generator=generator) * is_moved
