"""Renders of earlier steps, from which an adapter learns beside the present ones."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from framework.core import ranks
from framework.core.step import StepInfo
from framework.structures.cameras import Cameras
from framework.structures.views import Lights, Views


class ReplayBuffer(nn.Module):
    """A ring of clean samples and their views; all of it is in buffers, so that a resumed run has it, too.

    Args:
        size: Number of samples that are kept.
        sample_shape: (C, H, W) of one.
    """

    samples: Tensor
    cameras: Tensor
    angles: Tensor
    count: Tensor

    def __init__(self, size: int, sample_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("samples", torch.zeros(size, *sample_shape))
        self.register_buffer("cameras", torch.zeros(size, 4, 4))
        self.register_buffer("angles", torch.zeros(size, 4))  # azimuth, elevation, distance, vertical field of view
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def add(self, samples: Float[Tensor, "B C H W"], views: Views) -> None:
        """Keep the samples of all processes, in place of the oldest ones where the ring is full."""
        angles = torch.stack([views.azimuth, views.elevation, views.distance, views.cameras.fov_y], dim=-1)
        samples, poses, angles = (ranks.joined(item) for item in (samples, views.cameras.camera_to_world, angles))
        slots = (int(self.count) + torch.arange(len(samples), device=samples.device)) % len(self.samples)
        self.samples[slots] = samples
        self.cameras[slots] = poses
        self.angles[slots] = angles
        self.count += len(samples)

    def draw(self, count: int, generator: torch.Generator, step: StepInfo) -> tuple[Float[Tensor, "B C H W"], Views]:
        """Random samples of those kept, with their views.

        Args:
            count: Of this part of the batch.
            generator: That of the whole batch.
            step: Whose part it is.

        Raises:
            ValueError: If nothing has been kept yet.
        """
        kept = min(int(self.count), len(self.samples))
        if kept == 0:
            raise ValueError("The replay buffer is empty.")
        drawn = torch.randint(kept, (step.rows(count),), generator=generator, device=generator.device)
        chosen = step.own(drawn).to(self.samples.device)
        return self.samples[chosen], self._views(chosen)

    def _views(self, chosen: Int[Tensor, "B"]) -> Views:
        azimuth, elevation, distance, fov_y = self.angles[chosen].unbind(dim=-1)
        height, width = self.samples.shape[-2:]
        cameras = Cameras(self.cameras[chosen], fov_y, height, width)
        return Views(cameras, azimuth, elevation, distance, Lights.ambient_only(cameras.positions))
