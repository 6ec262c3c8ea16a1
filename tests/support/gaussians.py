"""A prior with a closed form for every prompt, which counts what it is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from framework.diffusion.conditions import Conditions, PromptIndex
from framework.diffusion.images import images_to_samples, samples_to_images
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization, Prediction, raw_target
from framework.diffusion.prior import Prior


class Gaussians(Prior):
    """A prior with a closed form for every prompt: data ~ N(mean of the prompt, s^2); counts what it is asked.

    Attributes:
        rows: Number of conditions times samples of each evaluation.
        decoded: Number of decodings.
    """

    space = "pixel"
    takes_camera = True

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        size: int = 8
        channels: int = 3
        deviation: float = 0.3
        parameterization: Parameterization = "epsilon"
        is_flow: bool = False

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, device=torch.device("cpu"))
        self.schedule = NoiseSchedule.rectified_flow(1000) if config.is_flow else NoiseSchedule.cosine(1000)
        self.sample_shape = (config.channels, config.size, config.size)
        self.parameterization = config.parameterization
        self.prompts: dict[int, str] = {}
        self.rows: list[int] = []
        self.decoded = 0

    def mean(self, prompt: str) -> Tensor:
        """The mean (C, H, W) of the prompt's data."""
        phase = torch.arange(math.prod(self.sample_shape), dtype=torch.float32).reshape(self.sample_shape)
        return 0.6 * torch.sin(0.3 * phase + self._number(prompt))

    def encode(self, images: Tensor) -> Tensor:
        return images_to_samples(images, height=self.config.size, width=self.config.size)

    def decode(self, samples: Tensor) -> Tensor:
        self.decoded += len(samples)
        return samples_to_images(samples)

    def encode_text(self, prompts: Sequence[str]) -> PromptIndex:
        self.prompts |= {self._number(prompt): prompt for prompt in prompts}
        return PromptIndex(torch.tensor([self._number(prompt) for prompt in prompts]))

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions) -> Prediction:
        assert isinstance(conditions.text, PromptIndex)
        self.rows.append(conditions.weights.numel())
        index = conditions.text.index
        mean = torch.stack([self.mean(self.prompts[int(number)]) for number in index.flatten()])
        mean = mean.reshape(*index.shape, *self.sample_shape)
        alpha, sigma = self.schedule.at(timestep)
        variance = self.config.deviation**2
        total = alpha**2 * variance + sigma**2
        epsilon = sigma * (noisy - alpha * mean) / total
        clean = (alpha * variance * noisy + sigma**2 * mean) / total
        raw = raw_target(clean, epsilon, alpha, sigma, self.parameterization)
        return Prediction(raw, noisy, alpha, sigma, self.parameterization)

    def _number(self, prompt: str) -> int:
        return sum(prompt.encode()) % 997
