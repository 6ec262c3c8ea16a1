"""The contract of losses: terms that look at a render and know no diffusion model."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

from framework.core.component import Component
from framework.core.schedule import Constant, Schedule
from framework.structures.losses import Term


class Loss(Component, Term, ABC):
    """A regulariser of the render of one stream."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        stream: str = "random"
        """The stream of views whose renders it looks at."""
        weight: Schedule = Constant(1.0)
        """Factor in the total loss."""

    def __init__(self, config: Config, *, prompt: str = "") -> None:
        """Build for a run that makes what `prompt` says, which most losses do not ask."""
        self.config = config
