"""Regularisers of how weight is spread along the rays of a volume."""

from __future__ import annotations

from dataclasses import dataclass

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer


@LOSSES.register("z-variance")
class ZVariance(Loss):
    """Mean over a view's opaque pixels of the variance of depth along their rays: sharpens surfaces (HiFA, arXiv:2305.18766).

    With weights w_i at distances z_i and opacity o: sum_i (w_i / o) (z_i - sum_j (w_j / o) z_j)^2.
    """

    needs = frozenset({Buffer.SAMPLES})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        min_opacity: float = 0.5
        """Pixels of less opacity than this are left alone."""

        def __post_init__(self) -> None:
            if not 0.0 < self.min_opacity < 1.0:
                raise ValueError(f"min_opacity must lie in (0, 1), got {self.min_opacity:g}.")

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, a mean over views, in square world units; zero where nothing is opaque."""
        volume = frame.render.require_volume("loss 'z-variance'")
        samples, weights = volume.samples, volume.weights
        ray = samples.ray_index.long()
        empty = weights.new_zeros(samples.num_rays)
        opacity = empty.index_add(0, ray, weights)
        shares = weights / opacity.clamp(min=self.config.min_opacity)[ray]
        depth = empty.index_add(0, ray, shares * samples.middles)
        variance = empty.index_add(0, ray, shares * (samples.middles - depth[ray]).square())
        is_opaque = (opacity.detach() > self.config.min_opacity).view(len(frame.views), -1)
        share = (variance.view_as(is_opaque) * is_opaque).sum(dim=1) / is_opaque.sum(dim=1).clamp(min=1)
        return TermOutput(losses={"z-variance": share.mean()})


@LOSSES.register("emptiness")
class Emptiness(Loss):
    """Mean over rays of sum_i log(1 + scale w_i): favours few samples of much weight (SJC, arXiv:2212.00774).

    Samples of no weight add nothing, so that the sum does not depend on how much empty space is skipped; SJC's mean over
    samples is this divided by their number on a ray.
    """

    needs = frozenset({Buffer.SAMPLES})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        scale: float = 10.0
        """How fast the cost of a sample saturates with its weight."""

        def __post_init__(self) -> None:
            if self.scale <= 0.0:
                raise ValueError(f"scale must be positive, got {self.scale:g}.")

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss."""
        volume = frame.render.require_volume("loss 'emptiness'")
        cost = (self.config.scale * volume.weights).log1p().sum() / volume.samples.num_rays
        return TermOutput(losses={"emptiness": cost})
