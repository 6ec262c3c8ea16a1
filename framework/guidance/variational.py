"""Variational score distillation (ProlificDreamer, arXiv:2305.16213)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.errors import Problem, UserError
from framework.core.registries import CONDITIONERS, GUIDANCES, PRIORS
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo, named_generator
from framework.diffusion.adapters import NO_UNET, Adapter, AdapterSettings
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.diffusion.prediction import raw_target
from framework.diffusion.prior import Prior, load_prior
from framework.diffusion.traits import Traits
from framework.guidance.base import Guidance
from framework.guidance.replay import ReplayBuffer
from framework.guidance.rules import variational_residual
from framework.prompts.conditioner import Conditioner
from framework.structures.losses import Frame, Update
from framework.structures.views import Views


@GUIDANCES.register("variational")
class Variational(Guidance):
    """Variational score (VSD): the prior's prediction against that of an adapter which learns the renders (2305.16213)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        guidance_scale: Schedule = Constant(7.5)
        """Strength s of the prompt in uncond + s (cond - uncond)."""
        particle_prior: Prior.Config | None = slot(PRIORS, default=None)
        """The model that the adapter begins as; without one, that of this guidance."""
        adapter: AdapterSettings = field(default_factory=lambda: AdapterSettings())
        """What is trained of it."""
        particle_prompts: Conditioner.Config = slot(CONDITIONERS, default="plain")
        """How the prompt is told to the adapter, beside the camera."""
        particle_scale: float = 1.0
        """Strength of the camera in the adapter's prediction; below 1 the views are spread against each other (ESD)."""
        updates_per_step: int = 1
        """Adapter updates after each step."""
        camera_dropout: float = 0.1
        """Share of the adapter's training samples whose camera is withheld."""
        replay_size: int = 0
        """Number of earlier renders from which further updates draw; without any all updates use the present ones."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.updates_per_step < 1 or self.replay_size < 0:
                raise ValueError("updates_per_step must be at least 1 and replay_size at least 0.")
            if not 0.0 <= self.camera_dropout <= 1.0:
                raise ValueError(f"camera_dropout: expected a share in [0, 1], got {self.camera_dropout}.")

    config: Config

    @classmethod
    def misfits(cls, config: Guidance.Config, traits: Traits) -> list[Problem]:
        """An adapter begins as a network of its own or as the prior's."""
        assert isinstance(config, Variational.Config)
        problems = super().misfits(config, traits)
        if config.particle_prior is None and not traits.has_unet:
            problems.append(Problem("particle_prior", NO_UNET))
        return problems

    def prepare(self) -> None:
        """Load the adapter's model and make the adapter.

        Raises:
            UserError: If the model has no UNet, or its samples or noise levels differ from the prior's.
        """
        config = self.config
        base = self.prior if config.particle_prior is None else load_prior(config.particle_prior, self.prior.device)
        _check_like(self.prior, base, self.name)
        self.parameterization = base.parameterization
        self.adapter = Adapter(
            base, config.adapter, generator=named_generator(self.seed, f"guidance.{self.name}.adapter")
        )
        self.particle_conditioner: Conditioner = CONDITIONERS.build(
            config.particle_prompts, prior=base, prompt=self.prompt
        )
        self.replay = ReplayBuffer(config.replay_size, self.prior.sample_shape) if config.replay_size else None

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat - eps_adapter."""
        return variational_residual(
            self.prior,
            sample,
            conditions,
            self.combination,
            self.config.guidance_scale(frame.step),
            self.adapter,
            self._particle_conditions(frame.views, frame.step, withheld=None),
            self.config.particle_scale,
        )

    def updates(self, frame: Frame, clean: Float[Tensor, "B C H W"]) -> Sequence[Update]:
        """Denoising of the renders by the adapter."""
        if self.replay is not None:
            self.replay.add(clean, frame.views)
        return [
            Update("adapter", self.config.updates_per_step, lambda repeat: self._adapter_loss(frame, clean, repeat))
        ]

    def _adapter_loss(self, frame: Frame, clean: Float[Tensor, "B C H W"], repeat: int) -> Float[Tensor, ""]:
        """Mean squared error of the adapter's raw prediction at random noise levels."""
        device = self.prior.device
        step, views, count = frame.step, frame.views, frame.step.rows(len(clean))
        generator = step.batch_generator(f"guidance.{self.name}.adapter.{repeat}", device)
        if repeat > 0 and self.replay is not None:
            clean, views = self.replay.draw(len(clean), generator, step)
        timestep = step.own(torch.randint(len(self.prior.schedule), (count,), generator=generator, device=device))
        noise = step.own(torch.randn(count, *clean.shape[1:], generator=generator, device=device))
        withheld = step.own(torch.rand(count, generator=generator, device=device)) < self.config.camera_dropout
        sample = self.prior.schedule.add_noise(clean, noise, timestep)
        conditions = self._particle_conditions(views, step, withheld=withheld).rows([0])
        with torch.autocast(device.type, enabled=False):
            raw = self.adapter.predict(sample.noisy, timestep, conditions).raw[0]
        alpha, sigma = self.prior.schedule.at(timestep)
        return F.mse_loss(raw, raw_target(clean, noise, alpha, sigma, self.parameterization))

    def _particle_conditions(self, views: Views, step: StepInfo, *, withheld: Tensor | None) -> Conditions:
        """Row 0 the prompt with the camera, but for views where it is withheld; row 1 the prompt without."""
        prompt = self.particle_conditioner(views, step).rows([0, 0])
        present = torch.ones(2, len(views), dtype=torch.bool, device=views.device)
        present[1] = False
        if withheld is not None:
            present[0] = ~withheld
        return Conditions(prompt.text, prompt.weights, views, present)


def _check_like(prior: Prior, base: Prior, name: str) -> None:
    """Raises `UserError` where the scores of one prior's samples cannot be learned by the other model."""
    where = f"guidance '{name}': particle_prior"
    if prior.sample_shape != base.sample_shape or prior.space != base.space:
        shapes = [f"{item.space} samples of {'x'.join(map(str, item.sample_shape))}" for item in (base, prior)]
        raise UserError(f"{where} has {shapes[0]}, the prior {shapes[1]}; an adapter must see what the prior sees.")
    mine, others = prior.schedule, base.schedule
    if len(mine) != len(others) or not torch.allclose(mine.alphas, others.alphas, atol=1e-4):
        raise UserError(f"{where} was trained with other noise levels than the prior, so their scores do not compare.")
