"""The contract of exporters: files that other programs open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from framework.core.component import Component
from framework.core.step import StepInfo
from framework.renderers.base import Renderer, Scene


class Exporter(Component, ABC):
    """Writes a scene to files."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def export(self, scene: Scene, renderer: Renderer, folder: Path, step: StepInfo) -> list[Path]:
        """Write the scene into `folder` and return what was written.

        Raises:
            UserError: If there is nothing to export; says the field's range and what to change.
        """
