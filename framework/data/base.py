"""The contract of streams: views as a pure function of the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from framework.core.component import Component
from framework.core.step import StepInfo
from framework.structures.views import Views


class ViewStream(Component, ABC):
    """Yields the views that are rendered in a step."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        height: int = 64
        """Image height, pixels."""
        width: int = 64
        """Image width, pixels."""
        every: int = 1
        """The stream is used in one of this many steps."""

        def __post_init__(self) -> None:
            if min(self.height, self.width, self.every) < 1:
                raise ValueError(
                    f"height, width and every must be positive, got {self.height, self.width, self.every}."
                )

    def __init__(self, config: Config, *, name: str) -> None:
        """`name` is the stream's name in the config, which its random draws depend on."""
        self.config = config
        self.name = name

    @abstractmethod
    def sample(self, step: StepInfo, device: torch.device) -> Views:
        """The views of `step`; equal steps yield equal views."""

    def is_due(self, step: StepInfo) -> bool:
        """Whether the stream is used in `step`."""
        return step.step % self.config.every == 0
