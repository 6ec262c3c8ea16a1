"""A prior with a closed form: the images of one known sphere, each with Gaussian noise around it.

Given a view, data are distributed as N(mu, s^2 I) with mu the image of the sphere from there. Then

    eps*(x_t) = sigma (x_t - alpha mu) / (alpha^2 s^2 + sigma^2),

so the expected gradient of score distillation at a render x is w sigma alpha (x - mu) / (alpha^2 s^2 + sigma^2): a whole
run has a known answer in two and in three dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.core.registries import PRIORS
from framework.diffusion.conditions import Conditions, PromptIndex
from framework.diffusion.images import images_to_samples, samples_to_images
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Prediction, raw_target
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits
from framework.structures.views import Views

SCHEDULES = {
    "cosine": NoiseSchedule.cosine,
    "scaled-linear": NoiseSchedule.scaled_linear,
    "rectified-flow": NoiseSchedule.rectified_flow,
}


@PRIORS.register("analytic")
class AnalyticPrior(Prior):
    """A known coloured sphere, in closed form: exact answers for tests and first runs.

    Its colour grows in red along x, in green along y and in blue along z, so that a turned or mirrored result shows.
    It ignores the prompt, and light: views should be lit by ambient light only. It always looks at the views, whether or
    not a condition tells the camera.
    """

    space = "pixel"
    takes_camera = True

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        image_size: int = 64
        """Height and width of its samples, pixels."""
        radius: float = 0.6
        """Radius of the sphere, world units."""
        center: tuple[float, float, float] = (0.0, 0.0, 0.0)
        """Centre of the sphere, world space."""
        contrast: float = 0.8
        """Range of each colour channel over the sphere, about 0.5; in [0, 1]."""
        background: tuple[float, float, float] = (1.0, 1.0, 1.0)
        """Colour behind the sphere, in [0, 1], sRGB."""
        standard_deviation: float = 0.1
        """Spread s of the data about their mean, in units of samples, which span [-1, 1]."""
        num_timesteps: int = 1000
        """Number of training timesteps."""
        noise_schedule: Literal["cosine", "scaled-linear", "rectified-flow"] = "cosine"
        """How noise grows over the timesteps."""
        parameterization: Literal["epsilon", "velocity", "sample", "flow"] = "epsilon"
        """What its raw output means."""

        def __post_init__(self) -> None:
            if self.image_size < 1 or self.num_timesteps < 2:
                raise ValueError("image_size must be at least 1 and num_timesteps at least 2.")
            if self.radius <= 0.0 or self.standard_deviation <= 0.0:
                raise ValueError("radius and standard_deviation must be positive.")
            if not 0.0 <= self.contrast <= 1.0:
                raise ValueError(f"contrast must lie in [0, 1], got {self.contrast}.")

    config: Config

    @classmethod
    def traits_of(cls, config: Any) -> Traits:
        """The same for all of them."""
        return Traits(space=cls.space, takes_camera=cls.takes_camera)

    def __init__(self, config: Config, *, device: torch.device) -> None:
        super().__init__(config, device=device)
        self.schedule = SCHEDULES[config.noise_schedule](config.num_timesteps).to(device)
        self.sample_shape = (3, config.image_size, config.image_size)
        self.parameterization = config.parameterization
        self._center = torch.tensor(config.center, device=device)
        self._background = torch.tensor(config.background, device=device)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 h w"]:
        """Images at the prior's size, scaled to [-1, 1]."""
        return images_to_samples(images, height=self.config.image_size, width=self.config.image_size)

    def decode(self, samples: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w 3"]:
        """Samples as images."""
        return samples_to_images(samples)

    def encode_text(self, prompts: Sequence[str]) -> PromptIndex:
        """Numbers that are never read: every prompt names the same sphere."""
        return PromptIndex(torch.zeros(len(prompts), dtype=torch.long, device=self.device))

    def predict(
        self, noisy: Float[Tensor, "B 3 h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """The exact posterior; all conditions agree.

        Raises:
            ValueError: If the conditions hold no views, without which the mean is unknown.
        """
        if conditions.views is None:
            raise ValueError("The analytic prior needs to know the views that its samples show.")
        alpha, sigma = self.schedule.at(timestep)
        variance = self.config.standard_deviation**2
        mean = self.encode(self.truth(conditions.views))
        total = alpha**2 * variance + sigma**2
        epsilon = sigma * (noisy - alpha * mean) / total
        clean = (alpha * variance * noisy + sigma**2 * mean) / total
        raw = raw_target(clean, epsilon, alpha, sigma, self.parameterization)
        return Prediction(raw.expand(conditions.num_conditions, *raw.shape), noisy, alpha, sigma, self.parameterization)

    def truth(self, views: Views) -> Float[Tensor, "B H W 3"]:
        """Images of the sphere, at the size of the views' cameras; edges are antialiased to first order."""
        cameras = views.cameras
        rays = cameras.rays()
        shape = (len(views), cameras.height, cameras.width)
        towards = self._center - rays.origins
        along = (towards * rays.directions).sum(dim=-1, keepdim=True)
        nearest = along * rays.directions - towards  # (B * H * W, 3), from the centre to the ray's nearest point
        miss = nearest.norm(dim=-1, keepdim=True)
        depth_in = (self.config.radius**2 - miss**2).clamp(min=0.0).sqrt()
        surface = self._center + nearest - depth_in * rays.directions
        # Width of a pixel where the ray passes the centre: an angle of cos^2(off-axis) / focal, times the distance.
        forward = -cameras.camera_to_world[:, None, :3, 2]
        cosine = (rays.directions.reshape(len(views), -1, 3) * forward).sum(dim=-1)
        pixel_angle = cosine**2 * (2.0 / cameras.height) * torch.tan(0.5 * cameras.fov_y)[:, None]
        width = along.clamp(min=1e-6) * pixel_angle.reshape(-1, 1)
        coverage = (0.5 + (self.config.radius - miss) / width).clamp(0.0, 1.0) * (along > 0.0)
        return torch.lerp(self._background, self.color(surface), coverage).reshape(*shape, 3)

    def color(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colour of the sphere in the direction of each point, in [0, 1], sRGB."""
        return 0.5 + 0.5 * self.config.contrast * F.normalize(points - self._center, dim=-1)

    def inside(self, points: Float[Tensor, "N 3"]) -> Bool[Tensor, "N"]:
        """Whether points lie in the sphere."""
        return (points - self._center).norm(dim=-1) <= self.config.radius
