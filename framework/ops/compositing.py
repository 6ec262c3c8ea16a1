"""Volume rendering of samples packed along rays.

For sample i of a ray, with density sigma_i and interval length d_i:
    alpha_i = 1 - exp(-sigma_i d_i),   T_i = prod_{j < i} (1 - alpha_j),   w_i = T_i alpha_i.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.ops.backends import AUTO, load
from framework.structures.rays import RaySamples


@dataclass(frozen=True, eq=False)
class Composite:
    """M samples of N rays, composited.

    Attributes:
        weights: Share of each sample in the colour of its ray.
        opacity: Sum of the weights of each ray.
        features: Sum of weight times feature, over no background.
        depth: Sum of weight times distance to the middle of the interval, world units, not divided by the opacity.
    """

    weights: Float[Tensor, "M"]
    opacity: Float[Tensor, "N"]
    features: Float[Tensor, "N C"]
    depth: Float[Tensor, "N"]


def composite(
    density: Float[Tensor, "M"], features: Float[Tensor, "M C"], samples: RaySamples, *, backend: str = AUTO
) -> Composite:
    """Weights of the samples, and opacity, features and depth of the rays.

    Differentiable in density and features through every result; the torch implementation any number of times, the
    others once. Half precision is computed as float32. Distances are constants.

    Args:
        density: Per world unit, not negative.
        features: Any number of channels.

    Raises:
        ValueError: If density or features do not have one row for each sample.
    """
    _check_rows(samples, density=density, features=features)
    implementation = load("compositing", density.device, backend)
    weights, opacity, depth = implementation.render_weights(density, samples)
    return Composite(weights, opacity, implementation.accumulate(weights, features, samples), depth)


def weights_only(density: Float[Tensor, "M"], samples: RaySamples, *, backend: str = AUTO) -> Float[Tensor, "M"]:
    """Weights of the samples, differentiable in density; to choose the samples that are worth shading.

    Raises:
        ValueError: If density does not have one row for each sample.
    """
    _check_rows(samples, density=density)
    return load("compositing", density.device, backend).render_weights(density, samples)[0]


def accumulate(
    weights: Float[Tensor, "M"], values: Float[Tensor, "M C"], samples: RaySamples, *, backend: str = AUTO
) -> Float[Tensor, "N C"]:
    """Sum of weight times value over the samples of each ray, differentiable in both.

    Raises:
        ValueError: If weights or values do not have one row for each sample.
    """
    _check_rows(samples, weights=weights, values=values)
    return load("compositing", weights.device, backend).accumulate(weights, values, samples)


def _check_rows(samples: RaySamples, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if len(tensor) != len(samples.starts):
            raise ValueError(f"compositing: {name} has {len(tensor)} rows for {len(samples.starts)} samples.")
