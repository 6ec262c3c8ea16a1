"""The template of guidance: from the render of a step to a gradient on it.

A method of score distillation differs from another in its residual; how noise is added, which timesteps are looked at,
how they are weighted and how predictions are combined are slots, and encoding, clipping, the surrogate loss, metrics and
previews are the same for all and stand here.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from framework.core.component import Component, slot
from framework.core.errors import Problem, UserError
from framework.core.registries import (
    COMBINATIONS,
    CONDITIONERS,
    PERTURBATIONS,
    PRIORS,
    SOURCES,
    TIMESTEPS,
    WEIGHTINGS,
)
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits
from framework.guidance.combination import Combination
from framework.guidance.perturbation import Perturbation
from framework.guidance.rules import combined_prediction, surrogate_loss
from framework.guidance.source import Source
from framework.guidance.timesteps import Timesteps
from framework.guidance.weighting import Weighting
from framework.prompts.conditioner import Conditioner
from framework.structures.losses import Frame, Term, TermOutput, Update
from framework.structures.render_output import Buffer, RenderOutput

log = logging.getLogger(__name__)

_DISTILLED = (
    "guidance '%s': the prior is guidance-distilled, its answers are guided already. Other scales than "
    "guidance_scale: 1 leave what it was trained for and cost a second evaluation."
)

_STACKED = 4
"""Channels of normals and opacity together."""

_NO_USE_OF_SOURCE = (
    "names an image that this prior cannot be shown and this rule does not look at. Remove it, use a rule that edits "
    "(delta-denoising, posterior), or a prior that does (InstructPix2Pix)."
)


class Guidance(Component, nn.Module, Term, ABC):
    """A term that asks a diffusion prior how a render should change.

    It is a module so that methods with trainable parts (an adapter) own them; the prior is none and stays outside.
    """

    needs = frozenset({Buffer.RGB})
    compares_source: ClassVar[bool] = False
    """Whether the rule itself looks at the source, whatever the prior is shown."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        stream: str = "random"
        """The stream of views whose renders are guided."""
        weight: Schedule = Constant(1.0)
        """Factor in the total loss."""
        guidance_scale: Schedule = Constant(15.0)
        """Strength s of the prompt in uncond + s (cond - uncond); 1 is no guidance."""
        prior: Prior.Config | None = slot(PRIORS, default=None)
        """The diffusion prior; without one, that of the run."""
        prompts: Conditioner.Config = slot(CONDITIONERS, default="view-dependent")
        """How the prompt becomes conditions of each view."""
        timesteps: Timesteps.Config = slot(TIMESTEPS, default="uniform")
        """Which noise levels are looked at."""
        perturbation: Perturbation.Config = slot(PERTURBATIONS, default="random-noise")
        """Where the noise comes from."""
        weighting: Weighting.Config = slot(WEIGHTINGS, default="dreamfusion")
        """How much each noise level counts."""
        combination: Combination.Config = slot(COMBINATIONS, default="classifier-free")
        """How predictions under several conditions become one."""
        source_image: Source.Config | None = slot(SOURCES, default=None)
        """What an edit begins with, for priors that are shown it and for rules that compare with it."""
        buffer: Literal["rgb", "normal", "latent"] = "rgb"
        """What the prior looks at: colours, world-space normals mapped to [0, 1], or latents as they are."""
        normal_probability: Schedule = Constant(0.0)
        """Share of steps in which the prior sees world-space normals in place of colours, so that these do not hide the shape;
        needs `buffer: rgb`."""
        latent_until: int = 0
        """Before this step normals and opacity, at the size of the latents, are taken for latents as they are: a shape forms
        sooner than through the encoder (Fantasia3D, arXiv:2303.13873). Needs `buffer: normal` and a prior on 4 latents."""
        gradient_clip: Schedule | None = None
        """Largest absolute value of any element of the weighted residual; none by default."""
        preview_every: int = 100
        """Steps between previews, the clean image that the prior predicts in one step; 0 makes none."""

        def __post_init__(self) -> None:
            if self.preview_every < 0:
                raise ValueError(f"preview_every: expected a number of steps, or 0 for none, got {self.preview_every}.")
            least, most = self.normal_probability.bounds()
            if least < 0.0 or most > 1.0:
                raise ValueError(f"normal_probability must stay in [0, 1], got {least:g} to {most:g}.")
            if most > 0.0 and self.buffer != "rgb":
                raise ValueError(f"normal_probability needs buffer: rgb, got '{self.buffer}'.")
            if self.latent_until < 0:
                raise ValueError(f"latent_until: expected a step, or 0 for none, got {self.latent_until}.")
            if self.latent_until > 0 and self.buffer != "normal":
                raise ValueError(f"latent_until needs buffer: normal, got '{self.buffer}'.")
            if self.gradient_clip is not None and self.gradient_clip.bounds()[0] <= 0.0:
                raise ValueError("gradient_clip must stay positive; leave it out to clip nothing.")

    config: Config

    def __init__(self, config: Config, *, name: str, prior: Prior, prompt: str, seed: int = 0) -> None:
        """Encode the prompt and put the parts together.

        Args:
            config: What was asked for.
            name: The guidance's name in the config, which its random draws depend on.
            prior: The prior that `config.prior` describes, or the run's.
            prompt: What the result should be.
            seed: The run's seed, for initial values of what a rule trains.

        Raises:
            UserError: If the prior cannot be asked what the guidance asks.
        """
        super().__init__()
        self.config = config
        self.name = name
        self.prior = prior
        problems = self.misfits(config, prior.traits)
        of_prior = prior.needs_of(prior.config)
        if config.latent_until > 0 and prior.traits.space == "latent" and prior.sample_shape[0] != _STACKED:
            message = (
                f"makes latents of {_STACKED} channels, but the prior's have {prior.sample_shape[0]}. Leave it out."
            )
            problems.append(Problem("latent_until", message))
        if config.buffer == "latent" and Buffer.RGB in of_prior:
            problems.append(Problem("buffer", "'latent' has no colours, whose edges the prior's ControlNet follows."))
        if problems:
            raise UserError("\n".join(f"guidance '{name}': {problem}" for problem in problems))
        if prior.is_guidance_distilled and config.guidance_scale.bounds() != (1.0, 1.0):
            log.warning(_DISTILLED, name)
        self.prompt = prompt
        self.seed = seed
        self.conditioner = self.conditioner_of(prompt)
        self.timesteps: Timesteps = TIMESTEPS.build(config.timesteps)
        self.perturbation: Perturbation = PERTURBATIONS.build(config.perturbation, prior=prior, name=f"guidance.{name}")
        self.weighting: Weighting = WEIGHTINGS.build(config.weighting)
        self.combination: Combination = COMBINATIONS.build(config.combination)
        self.source_image: Source | None = None if config.source_image is None else SOURCES.build(config.source_image)
        self.needs = self.needs_of(config) | of_prior
        self.prepare()

    def prepare(self) -> None:
        """Build what a rule has beside the parts of all; called once, at the end of the construction."""

    def conditioner_of(self, prompt: str) -> Conditioner:
        """Conditions of another prompt, made in the way that `prompts` says."""
        conditioner: Conditioner = CONDITIONERS.build(self.config.prompts, prior=self.prior, prompt=prompt)
        return conditioner

    @classmethod
    def misfits(cls, config: Config, traits: Traits) -> list[Problem]:
        """Why a prior cannot be asked what the guidance asks, and what would fit; paths are those within `config`."""
        problems = []
        if config.buffer == "latent" and traits.space != "latent":
            problem = (
                "'latent' asks for a prior that works on latents, such as Stable Diffusion; this one works on pixels."
            )
            problems.append(Problem("buffer", f"{problem} Use 'rgb'."))
        if config.latent_until > 0 and traits.space != "latent":
            problem = "asks for a prior that works on latents, such as Stable Diffusion; this one works on pixels."
            problems.append(Problem("latent_until", f"{problem} Leave it out."))
        if traits.takes_image and config.source_image is None:
            problems.append(Problem("source_image", "is missing, but the prior edits an image: name the one to edit."))
        if config.source_image is not None and not (traits.takes_image or cls.compares_source):
            problems.append(Problem("source_image", _NO_USE_OF_SOURCE))
        misfit = CONDITIONERS.find(CONDITIONERS.name_of(config.prompts)).misfit(traits)
        return problems + ([] if misfit is None else [Problem("prompts", misfit)])

    @classmethod
    def needs_of(cls, config: Config) -> frozenset[Buffer]:
        """The image that the prior looks at, and what the perturbation and the prior's ControlNet read of the render."""
        needs = frozenset({Buffer(config.buffer)})
        needs |= {Buffer.OPACITY} if config.latent_until > 0 else set()
        needs |= {Buffer.NORMAL} if config.normal_probability.bounds()[1] > 0.0 else set()
        needs |= PERTURBATIONS.find(PERTURBATIONS.name_of(config.perturbation)).needs
        if config.prior is not None:
            needs |= PRIORS.find(PRIORS.name_of(config.prior)).needs_of(config.prior)
        return needs

    @abstractmethod
    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """What the prior would like changed in `sample.clean`, unweighted; called without gradients."""

    def partner(self, timestep: Int[Tensor, "B"], step: StepInfo) -> Int[Tensor, "B"] | None:
        """The second noise level of rules that compare two; all samples on the same side of `timestep`."""
        return None

    def auxiliary_losses(
        self, frame: Frame, sample: NoisySample, residual: Float[Tensor, "B C H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Further losses of a rule; `residual` is unweighted. Called with gradients."""
        return {}

    def updates(self, frame: Frame, clean: Float[Tensor, "B C H W"]) -> Sequence[Update]:
        """What a rule trains beside the scene; `clean` are the encoded renders, without gradients."""
        return ()

    def forward(self, frame: Frame) -> TermOutput:
        """The loss whose gradient on the render is the weighted residual of the step."""
        # Priors choose their own precision: closed forms in half precision would be wrong, not just rough.
        with torch.autocast(self.prior.device.type, enabled=False):
            clean = self.clean_sample(frame.render, frame.step)
            with torch.no_grad():
                conditions = self.conditions(frame)
                sample = self.perturb(clean.detach(), conditions, frame)
                residual = self.residual(sample, conditions, frame)
                weight = self.weighting(self.prior.schedule, sample.timestep)
                gradient = self.clip(weight * residual, frame.step)
                previews = self.previews(sample, conditions, frame.step)
            losses = {"distillation": surrogate_loss(clean, gradient)}
            losses |= self.auxiliary_losses(frame, sample, residual)
        metrics = {
            "gradient_norm": gradient.flatten(1).norm(dim=1).mean(),
            "timestep": sample.timestep.float().mean(),
            "guidance_scale": self.config.guidance_scale(frame.step),
        }
        updates = self.updates(frame, clean.detach())
        return TermOutput(losses=losses, metrics=metrics, previews=previews, updates=updates)

    def conditions(self, frame: Frame) -> Conditions:
        """What the prior is told: the prompt, and the images that go with it where it takes some."""
        conditions = self.conditioner(frame.views, frame.step)
        image = None
        if self.source_image is not None and self.prior.traits.takes_image:
            image = self.source_image.images(frame.views)
        return conditions.showing(image, self.prior.control_image(frame.render, frame.views))

    def clean_sample(self, render: RenderOutput, step: StepInfo) -> Float[Tensor, "B C H W"]:
        """The render as the prior sees it, with its gradient."""
        if step.step < self.config.latent_until:
            opacity = render.require(Buffer.OPACITY, f"guidance '{self.name}'").float()
            stacked = torch.cat([self._buffer(render, Buffer.NORMAL), opacity], dim=-1).permute(0, 3, 1, 2)
            return F.interpolate(stacked, self.prior.sample_shape[1:], mode="bilinear", antialias=True)
        if self.config.buffer == "latent":
            return self._buffer(render, Buffer.LATENT).permute(0, 3, 1, 2)
        return self.prior.encode(self.image(render, step))

    def image(self, render: RenderOutput, step: StepInfo) -> Float[Tensor, "B H W 3"]:
        """What is guided, as colours in [0, 1], with its gradient; latents are decoded."""
        shown = self._shown(step)
        image = self._buffer(render, shown)
        if shown is Buffer.LATENT:
            return self.prior.decode(image.permute(0, 3, 1, 2))
        return 0.5 * image + 0.5 if shown is Buffer.NORMAL else image

    def _shown(self, step: StepInfo) -> Buffer:
        """What the prior looks at in this step."""
        probability = self.config.normal_probability(step)
        if probability > 0.0:
            generator = step.batch_generator(f"guidance.{self.name}.normal")
            if float(torch.rand((), generator=generator)) < probability:
                return Buffer.NORMAL
        return Buffer(self.config.buffer)

    def _buffer(self, render: RenderOutput, buffer: Buffer) -> Float[Tensor, "B H W _"]:
        return render.require(buffer, f"guidance '{self.name}'").float()

    def perturb(self, clean: Float[Tensor, "B C H W"], conditions: Conditions, frame: Frame) -> NoisySample:
        """Clean samples with noise, at timesteps that are a function of the step alone."""
        timestep = self.draw_timestep(len(clean), frame.step)
        return self.perturbation(clean, timestep, self.partner(timestep, frame.step), conditions, frame)

    def draw_timestep(self, batch_size: int, step: StepInfo) -> Int[Tensor, "B"]:
        """The timestep of each sample."""
        generator = step.batch_generator(f"guidance.{self.name}.timestep", self.prior.device)
        count = step.rows(batch_size)
        return step.own(self.timesteps.draw(count, schedule=self.prior.schedule, step=step, generator=generator))

    def clip(self, residual: Float[Tensor, "B C H W"], step: StepInfo) -> Float[Tensor, "B C H W"]:
        """The residual with large elements cut down, where that is asked for."""
        if self.config.gradient_clip is None:
            return residual
        limit = self.config.gradient_clip(step)
        return residual.clamp(-limit, limit)

    def previews(self, sample: NoisySample, conditions: Conditions, step: StepInfo) -> dict[str, Tensor]:
        """The predicted clean images, in steps that show one; decoding them is never part of the training itself."""
        if self.config.preview_every == 0 or step.step % self.config.preview_every != 0:
            return {}
        scale = self.config.guidance_scale(step)
        prediction = combined_prediction(self.prior, sample.noisy, sample.timestep, conditions, self.combination, scale)
        return {"predicted": self.prior.decode(prediction.sample)}
