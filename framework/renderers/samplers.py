"""Where renderers of volumes take samples along their rays.

A sampler has no state. What it learns of a scene, proposal networks for instance, belongs to that scene, so that a
checkpoint holds it and every particle has its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component
from framework.core.registries import SAMPLERS
from framework.core.step import StepInfo
from framework.ops.backends import AUTO
from framework.ops.importance_sampling import refine
from framework.ops.ray_sampling import sample_occupied, steps_across
from framework.renderers.base import Scene
from framework.structures.rays import Rays, RaySamples


@dataclass(frozen=True)
class Histogram:
    """What a proposal says of R rays.

    Attributes:
        edges: Of the intervals, ascending along each ray, world units.
        weights: Of the intervals, with gradients to the proposal.
    """

    edges: Float[Tensor, "R edges"]
    weights: Float[Tensor, "R intervals"]


@dataclass(frozen=True)
class FoundSamples:
    """Samples, and the proposals by which they were found, if by any."""

    samples: RaySamples
    proposals: tuple[Histogram, ...] = ()


@dataclass(frozen=True)
class Search:
    """What a sampler has to go by.

    Attributes:
        scene: Its cube is searched.
        step: Training steps jitter their samples by `step.batch_generator`.
        samples_per_ray: As the renderer's setting says.
        near: Distance along the rays before which nothing is sampled, world units.
        weights: Weights of samples in the scene as it is now, without gradients.
        backends: Requested implementation by operation.
    """

    scene: Scene
    step: StepInfo
    samples_per_ray: int
    near: float
    weights: Callable[[RaySamples], Float[Tensor, "M"]]
    backends: dict[str, str]

    def jitter(self, rays: Rays, name: str) -> Float[Tensor, "N"] | None:
        """Offsets in training, where equal ones on all rays would show as bands."""
        if not self.step.is_training:
            return None
        generator, count = self.step.batch_generator(name, rays.device), self.step.rows(len(rays))
        return self.step.own(torch.rand(count, generator=generator, device=rays.device))

    def occupied_samples(self, rays: Rays) -> RaySamples:
        """Uniform steps through occupied space."""
        radius = self.scene.geometry.config.radius
        step_length = 2.0 * 3.0**0.5 * radius / self.samples_per_ray
        return sample_occupied(
            rays,
            self.scene.occupancy.is_occupied,
            radius=radius,
            step_length=step_length,
            near=self.near,
            jitter=self.jitter(rays, "volume"),
            max_samples_per_ray=steps_across(radius, step_length),
            backend=self.backends.get("ray-sampling", AUTO),
        )


class RaySampler(Component, ABC):
    """Chooses samples along rays."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def networks(
        cls, config: Any, *, radius: float, generator: torch.Generator, backends: dict[str, str]
    ) -> Iterable[nn.Module]:
        """What a sampler built from `config` learns of each scene; it finds them as `Scene.proposals`."""
        return ()

    @abstractmethod
    def find(self, rays: Rays, search: Search) -> FoundSamples:
        """Samples along `rays`."""

    def loss(self, found: FoundSamples, weights: Float[Tensor, "M"]) -> Float[Tensor, ""] | None:
        """What the networks learn from the weights that the samples turned out to have; None where there are none."""
        return None


@SAMPLERS.register("occupancy")
class Occupancy(RaySampler):
    """Uniform steps through occupied space."""

    @dataclass(kw_only=True, frozen=True)
    class Config(RaySampler.Config):
        pass

    def find(self, rays: Rays, search: Search) -> FoundSamples:
        """As many steps as the ray is long, without those in empty cells."""
        return FoundSamples(search.occupied_samples(rays))


@SAMPLERS.register("importance")
class Importance(RaySampler):
    """Uniform steps through occupied space, and further samples where these find weight (NeRF, arXiv:2003.08934, 5.2)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(RaySampler.Config):
        count: int = 32
        """Samples added on each ray that meets occupied space."""

        def __post_init__(self) -> None:
            if self.count < 1:
                raise ValueError(f"count must be positive, got {self.count}.")

    config: Config

    @torch.no_grad()
    def find(self, rays: Rays, search: Search) -> FoundSamples:
        """The steps, cut where they have weight; the field is asked for its shape once more."""
        samples = search.occupied_samples(rays)
        refined = refine(
            samples,
            search.weights(samples),
            count=self.config.count,
            jitter=search.jitter(rays, "importance"),
            backend=search.backends.get("importance-sampling", AUTO),
        )
        return FoundSamples(refined)
