"""The best vector in a box, without gradients: an evolution whose steps shrink.

The score of a fit has several peaks (a handle may point anywhere), so the best few vectors stay parents side by side
instead of being averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Objective = Callable[[Float[Tensor, "S D"]], Float[Tensor, "S"]]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to search.

    Attributes:
        starts: Random vectors of the first generation.
        generations: Further generations.
        children: Vectors of each further generation.
        parents: The best vectors so far, around which they are drawn.
        first_step, last_step: Standard deviation of that draw, in sides of the box.
    """

    starts: int = 64
    generations: int = 14
    children: int = 24
    parents: int = 4
    first_step: float = 0.2
    last_step: float = 0.015

    @property
    def steps(self) -> list[float]:
        """The step of each generation, shrinking by an equal factor."""
        ratio = self.last_step / self.first_step
        return [self.first_step * ratio ** (index / max(self.generations - 1, 1)) for index in range(self.generations)]


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
    dimensions, span = len(low), high - low
    random = low + span * torch.rand(effort.starts, dimensions, generator=generator)
    vectors = torch.cat([known, random])
    scores = objective(vectors)
    for step in effort.steps:
        order = scores.topk(min(effort.parents, len(scores))).indices
        vectors, scores = vectors[order], scores[order]
        chosen = torch.randint(len(vectors), (effort.children,), generator=generator)
        shift = torch.randn(effort.children, dimensions, generator=generator) * step
        # Half of the coordinates move, so that a child keeps what its parent has right already.
        moved = torch.rand(effort.children, dimensions, generator=generator) < 0.5
        children = torch.minimum(torch.maximum(vectors[chosen] + shift * moved * span, low), high)
        vectors, scores = torch.cat([vectors, children]), torch.cat([scores, objective(children)])
    return vectors[scores.argmax()]
