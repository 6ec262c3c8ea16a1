"""What a term may ask of a render."""

from __future__ import annotations

import pytest
import torch

from framework.core.errors import MissingBuffer
from framework.structures.rays import Rays, RaySamples
from framework.structures.render_output import Buffer, RenderOutput

IMAGE, CHANNEL = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 1)


def test_a_buffer_that_is_there_is_handed_out() -> None:
    render = RenderOutput(rgb=IMAGE, opacity=CHANNEL, depth=CHANNEL + 1, renderer="volume", normal=IMAGE + 2)
    assert render.require(Buffer.RGB, "loss 'x'") is render.rgb
    assert render.require(Buffer.DEPTH, "loss 'x'") is render.depth
    assert render.require(Buffer.NORMAL, "loss 'x'") is render.normal


@pytest.mark.parametrize("buffer", [Buffer.NORMAL, Buffer.SAMPLES])
def test_a_missing_buffer_names_its_user_the_renderer_and_the_way_out(buffer: Buffer) -> None:
    render = RenderOutput(rgb=IMAGE, opacity=CHANNEL, depth=CHANNEL, renderer="rasterizer")
    with pytest.raises(MissingBuffer) as caught:
        render.require_volume("loss 'x'") if buffer is Buffer.SAMPLES else render.require(buffer, "loss 'x'")
    assert str(caught.value) == (
        f"loss 'x': needs '{buffer.value}', which this render by 'rasterizer' does not hold. "
        f"Declare Buffer.{buffer.name} in its `needs`, or use a renderer that provides it."
    )


def test_packed_samples_know_their_rays_and_places() -> None:
    rays = Rays(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), torch.tensor([[0.0, 0, 1], [0, 1, 0], [0, 0, -1]]))
    index = torch.tensor([0, 2, 2])
    samples = RaySamples(index, torch.tensor([1.0, 0, 1]), torch.tensor([2.0, 1, 3]), torch.tensor([0, 1, 1, 3]))
    assert samples.num_rays == 3
    assert samples.lengths.tolist() == [1, 1, 2]
    assert samples.positions(rays).tolist() == [[0, 0, 1.5], [2, 0, -0.5], [2, 0, -2]]
