"""Noise schedules of diffusion models.

A noisy sample is x_t = alpha(t) x_0 + sigma(t) eps, with t an integer training timestep in [0, T). Variance-preserving
schedules have alpha = sqrt(abar), sigma = sqrt(1 - abar), with abar the running product of 1 - beta (DDPM,
arXiv:2006.11239); rectified flow has alpha = 1 - sigma (arXiv:2209.03003).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.structures.record import TensorRecord

COSINE_OFFSET = 0.008
MAX_BETA = 0.999


@dataclass(frozen=True, eq=False)
class NoisySample(TensorRecord):
    """Clean samples on their way to noise.

    Attributes:
        clean: The samples.
        noise: What was added to them.
        noisy: The result.
        timestep: Says how much of each it holds.
        partner: The same clean samples at other timesteps, for rules that compare two noise levels.
        unconditional_epsilon: The noise that the prior sees here without a prompt, where somebody has asked it already.
    """

    clean: Float[Tensor, "B C H W"]
    noise: Float[Tensor, "B C H W"]
    noisy: Float[Tensor, "B C H W"]
    timestep: Int[Tensor, "B"]
    partner: NoisySample | None = None
    unconditional_epsilon: Float[Tensor, "B C H W"] | None = None


@dataclass(frozen=True, eq=False)
class NoiseSchedule(TensorRecord):
    """Shares of signal and noise at each of T training timesteps, float32.

    Attributes:
        alphas: Factor of the clean sample.
        sigmas: Factor of the unit noise.
        times: What the denoiser is told at each timestep: the timestep itself, or T sigma for rectified flow.
    """

    alphas: Float[Tensor, "T"]
    sigmas: Float[Tensor, "T"]
    times: Float[Tensor, "T"]

    def at(self, timestep: Int[Tensor, "B"]) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
        """alpha and sigma at the timesteps, shaped to multiply samples (B, C, H, W)."""
        index = timestep.long()
        return self.alphas[index][:, None, None, None], self.sigmas[index][:, None, None, None]

    def add_noise(
        self, clean: Float[Tensor, "B C H W"], noise: Float[Tensor, "B C H W"], timestep: Int[Tensor, "B"]
    ) -> NoisySample:
        """The clean samples at the given timesteps of their way to noise."""
        alpha, sigma = self.at(timestep)
        return NoisySample(clean, noise, alpha * clean + sigma * noise, timestep)

    def explain(
        self, clean: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], timestep: Int[Tensor, "B"]
    ) -> NoisySample:
        """Noisy samples as the clean ones plus the one noise that makes up the difference."""
        alpha, sigma = self.at(timestep)
        return NoisySample(clean, (noisy - alpha * clean) / sigma, noisy, timestep)

    @classmethod
    def from_betas(cls, betas: Float[Tensor, "T"]) -> NoiseSchedule:
        """Variance-preserving schedule of the noise variances added from step to step."""
        return cls._from_abar(torch.cumprod(1.0 - betas.double(), dim=0))

    @classmethod
    def cosine(cls, num_timesteps: int) -> NoiseSchedule:
        """abar(t) = cos^2 of a quarter turn (improved DDPM, arXiv:2102.09672)."""
        return cls.from_betas(BETAS["squaredcos_cap_v2"](0.0, 0.0, num_timesteps))

    @classmethod
    def linear(cls, num_timesteps: int, *, first: float = 1e-4, last: float = 2e-2) -> NoiseSchedule:
        """Betas that grow linearly (DDPM)."""
        return cls.from_betas(BETAS["linear"](first, last, num_timesteps))

    @classmethod
    def scaled_linear(cls, num_timesteps: int, *, first: float = 8.5e-4, last: float = 1.2e-2) -> NoiseSchedule:
        """Betas whose square roots grow linearly (Stable Diffusion)."""
        return cls.from_betas(BETAS["scaled_linear"](first, last, num_timesteps))

    @classmethod
    def rectified_flow(cls, num_timesteps: int, *, shift: float = 1.0) -> NoiseSchedule:
        """Straight lines from sample to noise; `shift` above 1 spends more of the timesteps at high noise (SD3, 5.3.2)."""
        sigmas = torch.arange(1, num_timesteps + 1, dtype=torch.float64) / num_timesteps
        sigmas = shift * sigmas / (1.0 + (shift - 1.0) * sigmas)
        return cls((1.0 - sigmas).float(), sigmas.float(), (num_timesteps * sigmas).float())

    def with_zero_terminal_snr(self) -> NoiseSchedule:
        """The schedule stretched so that nothing of the sample is left at the last timestep (arXiv:2305.08891, alg. 1)."""
        root = self.alphas.double()
        return self._from_abar(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2)

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The training schedule that a diffusers `scheduler_config.json` describes.

        Raises:
            UserError: If it is of a kind that is not supported.
        """
        num_timesteps = int(config.get("num_train_timesteps", 1000))
        if is_flow(config):
            # With dynamic shifting the shift is chosen at sampling time; training covers the plain line.
            is_dynamic = bool(config.get("use_dynamic_shifting", False))
            shift = 1.0 if is_dynamic else float(config.get("shift", config.get("flow_shift", 1.0)))
            return cls.rectified_flow(num_timesteps, shift=shift)
        schedule = cls.from_betas(_betas(config, num_timesteps))
        return schedule.with_zero_terminal_snr() if config.get("rescale_betas_zero_snr", False) else schedule

    @classmethod
    def _from_abar(cls, abar: Float[Tensor, "T"]) -> NoiseSchedule:
        times = torch.arange(len(abar), dtype=torch.float32)
        return cls(abar.sqrt().float(), (1.0 - abar).sqrt().float(), times)


def is_flow(config: Mapping[str, Any]) -> bool:
    """Whether a diffusers scheduler config belongs to a rectified-flow model."""
    is_flow_class = str(config.get("_class_name", "")).startswith("FlowMatch")
    return is_flow_class or config.get("prediction_type") == "flow_prediction"


def _linear(first: float, last: float, num_timesteps: int) -> Tensor:
    return torch.linspace(first, last, num_timesteps, dtype=torch.float64)


def _scaled_linear(first: float, last: float, num_timesteps: int) -> Tensor:
    return _linear(first**0.5, last**0.5, num_timesteps) ** 2


def _sigmoid(first: float, last: float, num_timesteps: int) -> Tensor:
    return torch.sigmoid(_linear(-6.0, 6.0, num_timesteps)) * (last - first) + first


def _squared_cosine(first: float, last: float, num_timesteps: int) -> Tensor:
    time = _linear(0.0, 1.0, num_timesteps + 1)
    abar = torch.cos((time + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * math.pi / 2.0) ** 2
    return (1.0 - abar[1:] / abar[:-1]).clamp(max=MAX_BETA)


# By the names of diffusers' `beta_schedule`; each takes the first and last beta, which the last one does not use.
BETAS = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "sigmoid": _sigmoid,
    "squaredcos_cap_v2": _squared_cosine,
}


def _betas(config: Mapping[str, Any], num_timesteps: int) -> Tensor:
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    shape = str(config.get("beta_schedule", "linear"))
    if shape not in BETAS:
        raise UserError(
            f"The scheduler's beta_schedule '{shape}' is not supported. Known: {', '.join(BETAS)}, "
            "and schedulers of rectified flow."
        )
    first, last = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 2e-2))
    return BETAS[shape](first, last, num_timesteps)
