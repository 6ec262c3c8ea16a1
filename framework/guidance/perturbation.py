"""How clean samples get their noise: at random, or along the path that the prior itself would take."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import PERTURBATIONS
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.inversion import ddim_inversion, even_timesteps
from framework.diffusion.noise_schedule import NoisySample
from framework.diffusion.prior import Prior
from framework.structures.losses import Frame
from framework.structures.render_output import Buffer


class Perturbation(Component, ABC):
    """Adds noise to the clean samples of a step, as a function of the step alone."""

    needs: frozenset[Buffer] = frozenset()
    """What of the render it looks at."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, prior: Prior, name: str) -> None:
        """Remember who draws.

        Args:
            config: What was asked for.
            prior: Whose noise levels are meant.
            name: Of the random stream, unique in the run.
        """
        self.config = config
        self.prior = prior
        self.name = name

    @abstractmethod
    def __call__(
        self,
        clean: Float[Tensor, "B C H W"],
        timestep: Int[Tensor, "B"],
        partner: Int[Tensor, "B"] | None,
        conditions: Conditions,
        frame: Frame,
    ) -> NoisySample:
        """Noisy samples at `timestep` and, where a rule compares two noise levels, their partners at `partner`."""

    def unit_noise(self, shape: torch.Size, frame: Frame, *, batch_dim: int = 0) -> Tensor:
        """Independent unit noise of the step, whose samples are counted along `batch_dim`."""
        device = self.prior.device
        generator = frame.step.batch_generator(f"{self.name}.noise", device)
        whole = list(shape)
        whole[batch_dim] = frame.step.rows(shape[batch_dim])
        return frame.step.own(torch.randn(whole, generator=generator, device=device), batch_dim)


@PERTURBATIONS.register("random-noise")
class RandomNoise(Perturbation):
    """Fresh noise in every step (DreamFusion, arXiv:2209.14988); partners get the same noise."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Perturbation.Config):
        pass

    def __call__(
        self,
        clean: Float[Tensor, "B C H W"],
        timestep: Int[Tensor, "B"],
        partner: Int[Tensor, "B"] | None,
        conditions: Conditions,
        frame: Frame,
    ) -> NoisySample:
        """The samples mixed with noise."""
        return mixed(self.prior, clean, self.unit_noise(clean.shape, frame), timestep, partner)


class Inversion(Perturbation):
    """The noise from which the prior would make the image: its own sampling, run backwards (arXiv:2010.02502)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Perturbation.Config):
        num_steps: int = 10
        """Evaluations of the denoiser on the way from the image to the noise."""
        guidance_scale: Schedule = Constant(0.0)
        """Scale of these evaluations; 0 asks for no prompt, negative values take the prompt out of the noise."""
        noise_share: float = 0.0
        """Share of fresh noise in each step, so that equal images do not always get equal noise."""
        start_fraction: float = 0.0
        """Where the path begins, as a fraction of all timesteps, with random noise up to there. Models that predict the clean
        image are best started at 0.1 or 0.2: below, their errors are divided by a noise level near 0."""

        def __post_init__(self) -> None:
            if self.num_steps < 1:
                raise ValueError(f"num_steps: expected at least 1, got {self.num_steps}.")
            if not 0.0 <= self.noise_share <= 1.0:
                raise ValueError(f"noise_share: expected a share in [0, 1], got {self.noise_share}.")
            if not 0.0 <= self.start_fraction < 1.0:
                raise ValueError(f"start_fraction: expected a fraction in [0, 1), got {self.start_fraction}.")

    config: Config

    def __call__(
        self,
        clean: Float[Tensor, "B C H W"],
        timestep: Int[Tensor, "B"],
        partner: Int[Tensor, "B"] | None,
        conditions: Conditions,
        frame: Frame,
    ) -> NoisySample:
        """The samples inverted; a partner is the stop before the last, or one further step where its level is higher."""
        config = self.config
        low = timestep if partner is None else torch.minimum(timestep, partner)
        first = torch.clamp(low, max=int(config.start_fraction * len(self.prior.schedule)))
        path = self._path(first, timestep, partner)
        noise = self.unit_noise(torch.Size([1 + len(path), *clean.shape]), frame, batch_dim=1)
        visited = ddim_inversion(
            self.prior,
            clean,
            path,
            conditions,
            guidance_scale=config.guidance_scale(frame.step),
            start=self.prior.schedule.add_noise(clean, noise[0], first) if config.start_fraction > 0.0 else None,
            fresh_noise=noise[1:],
            noise_share=config.noise_share,
        )
        if partner is None:
            return visited[-1]
        before, last = visited[-2:]
        is_before = bool((partner <= timestep).all())
        return dataclasses.replace(last, partner=before) if is_before else dataclasses.replace(before, partner=last)

    def _path(
        self, first: Int[Tensor, "B"], timestep: Int[Tensor, "B"], partner: Int[Tensor, "B"] | None
    ) -> Int[Tensor, "S B"]:
        if partner is None:
            return even_timesteps(first, timestep, self.config.num_steps)
        if self.config.num_steps < 2:
            raise ValueError("An inversion for rules that compare two noise levels needs num_steps of at least 2.")
        low, high = torch.minimum(timestep, partner), torch.maximum(timestep, partner)
        return torch.cat([even_timesteps(first, low, self.config.num_steps - 1), high[None]])


@PERTURBATIONS.register("ddim-inversion")
class DdimInversion(Inversion):
    """Inverted without the prompt (ISM, arXiv:2311.11284)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Inversion.Config):
        pass


@PERTURBATIONS.register("negated-inversion")
class NegatedInversion(Inversion):
    """Inverted with the prompt taken out, so that guidance can put it in again (SDI, arXiv:2405.15891)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Inversion.Config):
        guidance_scale: Schedule = Constant(-7.5)
        """Scale of the evaluations; minus that of the guidance."""
        noise_share: float = 0.3
        """Share of fresh noise in each step, so that equal images do not always get equal noise."""


def mixed(
    prior: Prior,
    clean: Float[Tensor, "B C H W"],
    noise: Float[Tensor, "B C H W"],
    timestep: Int[Tensor, "B"],
    partner: Int[Tensor, "B"] | None,
) -> NoisySample:
    """Samples with the same noise at one or two levels."""
    sample = prior.schedule.add_noise(clean, noise, timestep)
    if partner is None:
        return sample
    return dataclasses.replace(sample, partner=prior.schedule.add_noise(clean, noise, partner))
