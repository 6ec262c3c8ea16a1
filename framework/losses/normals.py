"""Regularisers of normals: of the samples of a volume, and of normal images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.losses.field import ask, draw_rows, sample_positions
from framework.structures.field import Attribute
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer, VolumeSamples


@LOSSES.register("orientation")
class Orientation(Loss):
    """Penalty on visible normals that face away from the camera (Ref-NeRF, arXiv:2112.03907, eq. 11).

    sum_i w_i max(0, n_i . d)^2 over all samples with a normal of a view, divided by the number of its rays that meet
    anything: a mean over rays, so that a weight keeps its meaning across image sizes, and then over views.
    """

    needs = frozenset({Buffer.SAMPLES, Buffer.NORMAL})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss; zero where nothing is seen."""
        user = "loss 'orientation'"
        volume, normals = _samples_with_normals(frame, user)
        # Weights are detached: the penalty should turn the normals, not remove density.
        weights = volume.weights.detach().index_select(0, volume.shaded)
        away = (normals * volume.directions).sum(dim=1).clamp(min=0.0)
        opacity = frame.render.opacity.detach().flatten(1)  # (B, H W)
        view = volume.samples.ray_index.index_select(0, volume.shaded).long() // opacity.shape[1]
        penalty = opacity.new_zeros(len(opacity)).index_add(0, view, weights * away.square())
        return TermOutput(losses={"orientation": (penalty / opacity.count_nonzero(dim=1).clamp(min=1)).mean()})


@LOSSES.register("normal-smoothness-3d")
class NormalSmoothness3d(Loss):
    """Mean |n(x) - n(x + d)| at samples x, d normal with deviation `distance` (stable-dreamfusion, threestudio's Zero123)."""

    needs = frozenset({Buffer.SAMPLES, Buffer.NORMAL})
    asks = frozenset({Attribute.NORMALS})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        distance: float = 0.01
        """Standard deviation of the offset along each axis, world units."""
        num_points: int = 4096
        """Samples looked at in each step, of those with a normal."""

        def __post_init__(self) -> None:
            if self.distance <= 0.0 or self.num_points < 1:
                given = f"{self.distance:g} and {self.num_points}"
                raise ValueError(f"distance and num_points must be positive, got {given}.")

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, a mean over samples and axes; zero where no sample has a normal."""
        user = "loss 'normal-smoothness-3d'"
        volume, normals = _samples_with_normals(frame, user)
        chosen = draw_rows(frame, len(volume.shaded), self.config.num_points, user)
        positions = sample_positions(frame, user)[volume.shaded[chosen]]
        generator = frame.step.generator(f"{user} offsets", positions.device)
        offsets = torch.randn(positions.shape, generator=generator, device=positions.device)
        moved = ask(frame, positions + self.config.distance * offsets, Attribute.NORMALS).normals
        assert moved is not None
        difference = (normals[chosen] - moved).abs()
        return TermOutput(losses={"normal-smoothness-3d": difference.sum() / max(1, difference.numel())})


@LOSSES.register("convexity")
class Convexity(Loss):
    """Reward for normals that turn outwards across the image, as on convex objects (SDI, arXiv:2405.15891).

    Over neighbours l, r side by side and u, d one above the other of the image of normals at low resolution:
    -mean (n_l x n_r) . up - mean (n_u x n_d) . right, minus the mean sine of the angle by which they turn.
    """

    needs = frozenset({Buffer.NORMAL})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        resolution: int = 8
        """Height and width to which the normals are averaged, pixels."""

        def __post_init__(self) -> None:
            if self.resolution < 2:
                raise ValueError(f"resolution must be at least 2, got {self.resolution}.")

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, negative where the object looks convex, in [-2, 2]; empty pixels count as flat."""
        normal = frame.render.require(Buffer.NORMAL, "loss 'convexity'")
        rotation = frame.views.cameras.camera_to_world[:, :3, :3]
        in_camera = torch.einsum("bij,bhwi->bjhw", rotation, normal)  # x right, y up
        coarse = F.adaptive_avg_pool2d(in_camera, self.config.resolution).movedim(1, -1)
        across = torch.linalg.cross(coarse[:, :, :-1], coarse[:, :, 1:])[..., 1]
        downwards = torch.linalg.cross(coarse[:, :-1], coarse[:, 1:])[..., 0]
        return TermOutput(losses={"convexity": -across.mean() - downwards.mean()})


def _samples_with_normals(frame: Frame, user: str) -> tuple[VolumeSamples, Float[Tensor, "K 3"]]:
    volume = frame.render.require_volume(user)
    if volume.normals is None:
        frame.render.require(Buffer.NORMAL, user)
        raise AssertionError("a render with a normal image has the normals of its samples")
    return volume, volume.normals
