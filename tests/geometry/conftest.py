"""Small fields of every kind, in double precision, so that derivatives can be checked against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from framework.core.registries import ENCODINGS, GEOMETRIES
from framework.core.step import named_generator
from framework.geometry.channel_field import ChannelField


def _small_network() -> dict[str, Any]:
    encoding = ENCODINGS.find("hash-grid").Config(num_levels=3, log2_table_size=8, base_resolution=4)
    return {"encoding": encoding, "hidden_dim": 8}


SMALL = {
    "density-field": _small_network,
    "signed-distance-field": _small_network,
    "voxel-grid": lambda: {"resolution": 5},
}


@pytest.fixture(params=list(SMALL))
def make_field(request: pytest.FixtureRequest) -> Callable[..., ChannelField]:
    """Builds a small field of one kind with the given settings; its parameters are of the size of 1."""

    def make(**settings: Any) -> ChannelField:
        config = GEOMETRIES.find(request.param).Config(**SMALL[request.param](), **settings)
        generator = named_generator(0, "field")
        backends = {"hash-encoding": "torch", "mlp": "torch"}
        field = GEOMETRIES.build(config, generator=generator, backends=backends).double()
        for parameter in field.parameters():
            parameter.data.normal_(generator=generator)
        return field

    return make
