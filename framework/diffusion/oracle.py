"""The oracle prior: the exact denoiser of a finite set of toybox renders, where a network would only approximate one.

A prompt names one scene: the objects it says, with all that it leaves open in the middle of the generator's range (or
drawn by `nuisance_seed`). Its images are renders of that scene from the toybox's own distribution of cameras and lights;
with view words in the prompt, those of that view; where a condition tells the camera, the one render from there. The
unconditional images show scenes of all kinds of prompts. Backgrounds are one colour, which is inferred from the noisy
image unless the config gives it, so a field may be trained on any.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import PRIORS
from framework.diffusion.conditions import Conditions, PromptIndex
from framework.diffusion.image_bank import BackgroundModel
from framework.diffusion.images import images_to_samples, samples_to_images
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.oracle_scenes import OracleScenes, parse_known
from framework.diffusion.prediction import Prediction
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits
from framework.structures.views import Views
from framework.toybox.scenes import Scene, SceneSpec
from framework.toybox.views import ViewDistribution

ANY_BACKGROUND = BackgroundModel(mean=(0.0, 0.0, 0.0), deviation=0.65)
"""Mean and spread of the toybox's own backgrounds, in sample units."""


@PRIORS.register("oracle")
class OraclePrior(Prior):
    """The exact denoiser of renders of the scene that the prompt names; knows toybox words only, needs no weights."""

    space = "pixel"
    parameterization = "sample"
    takes_camera = True

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        views: int = 2048
        """Number of renders of each scene, and of the unconditional mixture."""
        image_size: int = 64
        """Height and width of its samples, pixels."""
        framing_range: tuple[float, float] = (1.0, 1.06)
        """Radius of the sphere that just fits into the view, world units. Views of a run should keep to it: where sizes in
        the image vary, low noise levels keep whatever size the object has by chance."""
        fov_y_range_deg: tuple[float, float] = (40.0, 50.0)
        """Vertical fields of view; the same holds."""
        light: Literal["random", "ambient"] = "random"
        """Light of the renders: as the toybox lights its training images, or plain albedo."""
        background: tuple[float, float, float] | None = None
        """The colour behind the object, in [0, 1], sRGB; by default any, inferred from each noisy image."""
        nuisance_seed: int | None = None
        """Draws what the prompt leaves open, such as proportions; by default the middle of every range."""
        seed: int = 0
        """Draws cameras and lights."""
        num_timesteps: int = 1000
        """Number of timesteps of its cosine schedule."""

        def __post_init__(self) -> None:
            for name in ("framing_range", "fov_y_range_deg"):
                first, last = getattr(self, name)
                if not 0.0 < first <= last:
                    raise ValueError(f"{name}: expected two ascending positive numbers, got {first} and {last}.")
            if self.views < 4 or self.image_size < 1 or self.num_timesteps < 2:
                raise ValueError("views must be at least 4, image_size at least 1 and num_timesteps at least 2.")

    config: Config

    @classmethod
    def traits_of(cls, config: Any) -> Traits:
        """The same for all of them."""
        return Traits(space=cls.space, takes_camera=cls.takes_camera)

    def __init__(self, config: Config, *, device: torch.device) -> None:
        super().__init__(config, device=device)
        self.schedule = NoiseSchedule.cosine(config.num_timesteps).to(device)
        self.sample_shape = (3, config.image_size, config.image_size)
        self._background = ANY_BACKGROUND
        if config.background is not None:
            red, green, blue = (2.0 * channel - 1.0 for channel in config.background)
            self._background = BackgroundModel((red, green, blue), 0.0)
        self._scenes = OracleScenes(
            num_views=config.views,
            image_size=config.image_size,
            distribution=_distribution(config),
            background=self._background,
            nuisance_seed=config.nuisance_seed,
            seed=config.seed,
            device=device,
        )
        self._prompts: list[SceneSpec | None] = []

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 h w"]:
        """Images at the prior's size, scaled to [-1, 1]."""
        return images_to_samples(images, height=self.config.image_size, width=self.config.image_size)

    def decode(self, samples: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w 3"]:
        """Samples as images."""
        return samples_to_images(samples)

    def encode_text(self, prompts: Sequence[str]) -> PromptIndex:
        """Numbers of the prompts; scenes that are new are rendered now, the unconditional mixture when it is needed.

        Raises:
            UserError: If a prompt has words, or an arrangement of them, that the toybox does not know.
        """
        numbers = []
        for spec in map(parse_known, prompts):
            if spec not in self._prompts:
                self._prompts.append(spec)
            if spec is not None:
                self._scenes.named(spec)
            numbers.append(self._prompts.index(spec))
        return PromptIndex(torch.tensor(numbers, dtype=torch.long, device=self.device))

    def predict(
        self, noisy: Float[Tensor, "B 3 h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """The exact mean of the clean images under each condition."""
        assert isinstance(conditions.text, PromptIndex)
        alpha, sigma = self.schedule.at(timestep)
        rows = [
            self._denoise(noisy, alpha, sigma, conditions.text.index[row], *_cameras(conditions, row))
            for row in range(conditions.num_conditions)
        ]
        return Prediction(torch.stack(rows), noisy, alpha, sigma, self.parameterization)

    def scene(self, prompt: str) -> Scene:
        """The scene that the prompt names, view words aside."""
        spec = parse_known(prompt)
        if spec is None:
            raise UserError("The empty prompt names no scene.")
        return self._scenes.scene(spec)

    def _denoise(
        self,
        noisy: Float[Tensor, "B 3 h w"],
        alpha: Float[Tensor, "B 1 1 1"],
        sigma: Float[Tensor, "B 1 1 1"],
        prompts: Int[Tensor, "B"],
        views: Views | None,
        knows_camera: Bool[Tensor, "B"],
    ) -> Float[Tensor, "B 3 h w"]:
        """One condition for each sample; samples of one prompt are denoised together."""
        clean = torch.empty_like(noisy)
        for number in torch.unique(prompts).tolist():
            spec, is_asked = self._prompts[number], prompts == number
            told = is_asked & knows_camera if spec is not None else torch.zeros_like(is_asked)
            for item in told.nonzero()[:, 0].tolist():
                assert views is not None
                assert spec is not None
                bank, at = self._scenes.from_camera(spec, views[item]), [item]
                clean[at] = bank.denoise(noisy[at], alpha[at], sigma[at], self._background)
            others = (is_asked & ~told).nonzero()[:, 0]
            if len(others):
                bank = self._scenes.mixture() if spec is None else self._scenes.bank(spec)
                clean[others] = bank.denoise(noisy[others], alpha[others], sigma[others], self._background)
        return clean


def _distribution(config: OraclePrior.Config) -> ViewDistribution:
    """The toybox's own views, with the ranges of the config."""
    ranges = ViewDistribution(framing_range=config.framing_range, fov_y_range_deg=config.fov_y_range_deg)
    return ranges if config.light == "random" else dataclasses.replace(ranges, albedo_share=1.0)


def _cameras(conditions: Conditions, row: int) -> tuple[Views | None, Bool[Tensor, "B"]]:
    """The views, and which samples of a row are told theirs."""
    if conditions.camera_present is None:
        return conditions.views, torch.zeros_like(conditions.weights[row], dtype=torch.bool)
    return conditions.views, conditions.camera_present[row]
