"""The oracle prior: the exact denoiser of a finite set of toybox renders, where a network would only approximate one.

A prompt names one scene: the objects it says, with all that it leaves open in the middle of the generator's range (or
drawn by `nuisance_seed`). Its images are renders of that scene from the toybox's own distribution of cameras and lights;
with view words in the prompt, those of that view; where a condition tells the camera, the one render from there. The
unconditional images show scenes of all kinds of prompts. Backgrounds are one colour, which is inferred from the noisy
image unless the config gives it, so a field may be trained on any.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import PRIORS
from framework.core.step import named_generator
from framework.diffusion.conditions import Conditions, PromptIndex
from framework.diffusion.image_bank import BackgroundModel, ImageBank
from framework.diffusion.images import images_to_samples, samples_to_images
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Prediction
from framework.diffusion.prior import Prior
from framework.structures.views import Views
from framework.toybox.batches import training_batch
from framework.toybox.captions import UnknownPrompt, parse_prompt, view_words
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import Scene, SceneSpec, build
from framework.toybox.tracing import Lights
from framework.toybox.views import ToyViews, ViewDistribution

log = logging.getLogger(__name__)

CHUNK = 256
"""Images that are rendered at once."""
ANY_BACKGROUND = BackgroundModel(mean=(0.0, 0.0, 0.0), deviation=0.65)
"""Mean and spread of the toybox's own backgrounds, in sample units."""


