"""Noise that sticks to the surface: every view of a point gets the same (CFD, arXiv:2501.05445; FSD, arXiv:2405.10988).

Space is cut into small cells, each with one unit normal number for each channel, made from its place by hashing, so that
nothing is stored. A pixel's noise is the sum over the visible cells whose centres lie in it, divided by the root of their
number: pixels share no cell, so each is unit normal and independent of the others, and a pixel that shows the same piece of
surface in another view has the same cells and the same noise. What lies behind the object is cut by direction.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.core.registries import PERTURBATIONS
from framework.core.step import stream_seed
from framework.diffusion.conditions import Conditions
from framework.diffusion.images import resize
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.perturbation import Perturbation, mixed
from framework.structures.cameras import Cameras
from framework.structures.losses import Frame
from framework.structures.render_output import Buffer

_BACKGROUND_DISTANCE = 1000.0
"""From the camera to where pixels without a surface are cut into cells, world units; so far that the views agree."""
_BACKGROUND_PIXEL = 2.0 * _BACKGROUND_DISTANCE * math.tan(math.radians(22.5))
"""Height of an image there, at a field of view of 45 degrees; what a cell is a share of."""
_MULTIPLIERS = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
"""Of splitmix64 (Steele et al. 2014), as signed numbers."""


@PERTURBATIONS.register("consistent-noise")
class ConsistentNoise(Perturbation):
    """The same noise for a point of the surface in every view (CFD, arXiv:2501.05445)."""

    needs = frozenset({Buffer.DEPTH, Buffer.OPACITY})

    @dataclass(kw_only=True, frozen=True)
    class Config(Perturbation.Config):
        cell_size: float = 0.008
        """Side of a cell, world units; a few should fit across a pixel of the prior's samples."""
        oversampling: int = 4
        """Rays across a pixel that look for cells."""
        redraw_every: int = 0
        """Training steps after which all noise is drawn anew; 0 keeps it for the whole run."""

        def __post_init__(self) -> None:
            if self.cell_size <= 0.0 or self.oversampling < 1 or self.redraw_every < 0:
                raise ValueError("cell_size must be positive, oversampling at least 1 and redraw_every at least 0.")

    config: Config

    def __call__(
        self,
        clean: Float[Tensor, "B C H W"],
        timestep: Int[Tensor, "B"],
        partner: Int[Tensor, "B"] | None,
        conditions: Conditions,
        frame: Frame,
    ) -> NoisySample:
        """The samples mixed with the noise of what they show."""
        return mixed(self.prior, clean, self.surface_noise(clean.shape, frame), timestep, partner)

    def surface_noise(self, shape: torch.Size, frame: Frame) -> Float[Tensor, "B C H W"]:
        """Unit noise of samples (B, C, H, W); where no cell is seen, that of the step."""
        batch, channels, height, width = shape
        cameras = frame.views.cameras
        points, is_surface = self._points(frame, height * self.config.oversampling, width * self.config.oversampling)
        sides = (self.config.cell_size, _BACKGROUND_PIXEL / height / self.config.oversampling)
        side = torch.where(is_surface, *sides)
        cells = torch.floor(points / side[..., None]).long()
        view = torch.arange(batch, device=cells.device)[:, None].expand(is_surface.shape)
        keyed = torch.cat([view[..., None], is_surface[..., None].long(), cells], dim=-1).flatten(0, 1)
        seen = torch.unique(keyed, dim=0)  # each cell once in every view
        centers = (seen[:, 2:] + 0.5) * torch.where(seen[:, [1]] == 1, *sides)
        pixel = _pixel_of(centers, seen[:, 0], dataclasses.replace(cameras, height=height, width=width))
        is_inside = pixel >= 0
        values = _normals(seen[is_inside, 1:], channels, self._seed(frame))
        return self._sums(values, pixel[is_inside], shape, frame)

    def _sums(
        self, values: Float[Tensor, "M C"], pixel: Int[Tensor, "M"], shape: torch.Size, frame: Frame
    ) -> Float[Tensor, "B C H W"]:
        batch, channels, height, width = shape
        sums = torch.zeros(batch * height * width, channels, device=values.device).index_add_(0, pixel, values)
        counts = torch.bincount(pixel, minlength=len(sums)).to(values.dtype)
        noise = (sums / counts.clamp(min=1.0).sqrt()[:, None]).view(batch, height, width, channels).permute(0, 3, 1, 2)
        is_empty = (counts == 0.0).view(batch, 1, height, width)
        return torch.where(is_empty, self.unit_noise(shape, frame), noise)

    def _points(self, frame: Frame, height: int, width: int) -> tuple[Float[Tensor, "B N 3"], Bool[Tensor, "B N"]]:
        """Where `height` x `width` rays of each view end, and whether on a surface."""
        buffers = [
            frame.render.require(item, "perturbation 'consistent-noise'") for item in (Buffer.DEPTH, Buffer.OPACITY)
        ]
        depth, opacity = (
            resize(item.detach().permute(0, 3, 1, 2).float(), height=height, width=width) for item in buffers
        )
        rays = dataclasses.replace(frame.views.cameras, height=height, width=width).rays()
        count = len(depth)
        is_surface = (opacity > 0.5).view(count, -1)
        distance = (depth / opacity.clamp(min=1e-6)).view(count, -1)
        distance = torch.where(is_surface, distance, _BACKGROUND_DISTANCE)
        origins, directions = (item.view(count, -1, 3) for item in (rays.origins, rays.directions))
        return origins + distance[..., None] * directions, is_surface

    def _seed(self, frame: Frame) -> int:
        period = self.config.redraw_every
        return stream_seed(frame.step.seed, self.name, frame.step.step // period if period else 0)


def _pixel_of(points: Float[Tensor, "M 3"], view: Int[Tensor, "M"], cameras: Cameras) -> Int[Tensor, "M"]:
    """The number of the pixel (view, row, column) that each point is seen in; -1 outside of the image."""
    matrices = cameras.intrinsics() @ cameras.world_to_camera("opencv")[:, :3]  # (B, 3, 4)
    projected = torch.einsum("mij,mj->mi", matrices[view][..., :3], points) + matrices[view][..., 3]
    depth = projected[:, 2]
    column, row = (torch.floor(projected[:, axis] / depth.clamp(min=1e-6)).long() for axis in (0, 1))
    is_inside = (depth > 0.0) & (column >= 0) & (column < cameras.width) & (row >= 0) & (row < cameras.height)
    return torch.where(is_inside, (view * cameras.height + row) * cameras.width + column, -1)


def _normals(keys: Int[Tensor, "M K"], channels: int, seed: int) -> Float[Tensor, "M C"]:
    """One unit normal number for each key and channel, from nothing but their values and the seed (Box-Muller)."""
    state = torch.full((len(keys), channels), seed, dtype=torch.long, device=keys.device)
    state = _mix(state + torch.arange(channels, device=keys.device))
    for column in keys.unbind(dim=1):
        state = _mix(state ^ _mix(column)[:, None])
    first, second = _uniform(state), _uniform(_mix(state + 1))
    return (-2.0 * torch.log(first)).sqrt() * torch.cos(2.0 * math.pi * second)


def _mix(state: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """One round of splitmix64; sums and products wrap around."""
    state = state + _MULTIPLIERS[0]
    state = (state ^ _shift(state, 30)) * _MULTIPLIERS[1]
    state = (state ^ _shift(state, 27)) * _MULTIPLIERS[2]
    return state ^ _shift(state, 31)


def _shift(state: Int[Tensor, "*shape"], bits: int) -> Int[Tensor, "*shape"]:
    """To the right, with zeros from the left."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _uniform(state: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Numbers in (0, 1)."""
    return ((_shift(state, 40).double() + 0.5) / float(1 << 24)).float()
