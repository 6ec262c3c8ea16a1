"""When something happens: the only source of time and of randomness.

Anything that depends on the training step takes a `StepInfo`. Random draws come from `step.generator(name, device)`,
which is fresh in every step, so a resumed run continues the same sequence and a new consumer disturbs no other.

A step's batch may be made in parts: by several processes (ranks), each in one or more micro-steps. What is drawn for each
sample is drawn for the whole batch by `batch_generator`, and each part takes its own rows: two parts with one view each see
what one part with two views sees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Mode = Literal["train", "validate", "test", "export"]


@dataclass(frozen=True)
class StepInfo:
    """A training step, or the moment of an evaluation.

    Attributes:
        step: Training steps done before this one.
        max_steps: Length of the run in training steps.
        seed: The run's seed.
        rank: Number of this process among those that train together.
        mode: What the step is for; draws of different modes differ.
        ranks: Number of processes that train together.
        micro_step: Number of this part of the step among those that this process makes one after the other.
        micro_steps: Number of them.
        has_own_batch: Whether each process has a batch to itself, as where each has a scene of its own.
    """

    step: int
    max_steps: int
    seed: int = 0
    rank: int = 0
    mode: Mode = "train"
    ranks: int = 1
    micro_step: int = 0
    micro_steps: int = 1
    has_own_batch: bool = False

    @property
    def progress(self) -> float:
        """Share of the run done, in [0, 1]."""
        return min(1.0, self.step / max(1, self.max_steps))

    @property
    def is_training(self) -> bool:
        """Whether parameters are being trained, so that sampling jitters and augmentations apply."""
        return self.mode == "train"

    @property
    def parts(self) -> int:
        """Number of equal parts that the batch of this step is made in."""
        return self.micro_steps * (1 if self.has_own_batch else self.ranks)

    @property
    def part(self) -> int:
        """Number of this part of the batch."""
        return self.micro_step if self.has_own_batch else self.micro_step * self.ranks + self.rank

    def following(self) -> StepInfo:
        """What this process does next."""
        if self.micro_step + 1 < self.micro_steps:
            return replace(self, micro_step=self.micro_step + 1)
        return replace(self, step=self.step + 1, micro_step=0)

    def generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """A fresh generator for the stream `name`, seeded by (seed, name, step, rank, micro-step, mode)."""
        return self._generator(name, self.micro_step * self.ranks + self.rank, device)

    def batch_generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """As `generator`, but the same for all parts of the batch."""
        return self._generator(name, self.rank if self.has_own_batch else 0, device)

    def rows(self, count: int) -> int:
        """How many rows the whole batch has if this part has `count`."""
        return count * self.parts

    def own(self, rows: Tensor, dim: int = 0) -> Tensor:
        """This part's share of what was drawn for the whole batch, along `dim`."""
        count = rows.shape[dim] // self.parts
        return rows.narrow(dim, self.part * count, count)

    def _generator(self, name: str, part: int, device: torch.device | str) -> torch.Generator:
        import torch

        return torch.Generator(device).manual_seed(stream_seed(self.seed, name, self.step, part, self.mode))


def stream_seed(*key: object) -> int:
    """A 63-bit seed from any sequence of plain values, equal on every platform."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def named_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for draws made once, before the first step, such as initial weights."""
    import torch

    return torch.Generator(device).manual_seed(stream_seed(seed, name))
