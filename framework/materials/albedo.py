"""Base colour from features: a sigmoid of the first three."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def albedo(features: Float[Tensor, "N F"]) -> Float[Tensor, "N 3"]:
    """Base colour in [0, 1], sRGB."""
    return torch.sigmoid(features if features.shape[1] == 3 else features[:, :3])


def check_albedo_features(material: str, num_features: int) -> None:
    """Raise ValueError unless a geometry with `num_features` channels can colour `material`."""
    if num_features < 3:
        raise ValueError(
            f"material '{material}': needs 3 features for red, green and blue, but the geometry has {num_features}. "
            "Set geometry.num_features to 3 or more."
        )
