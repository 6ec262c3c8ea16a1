"""When something happens: the only source of time and of randomness.

Anything that depends on the training step takes a `StepInfo`. Random draws come from `step.generator(name, device)`,
which is fresh in every step, so a resumed run continues the same sequence and a new consumer disturbs no other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

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
    """

    step: int
    max_steps: int
    seed: int = 0
    rank: int = 0
    mode: Mode = "train"

    @property
    def progress(self) -> float:
        """Share of the run done, in [0, 1]."""
        return min(1.0, self.step / max(1, self.max_steps))

    @property
    def is_training(self) -> bool:
        """Whether parameters are being trained, so that sampling jitters and augmentations apply."""
        return self.mode == "train"

    def generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """A fresh generator for the stream `name`, seeded by (seed, name, step, rank, mode)."""
        import torch

        return torch.Generator(device).manual_seed(stream_seed(self.seed, name, self.step, self.rank, self.mode))


def stream_seed(*key: object) -> int:
    """A 63-bit seed from any sequence of plain values, equal on every platform."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def named_generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for draws made once, before the first step, such as initial weights."""
    import torch

    return torch.Generator(device).manual_seed(stream_seed(seed, name))
