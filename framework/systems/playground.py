"""Images instead of scenes: what a rule of distillation does, without a renderer in between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import slots
from framework.core.errors import Problem
from framework.core.registries import GUIDANCES, SYSTEMS
from framework.core.run_config import RunConfig
from framework.core.step import StepInfo, named_generator
from framework.diffusion.images import resize
from framework.export.video import write_video
from framework.guidance.base import Guidance
from framework.structures.losses import Frame, LossTerms
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views
from framework.systems.base import System
from framework.systems.guidances import build_guidances, guidance_problems
from framework.systems.images import sheet, write_png

_DISTANCE, _FOV_Y_DEG = 2.7, 45.0
_NUM_FRAMES = 60
_LAST_FRAMES = 15
"""How long a film stays at its end."""


@SYSTEMS.register("playground")
class Playground(System):
    """Optimise images, as pixels or latents, by any rule; the fastest way to see what a rule does."""

    @dataclass(kw_only=True, frozen=True)
    class Config(System.Config):
        guidance: Mapping[str, Any] = slots(GUIDANCES, single="main")
        """Score distillation terms; a mapping with a `type` is one term called `main`."""
        canvas: Literal["pixels", "latents"] = "pixels"
        """What is optimised; latents need a prior that works on them, and `buffer: latent`."""
        images: int = 4
        """Number of images, all optimised in every step."""
        size: int = 64
        """Height and width of an image in pixels; latents have the prior's own size."""
        azimuth_range_deg: tuple[float, float] = (0.0, 270.0)
        """Sides that the images show, evenly spaced from the first to the last; 0 is the front."""
        elevation_deg: float = 15.0
        """Elevation from which they are seen."""
        noise: float = 0.1
        """Standard deviation of the noise on the start: gray pixels or latents of zero, or the first guidance's
        `source_image` where it has one."""

        def __post_init__(self) -> None:
            if self.images < 1 or self.size < 8 or self.noise < 0.0:
                raise ValueError("images must be at least 1, size at least 8 and noise not negative.")

    config: Config

    def __init__(self, config: Config, *, run: RunConfig, device: torch.device) -> None:
        super().__init__(config, run=run, device=device)
        self.guidance = build_guidances(config.guidance, run=run, device=device)
        start = self._start()
        noise = torch.randn(start.shape, generator=named_generator(run.seed, "canvas"))
        self.canvas = nn.Parameter(start + config.noise * noise.to(device))
        self._past: dict[int, Tensor] = {}

    @classmethod
    def check(cls, config: Config, run: RunConfig) -> list[Problem]:
        wanted = "latent" if config.canvas == "latents" else "rgb"
        problems = [] if config.guidance else [Problem("system.guidance", "is empty, so there is nothing to follow.")]
        problems += [
            Problem(f"system.guidance.{name}.buffer", f"has to be '{wanted}' on a canvas of {config.canvas}.")
            for name, item in config.guidance.items()
            if item.buffer != wanted
        ]
        return problems + guidance_problems(config.guidance, run)

    def training_step(self, step: StepInfo) -> LossTerms:
        terms = LossTerms()
        frame = Frame(self, self.views(), self.render(), step)
        for name, guidance in self.guidance.items():
            assert isinstance(guidance, Guidance)
            path = f"guidance.{name}"
            terms.add(path, guidance(frame), weight=self.edits.weight(path, guidance.config.weight, step))
        self._remember(step)
        return terms

    def after_step(self, step: StepInfo) -> None:
        """Keep pixels in [0, 1], where colours are."""
        if self._is_pixels:
            with torch.no_grad():
                self.canvas.clamp_(0.0, 1.0)

    def views(self) -> Views:
        """From where the images show the object."""
        config, count = self.config, self.config.images
        first, last = (math.radians(angle) for angle in config.azimuth_range_deg)
        one = torch.ones(count, device=self.device)
        azimuth = torch.linspace(first, last, count, device=self.device)
        elevation, fov_y = math.radians(config.elevation_deg) * one, math.radians(_FOV_Y_DEG) * one
        return Views.orbit(azimuth, elevation, _DISTANCE * one, fov_y, height=config.size, width=config.size)

    def render(self) -> RenderOutput:
        """The canvas, as a renderer would hand it over."""
        rgb = self.canvas if self._is_pixels else torch.zeros(*self.canvas.shape[:3], 3).to(self.canvas)
        latent = None if self._is_pixels else self.canvas
        flat = torch.ones_like(rgb[..., :1]).detach()
        return RenderOutput(rgb=rgb, opacity=flat, depth=_DISTANCE * flat, renderer="canvas", latent=latent)

    def images(self, step: StepInfo) -> Mapping[str, Float[Tensor, "H W 3"]]:
        """The images side by side."""
        return {"views": self._shown(self.canvas.detach())}

    def export(self, folder: Path, step: StepInfo) -> list[Path]:
        """Write the images, and how they came about as a film."""
        result, film = folder / "result.png", folder / "trajectory.mp4"
        shown = self._shown(self.canvas.detach())
        write_png(result, shown)
        frames = [self._shown(past) for _, past in sorted(self._past.items())]
        write_video(film, [*frames, *[shown] * _LAST_FRAMES])
        return [result, film]

    @torch.no_grad()
    def _start(self) -> Float[Tensor, "B H W C"]:
        config, guidance = self.config, self._first()
        channels, height, width = guidance.prior.sample_shape
        if guidance.source_image is None:
            shape, middle = (
                ((config.size, config.size, 3), 0.5) if self._is_pixels else ((height, width, channels), 0.0)
            )
            return torch.full((config.images, *shape), middle, device=self.device)
        images = guidance.source_image.images(self.views())
        if self._is_pixels:
            return resize(images.permute(0, 3, 1, 2), height=config.size, width=config.size).permute(0, 2, 3, 1)
        return guidance.prior.encode(images).permute(0, 2, 3, 1)

    @property
    def _is_pixels(self) -> bool:
        return self.config.canvas == "pixels"

    def _first(self) -> Guidance:
        guidance = next(iter(self.guidance.values()))
        assert isinstance(guidance, Guidance)
        return guidance

    def _remember(self, step: StepInfo) -> None:
        if step.step % max(1, step.max_steps // _NUM_FRAMES) == 0:
            self._past[step.step] = self.canvas.detach().clone()

    @torch.no_grad()
    def _shown(self, canvas: Float[Tensor, "B H W C"]) -> Float[Tensor, "H2 W2 3"]:
        if not self._is_pixels:
            canvas = self._first().prior.decode(canvas.permute(0, 3, 1, 2))
        return sheet(canvas.clamp(0.0, 1.0), columns=self.config.images)
