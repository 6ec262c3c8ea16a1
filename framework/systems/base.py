"""The contract of systems: what is trained, one step at a time.

A system is a plain module. `lightning.py` runs any of them by manual optimisation with its own step counter, so that
schedules, logs and checkpoint names count training steps whatever the number of optimizers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component, slot
from framework.core.errors import Problem, UserError
from framework.core.registries import OPTIMIZERS
from framework.core.run_config import RunConfig
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms
from framework.systems.optimization import Optimizer
from framework.systems.watching import Watched
from framework.systems.weight_edits import WeightEdits


class System(Component, nn.Module, ABC):
    """Something that can be trained.

    Attributes:
        edits: Weights of terms that were set by hand.
    """

    has_scenes: ClassVar[bool] = False
    """Whether there are scenes to watch, so that `watched` returns something."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        optimizer: Any = slot(OPTIMIZERS)
        """Which parameters are trained, and how fast."""

    def __init__(self, config: Config, *, run: RunConfig, device: torch.device) -> None:
        """Build everything that the run needs; weights of priors are loaded here.

        Args:
            config: The system's own part of the configuration.
            run: The whole configuration, for the prompt, prior, seed and backends.
            device: Where the system will live.
        """
        super().__init__()
        self.config = config
        self.run = run
        self.device = device
        self.edits = WeightEdits()

    @classmethod
    def check(cls, config: Any, run: RunConfig) -> list[Problem]:
        """What does not fit together in `config`, the run's `system`, found before anything is built or loaded."""
        return []

    def start_from(self, source: Path) -> None:
        """Take over the scene of a run folder or a mesh file.

        Raises:
            UserError: If the system has no scene, or nothing can be made of that one.
        """
        raise UserError(f"start_from: this system has no scene that could come from {source}.")

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Give tensors whose size depends on more than the config that which they have in a checkpoint's `state`."""

    @abstractmethod
    def training_step(self, step: StepInfo) -> LossTerms:
        """The losses of one step."""

    def before_step(self, step: StepInfo) -> None:
        """State that advances with the steps, such as an occupancy grid, and on all ranks alike."""

    def after_step(self, step: StepInfo) -> None:
        """State that follows the parameters, such as their moving average."""

    def owner(self, name: str) -> int | None:
        """The rank that has the parameter or buffer called `name` to itself; None for what all ranks keep equal."""
        return None

    def check_state(self, step: StepInfo) -> None:
        """Look at whether the present state is worth keeping, before each checkpoint.

        Raises:
            BrokenSurface: If nothing can be drawn of it.
        """

    def watched(self) -> Watched | None:
        """What a viewer shows; None of a system without scenes."""
        return None

    def images(self, step: StepInfo) -> Mapping[str, Float[Tensor, "H W 3"]]:
        """Pictures to look at, by name, in [0, 1]."""
        return {}

    def test(self, folder: Path, step: StepInfo) -> list[Path]:
        """Show what was exported before, exporting it first if need be; returns the files written."""
        return self.export(folder, step)

    def export(self, folder: Path, step: StepInfo) -> list[Path]:
        """Write what the training was for into the run folder; returns the files.

        Raises:
            UserError: If there is nothing to write; the run's other outputs stay.
        """
        return []

    def optimizer(self) -> Optimizer:
        """The optimizer that the configuration asks for."""
        return OPTIMIZERS.build(self.config.optimizer)
