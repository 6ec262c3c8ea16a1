"""A density field: an encoding of the position and a small perceptron."""

from __future__ import annotations

from dataclasses import dataclass

from framework.core.registries import GEOMETRIES
from framework.geometry.neural_field import NeuralField
from framework.geometry.volume_field import VolumeField


@GEOMETRIES.register("density-field")
class DensityField(NeuralField, VolumeField):
    """A neural density field: encoded positions through a small perceptron (Instant-NGP's NeRF)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(NeuralField.Config, VolumeField.Config):
        pass

    config: Config
