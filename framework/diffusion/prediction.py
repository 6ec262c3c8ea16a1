"""What a denoiser's output means, and the conversions between the meanings.

With x_t = alpha x_0 + sigma eps a denoiser may predict

- `epsilon`: the noise eps;
- `velocity`: v = alpha eps - sigma x_0 (arXiv:2202.00512), for alpha^2 + sigma^2 = 1;
- `sample`: x_0 itself;
- `flow`: v = eps - x_0 (rectified flow), under any schedule.

Predictions under several conditions are combined raw and converted afterwards: as alpha goes to 0 the epsilon form loses
what x_0 needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.noise_schedule import is_flow

Parameterization = Literal["epsilon", "velocity", "sample", "flow"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """A denoiser's raw output for B noisy samples, under K conditions or (once combined) one.

    Attributes:
        raw: What the network returned, in the meaning of `parameterization`.
        noisy: Its input.
        alpha, sigma: Shares of signal and noise in the input.
        parameterization: The meaning of `raw`.
    """

    raw: Float[Tensor, "*conditions B C H W"]
    noisy: Float[Tensor, "B C H W"]
    alpha: Float[Tensor, "B 1 1 1"]
    sigma: Float[Tensor, "B 1 1 1"]
    parameterization: Parameterization

    @property
    def epsilon(self) -> Float[Tensor, "*conditions B C H W"]:
        """The predicted noise."""
        if self.parameterization == "epsilon":
            return self.raw
        if self.parameterization == "velocity":
            return self.alpha * self.raw + self.sigma * self.noisy
        if self.parameterization == "sample":
            return (self.noisy - self.alpha * self.raw) / self.sigma
        return (self.noisy + self.alpha * self.raw) / (self.alpha + self.sigma)

    @property
    def sample(self) -> Float[Tensor, "*conditions B C H W"]:
        """The predicted clean sample x_0; for `epsilon` it needs alpha > 0."""
        if self.parameterization == "epsilon":
            return (self.noisy - self.sigma * self.raw) / self.alpha
        if self.parameterization == "velocity":
            return self.alpha * self.noisy - self.sigma * self.raw
        if self.parameterization == "sample":
            return self.raw
        return (self.noisy - self.sigma * self.raw) / (self.alpha + self.sigma)

    @property
    def flow(self) -> Float[Tensor, "*conditions B C H W"]:
        """The predicted direction from the clean sample to the noise, eps - x_0."""
        return self.raw if self.parameterization == "flow" else self.epsilon - self.sample

    def with_raw(self, raw: Float[Tensor, "*conditions B C H W"]) -> Prediction:
        """The same prediction with another raw output, such as a combination of those of several conditions."""
        return dataclasses.replace(self, raw=raw)


def raw_target(
    clean: Float[Tensor, "*batch C H W"],
    noise: Float[Tensor, "*batch C H W"],
    alpha: Float[Tensor, "B 1 1 1"],
    sigma: Float[Tensor, "B 1 1 1"],
    parameterization: Parameterization,
) -> Float[Tensor, "*batch C H W"]:
    """The raw output of a denoiser that knows the clean sample and the noise; what training regresses to."""
    if parameterization == "epsilon":
        return noise
    if parameterization == "velocity":
        return alpha * noise - sigma * clean
    return clean if parameterization == "sample" else noise - clean


def classifier_free(
    conditional: Float[Tensor, "*shape"], unconditional: Float[Tensor, "*shape"], guidance_scale: float
) -> Float[Tensor, "*shape"]:
    """uncond + s (cond - uncond) of raw predictions (arXiv:2207.12598); s = 1 is no guidance."""
    return unconditional + guidance_scale * (conditional - unconditional)


def rows_read(guidance_scale: float) -> list[int]:
    """Which of the rows (0 conditional, 1 unconditional) `classifier_free` depends on at this scale."""
    return {0.0: [1], 1.0: [0]}.get(guidance_scale, [0, 1])


def scheduler_parameterization(config: Mapping[str, Any]) -> Parameterization:
    """The meaning of a denoiser's output that a diffusers `scheduler_config.json` states; `epsilon` if it is silent.

    Raises:
        UserError: If the stated prediction type is none of the four.
    """
    if is_flow(config):
        return "flow"
    stated = str(config.get("prediction_type", "epsilon"))
    known: dict[str, Parameterization] = {"epsilon": "epsilon", "v_prediction": "velocity", "sample": "sample"}
    if stated not in known:
        raise UserError(
            f"The scheduler's prediction_type '{stated}' is not supported. Known: {', '.join(known)}, flow_prediction."
        )
    return known[stated]
