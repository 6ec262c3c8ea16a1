"""Records of tensors: batch shape, indexing, moving, joining."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from framework.structures.cameras import Cameras
from framework.structures.record import TensorRecord
from framework.structures.views import Views


def some_views(count: int = 3, height: int = 4) -> Views:
    angles = torch.linspace(0.0, 1.0, count)
    return Views.orbit(angles, angles, angles + 2, angles + 0.5, height=height, width=5)


@dataclass(frozen=True, eq=False)
class Pair(TensorRecord):
    first: Tensor
    second: Tensor


def test_a_field_of_another_batch_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Pair: the batch sizes of its fields differ: {'first': 2, 'second': 1}"):
        Pair(torch.zeros(2, 3), torch.ones(1))


def test_a_nested_record_of_another_batch_size_is_refused() -> None:
    views = some_views(3)
    with pytest.raises(ValueError, match="batch sizes of its fields differ"):
        Views(views.cameras, views.azimuth, views.elevation, views.distance, some_views(2).lights)


def test_an_index_chooses_the_same_items_of_every_field() -> None:
    views = some_views(3)
    for chosen in (views[1], views[-2], views[1:2], views[torch.tensor([1])]):
        assert len(chosen) == 1 and chosen.cameras.height == 4
        assert torch.equal(chosen.azimuth, views.azimuth[1:2])
        assert torch.equal(chosen.cameras.camera_to_world, views.cameras.camera_to_world[1:2])
        assert torch.equal(chosen.lights.positions, views.lights.positions[1:2])
    assert len(views[-1]) == 1 and torch.equal(views[-1].azimuth, views.azimuth[2:])


def test_parts_joined_again_are_the_whole() -> None:
    views = some_views(3)
    joined = Views.concatenate([views[:1], views[1:]])
    assert torch.equal(joined.cameras.camera_to_world, views.cameras.camera_to_world)
    assert torch.equal(joined.lights.is_textureless, views.lights.is_textureless)


def test_records_of_other_image_sizes_are_not_joined() -> None:
    with pytest.raises(ValueError, match=r"Cameras.concatenate: 'height' differs between the records: \[4, 8\]"):
        Cameras.concatenate([some_views().cameras, some_views(height=8).cameras])
    with pytest.raises(ValueError, match="needs at least one record"):
        Cameras.concatenate([])


def test_moving_moves_nested_tensors_and_keeps_the_record_as_it_was() -> None:
    views = some_views()
    moved = views.to("meta")
    assert {moved.device.type, moved.lights.ambient.device.type, moved.cameras.fov_y.device.type} == {"meta"}
    assert views.device.type == "cpu"


def test_detaching_cuts_every_tensor_from_the_graph() -> None:
    views = some_views().map(lambda value: value if value.dtype == torch.bool else value.clone().requires_grad_())
    assert views.lights.ambient.requires_grad
    assert not views.detach().lights.ambient.requires_grad


def test_views_are_lit_by_plain_ambient_light_unless_told_otherwise() -> None:
    lights = some_views().lights
    assert torch.equal(lights.ambient, torch.ones(3)) and not lights.diffuse.any() and not lights.is_textureless.any()
