"""Regularisers of the normals of a volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer


@LOSSES.register("orientation")
class Orientation(Loss):
    """Penalty on visible normals that face away from the camera (Ref-NeRF, arXiv:2112.03907, eq. 11).

    sum_i w_i max(0, n_i . d)^2 over all samples with a normal, divided by the number of rays that meet anything: a mean
    over rays, so that a weight keeps its meaning across image sizes.
    """

    needs = frozenset({Buffer.SAMPLES, Buffer.NORMAL})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss; zero where nothing is seen."""
        user = "loss 'orientation'"
        volume = frame.render.require_volume(user)
        if volume.normals is None:
            frame.render.require(Buffer.NORMAL, user)
            raise AssertionError("a render with a normal image has the normals of its samples")
        # Weights are detached: the penalty should turn the normals, not remove density.
        weights = volume.weights.detach().index_select(0, volume.shaded)
        away = (volume.normals * volume.directions).sum(dim=1).clamp(min=0.0)
        num_rays = torch.count_nonzero(frame.render.opacity.detach()).clamp(min=1)
        return TermOutput(losses={"orientation": (weights * away.square()).sum() / num_rays})
