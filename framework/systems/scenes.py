"""The scenes of one system: one, or several particles of one prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from framework.core import ranks
from framework.core.component import slot
from framework.core.registries import BACKGROUNDS, GEOMETRIES, MATERIALS, RENDERERS
from framework.core.run_config import RunConfig
from framework.core.step import StepInfo, named_generator
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid, OccupancySettings


@dataclass(kw_only=True, frozen=True)
class SceneConfig:
    """What is optimised."""

    geometry: Any = slot(GEOMETRIES, default="density-field")
    """Shape and features."""
    material: Any = slot(MATERIALS, default="lambertian")
    """How the surface looks."""
    background: Any = slot(BACKGROUNDS, default="solid-color")
    """What stands behind it."""
    occupancy: OccupancySettings = field(default_factory=lambda: OccupancySettings())
    """Where space is known to be empty."""


class Scenes(nn.ModuleList):
    """Scenes that take turns: in every round of as many steps as there are scenes, each once, in random order.

    Several scenes are spread over the ranks. Each has as many of them, which take turns there, and knows no other: those are
    brought together where a checkpoint or a picture needs them.
    """

    @classmethod
    def build(cls, config: SceneConfig, count: int, run: RunConfig) -> Scenes:
        """`count` scenes that differ in their random initial values alone."""
        return cls(_build_scene(config, run, f"scene.{index}" if index else "scene") for index in range(count))

    def first(self) -> Scene:
        """The first scene, which is the only one in most runs."""
        return self.at(0)

    def at(self, index: int) -> Scene:
        """Scene number `index`."""
        scene = self[index]
        assert isinstance(scene, Scene)
        return scene

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Give tensors whose size is not the config's that which they have in a `state_dict` of scenes."""
        for index in range(len(self)):
            self.at(index).geometry.make_room(below(f"{index}.geometry.", state))

    @property
    def are_spread(self) -> bool:
        """Whether ranks have scenes of their own."""
        return len(self) > 1 and ranks.count() > 1

    def owner(self, index: int) -> int | None:
        """The rank that has scene number `index` to itself; None where all ranks train it together."""
        return index % ranks.count() if self.are_spread else None

    def drawn_for(self, step: StepInfo) -> StepInfo:
        """The step as what is random in it should see it: a rank with scenes of its own has a batch of its own."""
        return dataclasses.replace(step, has_own_batch=True) if self.are_spread else step

    def turn(self, step: StepInfo) -> tuple[Scene, StepInfo]:
        """The scene whose turn it is, and the step as it counts them: by its own turns."""
        own = [index for index in range(len(self)) if self.owner(index) in (None, step.rank)]
        step, count = self.drawn_for(step), len(own)
        first = dataclasses.replace(step, step=step.step - step.step % count)
        order = torch.randperm(count, generator=first.batch_generator("scenes"))
        turns = dataclasses.replace(step, step=step.step // count, max_steps=step.max_steps // count)
        return self.at(own[int(order[step.step % count])]), turns

    def named(self) -> Iterator[tuple[str, Scene]]:
        """All scenes with what ends the names of their images: nothing for the first, then -1, -2 and so on."""
        return ((f"-{index}" if index else "", self.at(index)) for index in range(len(self)))

    def folders(self, root: Path) -> Iterator[tuple[Path, Scene]]:
        """All scenes with where their results belong: the run folder for the first, folders in it for the others."""
        return ((root / f"particle{suffix}" if suffix else root, scene) for suffix, scene in self.named())


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a `state_dict` whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _build_scene(config: SceneConfig, run: RunConfig, name: str) -> Scene:
    geometry = GEOMETRIES.build(
        config.geometry, generator=named_generator(run.seed, f"{name}.geometry"), backends=run.backends
    )
    material = MATERIALS.build(
        config.material,
        num_features=geometry.config.num_features,
        generator=named_generator(run.seed, f"{name}.material"),
    )
    geometry.learn_look(material.features_of)
    background = BACKGROUNDS.build(config.background, generator=named_generator(run.seed, f"{name}.background"))
    renderer = run.system.renderer
    proposals = RENDERERS.find(RENDERERS.name_of(renderer)).proposals(
        renderer,
        radius=geometry.config.radius,
        generator=named_generator(run.seed, f"{name}.proposals"),
        backends=run.backends,
    )
    return Scene(
        geometry=geometry,
        material=material,
        background=background,
        occupancy=OccupancyGrid(config.occupancy),
        proposals=proposals,
    )
