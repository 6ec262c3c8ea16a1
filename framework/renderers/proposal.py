"""Samples where small networks expect something to be (mip-NeRF 360, arXiv:2111.12077).

A proposal network is a density of its own, coarse and quick to ask. Its weights along a ray say where the next round looks
closer, and the last round is what the renderer draws. The networks are not trained by the image: the histogram loss asks
that the weights of each of them bound those of the drawn volume, which is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core import schedule
from framework.core.registries import SAMPLERS
from framework.core.schedule import Schedule
from framework.core.step import StepInfo
from framework.networks.activations import activation
from framework.networks.encodings import HashGridEncoding
from framework.networks.mlp import MLP
from framework.ops.backends import AUTO
from framework.ops.histograms import evenly_spaced, histogram_loss, redraw, weights_of_density
from framework.ops.ray_sampling import cube_interval
from framework.ops.torch.precision import at_least_float32
from framework.renderers.samplers import FoundSamples, Histogram, RaySampler, Search
from framework.structures.rays import Rays, RaySamples


@SAMPLERS.register("proposal")
class Proposal(RaySampler):
    """Samples where small density networks, trained along with the scene, expect weight (mip-NeRF 360).

    A ray that meets the cube gets as many samples as the renderer's `samples_per_ray` says, which together cover all of
    its way through the cube. The networks need a learning rate: `scene.proposals` in the optimizer's parameters.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(RaySampler.Config):
        rounds: tuple[int, ...] = (64, 32)
        """Intervals of a ray in each round; there is a network for each."""
        num_levels: int = 5
        """Levels of a network's hash grid."""
        log2_table_size: int = 13
        """Logarithm of the most entries that a level may have."""
        base_resolution: int = 8
        """Grid points a side of the coarsest level."""
        per_level_scale: float = 1.7
        """Growth of the resolution from level to level."""
        hidden_dim: int = 16
        """Width of a network's hidden layer."""
        sharpness: Schedule = schedule.Ramp("linear", 0.0, 1.0, during=(0.0, 0.2))
        """Power of a network's weights by which the next round is drawn: 0 draws evenly, 1 as the network says."""
        padding: float = 0.01
        """Weight that every ray has beside the network's, spread evenly over its intervals, so that none is left out."""

        def __post_init__(self) -> None:
            sizes = (self.num_levels, self.log2_table_size, self.base_resolution, self.hidden_dim)
            if min(sizes) < 1 or self.per_level_scale < 1.0:
                raise ValueError(f"sizes of the networks must be positive and per_level_scale at least 1, got {sizes}.")
            if not self.rounds or min(self.rounds) < 1:
                raise ValueError(f"rounds must name at least one positive number of intervals, got {self.rounds}.")
            low, high = self.sharpness.bounds()
            if low < 0.0 or high > 1.0:
                raise ValueError(f"sharpness must stay in [0, 1], got {low:g} to {high:g}.")
            if self.padding <= 0.0:
                raise ValueError(f"padding must be positive, got {self.padding:g}.")

    config: Config

    @classmethod
    def networks(
        cls, config: Any, *, radius: float, generator: torch.Generator, backends: dict[str, str]
    ) -> Iterable[nn.Module]:
        """A network for each round."""
        return [ProposalNetwork(config, radius=radius, generator=generator, backends=backends) for _ in config.rounds]

    def find(self, rays: Rays, search: Search) -> FoundSamples:
        """Samples of the last round, and what the networks said in those before."""
        entry, leave = cube_interval(rays, search.scene.geometry.config.radius, search.near)
        (met,) = (leave > entry).nonzero(as_tuple=True)
        jitters = [search.jitter(rays, f"proposal.{index}") for index in range(len(self.config.rounds) + 1)]
        first, *others = (None if jitter is None else jitter[met] for jitter in jitters)
        edges = evenly_spaced(entry[met], leave[met], self.config.rounds[0], first)
        proposals = []
        counts = [*self.config.rounds[1:], search.samples_per_ray]
        for network, count, jitter in zip(search.scene.proposals, counts, others, strict=True):
            proposals.append(Histogram(edges, _weights(network, rays[met], edges, search.step)))
            edges = redraw(edges, self._drawn_by(proposals[-1].weights, search.step), count, jitter)
        return FoundSamples(RaySamples.between(edges, met, num_rays=len(rays)), tuple(proposals))

    def loss(self, found: FoundSamples, weights: Float[Tensor, "M"]) -> Float[Tensor, ""]:
        """The sum of the networks' histogram losses."""
        samples, num_rays = found.samples, len(found.proposals[0].edges)
        if num_rays == 0:
            return weights.new_zeros(())
        starts, ends, drawn = (values.view(num_rays, -1) for values in (samples.starts, samples.ends, weights))
        edges = torch.cat([starts, ends[:, -1:]], dim=1)
        losses = [histogram_loss(drawn, edges, each.weights, each.edges) for each in found.proposals]
        return torch.stack(losses).sum()

    def _drawn_by(self, weights: Float[Tensor, "R intervals"], step: StepInfo) -> Float[Tensor, "R intervals"]:
        return weights.detach() ** self.config.sharpness(step) + self.config.padding / weights.shape[1]


class ProposalNetwork(nn.Module):
    """A small density field."""

    def __init__(
        self, config: Proposal.Config, *, radius: float, generator: torch.Generator, backends: dict[str, str]
    ) -> None:
        super().__init__()
        self.radius = radius
        # Grows fast: beside a surface, densities of some hundreds stand next to none.
        self._activation = activation("trunc-exp")
        self.encoding = HashGridEncoding(
            num_levels=config.num_levels,
            features_per_level=2,
            log2_table_size=config.log2_table_size,
            base_resolution=config.base_resolution,
            per_level_scale=config.per_level_scale,
            generator=generator,
            backend=backends.get("hash-encoding", AUTO),
        )
        self.mlp = MLP(
            self.encoding.output_dim,
            1,
            hidden_dim=config.hidden_dim,
            generator=generator,
            backend=backends.get("mlp", AUTO),
        )

    def forward(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Density at world positions in the cube, per world unit."""
        unit = (positions * (0.5 / self.radius) + 0.5).clamp(0.0, 1.0)
        return self._activation(at_least_float32(self.mlp(self.encoding(unit)))[:, 0])


def _weights(
    network: nn.Module, rays: Rays, edges: Float[Tensor, "R edges"], step: StepInfo
) -> Float[Tensor, "R intervals"]:
    """What a network expects of the intervals; with gradients in training alone."""
    middles = 0.5 * (edges[:, 1:] + edges[:, :-1])
    positions = rays.origins[:, None] + rays.directions[:, None] * middles[..., None]  # (R, intervals, 3)
    with torch.set_grad_enabled(step.is_training and torch.is_grad_enabled()):
        density = network(positions.reshape(-1, 3)).view_as(middles)
        return weights_of_density(density, edges)