@dataclass(frozen=True)
class NamedScene:
    """What a prompt names, and renders of it.

    Attributes:
        bank: Renders, those of one view word side by side.
        rows: The rows of each view word in the bank.
        pack: The scene itself; None for the unconditional mixture.
    """

    bank: ImageBank = field(repr=False)
    rows: dict[str, slice]
    pack: ScenePack | None = field(repr=False)


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
            if self.views < 4 or self.image_size < 1 or self.num_timesteps < 2:
                raise ValueError("views must be at least 4, image_size at least 1 and num_timesteps at least 2.")

    config: Config

    def __init__(self, config: Config, *, device: torch.device) -> None:
        super().__init__(config, device=device)
        self.schedule = NoiseSchedule.cosine(config.num_timesteps).to(device)
        self.sample_shape = (3, config.image_size, config.image_size)
        self._background = ANY_BACKGROUND
        if config.background is not None:
            red, green, blue = (2.0 * channel - 1.0 for channel in config.background)
            self._background = BackgroundModel((red, green, blue), 0.0)
        self._prompts: list[SceneSpec | None] = []
        self._scenes: dict[SceneSpec | None, NamedScene] = {}

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
                self._named(dataclasses.replace(spec, view=None))
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
        return self._build(dataclasses.replace(spec, view=None))

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
            spec = self._prompts[number]
            with_camera = knows_camera & (prompts == number) & (spec is not None)
            for item in with_camera.nonzero()[:, 0].tolist():
                assert views is not None and spec is not None
                bank, at = self._from_camera(spec, views[item]), [item]
                clean[at] = bank.denoise(noisy[at], alpha[at], sigma[at], self._background)
            others = ((prompts == number) & ~with_camera).nonzero()[:, 0]
            if len(others):
                bank = self._bank(spec)
                clean[others] = bank.denoise(noisy[others], alpha[others], sigma[others], self._background)
        return clean

    def _bank(self, spec: SceneSpec | None) -> ImageBank:
        """The images that a prompt stands for."""
        if spec is None or spec.view is None:
            return self._named(spec).bank
        named = self._named(dataclasses.replace(spec, view=None))
        return named.bank[named.rows[spec.view]]

    def _named(self, spec: SceneSpec | None) -> NamedScene:
        if spec not in self._scenes:
            started = time.perf_counter()
            self._scenes[spec] = self._mixture() if spec is None else self._render_scene(spec)
            seconds = time.perf_counter() - started
            what = "scenes of all kinds" if spec is None else "the named scene"
            log.info("The oracle rendered %d images of %s in %.1f s.", self.config.views, what, seconds)
        return self._scenes[spec]

    def _build(self, spec: SceneSpec) -> Scene:
        nuisance = [0.5] * spec.num_nuisances
        if self.config.nuisance_seed is not None:
            generator = named_generator(self.config.nuisance_seed, "oracle.nuisance")
            nuisance = torch.rand(spec.num_nuisances, generator=generator).tolist()
        return build(spec, nuisance)

    def _render_scene(self, spec: SceneSpec) -> NamedScene:
        generator = named_generator(self.config.seed, "oracle.views")
        views = self._distribution().sample(self.config.views, size=self.config.image_size, generator=generator)
        words = [view_words(*angles) for angles in zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)]
        order = sorted(range(len(words)), key=lambda item: words[item])
        words = [words[item] for item in order]
        rows = {word: slice(words.index(word), words.index(word) + words.count(word)) for word in dict.fromkeys(words)}
        pack = ScenePack.from_scenes([self._build(spec)])
        return NamedScene(self._render_bank(pack, views[order]).to(self.device), rows, pack)

    def _mixture(self) -> NamedScene:
        generator = named_generator(self.config.seed, "oracle.mixture")
        banks = []
        for start in range(0, self.config.views, CHUNK):
            count = min(CHUNK, self.config.views - start)
            batch = training_batch(generator, count, size=self.config.image_size, views=self._distribution())
            behind = batch.views.background[:, None, None]
            premultiplied = batch.images - (1.0 - batch.renders.opacity) * behind
            banks.append(ImageBank.from_images(premultiplied, batch.renders.opacity, self._background))
        return NamedScene(ImageBank.concatenate(banks).to(self.device), {}, None)

    def _from_camera(self, spec: SceneSpec, view: Views) -> ImageBank:
        """The one image that a known camera and light show."""
        pack = self._named(dataclasses.replace(spec, view=None)).pack
        assert pack is not None
        size = self.config.image_size
        cameras = dataclasses.replace(view.cameras, height=size, width=size).to("cpu")
        lights = Lights(view.lights.positions.contiguous(), view.lights.ambient).to("cpu")
        black = torch.zeros(1, 3)
        views = ToyViews(cameras, view.azimuth.cpu(), view.elevation.cpu(), view.distance.cpu(), lights, black)
        return self._render_bank(pack, views).to(self.device)

    def _render_bank(self, pack: ScenePack, views: ToyViews) -> ImageBank:
        """Renders of one scene, over black."""
        banks = []
        for start in range(0, len(views), CHUNK):
            part = views[start : start + CHUNK]
            packs = pack[[0] * len(part)]
            images = render(packs, cameras=part.cameras, lights=part.lights, background=torch.zeros(len(part), 3))
            banks.append(ImageBank.from_images(images.rgb, images.opacity, self._background))
        return ImageBank.concatenate(banks)

    def _distribution(self) -> ViewDistribution:
        return ViewDistribution() if self.config.light == "random" else ViewDistribution(albedo_share=1.0)


def parse_known(prompt: str) -> SceneSpec | None:
    """What a prompt asks of the toybox; None for the empty prompt.

    Raises:
        UserError: If it has words, or an arrangement of them, that the toybox does not know.
    """
    if not prompt.strip():
        return None
    try:
        spec = parse_prompt(prompt)
    except UnknownPrompt as error:
        raise UserError(
            f"{error} The oracle can only show what the toybox can; see '--describe prior/oracle'."
        ) from error
    if spec is None:
        raise UserError(
            f"The toybox knows the words of '{prompt}', but has no such scene. Name one object with at most one colour, "
            "such as 'a red car', or two simple shapes, such as 'a red cube on top of a blue cylinder'."
        )
    return spec


def _cameras(conditions: Conditions, row: int) -> tuple[Views | None, Bool[Tensor, "B"]]:
    """The views, and which samples of a row are told theirs."""
    if conditions.camera_present is None:
        return conditions.views, torch.zeros_like(conditions.weights[row], dtype=torch.bool)
    return conditions.views, conditions.camera_present[row]
