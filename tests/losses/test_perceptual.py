"""The perceptual distance: a narrow network with random weights, and one that is the identity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from framework.core.errors import UserError
from framework.core.registries import SOURCES
from framework.losses.perceptual import BLOCKS, Perceptual, PerceptualDistance, weight_names
from framework.structures.losses import Frame

Make = Callable[..., Frame]
WIDTHS = (4, 5, 6, 7, 8)


def random_weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights, channels = {}, 3
    for block, (layers, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
        for layer in layers:
            weights[f"features.{layer}.weight"] = torch.randn(width, channels, 3, 3, generator=generator) / channels
            weights[f"features.{layer}.bias"] = 0.1 * torch.randn(width, generator=generator)
            channels = width
        weights[f"lin{block}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
    return weights


def images(seed: int) -> Tensor:
    return torch.rand(2, 32, 24, 3, generator=torch.Generator().manual_seed(seed))


def reference(weights: dict[str, Tensor], first: Tensor, second: Tensor) -> Tensor:
    """The same by torch's own modules, built in the order of torchvision's `vgg16().features`."""
    layers: list[nn.Module] = []
    channels = 3
    for width, block in zip(WIDTHS, BLOCKS, strict=True):
        for _ in block:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers[:-1])
    features.load_state_dict({k.removeprefix("features."): v for k, v in weights.items() if k.startswith("features.")})
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, y = (((image - mean) / deviation).permute(0, 3, 1, 2) for image in (first, second))
    total, ends = torch.zeros(len(first)), [block[-1] + 1 for block in BLOCKS]
    for number, layer in enumerate(features):
        x, y = layer(x), layer(y)
        if number in ends:
            lin = weights[f"lin{ends.index(number)}.model.1.weight"]
            difference = x / (x.norm(dim=1, keepdim=True) + 1e-10) - y / (y.norm(dim=1, keepdim=True) + 1e-10)
            total = total + (lin * difference.square()).sum(dim=1).mean(dim=(1, 2))
    return total


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file of random weights."""
    save_file(random_weights(), tmp_path / "vgg.safetensors")
    return str(tmp_path / "vgg.safetensors")


def test_it_is_the_formula_on_the_layers_of_torchvision() -> None:
    weights = random_weights()
    with torch.no_grad():
        distance = PerceptualDistance(weights)(images(1), images(2))
        torch.testing.assert_close(distance, reference(weights, images(1), images(2)))
    assert bool((distance > 0.0).all())


def test_it_is_zero_of_equal_images_and_symmetric() -> None:
    distance = PerceptualDistance(random_weights())
    assert torch.equal(distance(images(1), images(1)), torch.zeros(2))
    torch.testing.assert_close(distance(images(1), images(2)), distance(images(2), images(1)))


def test_a_network_that_passes_channels_on_compares_directions_of_colour() -> None:
    weights = {}
    for name, layer in ((name, name.split(".")[1]) for name in weight_names()):
        weights[name] = torch.zeros(3, 3, 3, 3) if name.endswith("weight") else torch.zeros(3)
        if name.startswith("lin"):
            weights[name] = torch.full((1, 3, 1, 1), 1.0 if name.startswith("lin4") else 0.0)
        elif layer.isdigit() and name.endswith("weight"):
            weights[name][range(3), range(3), 1, 1] = 1.0
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    one, other = (mean + deviation * torch.tensor(colour) for colour in ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0)))
    first, second = (colour.expand(1, 16, 16, 3) for colour in (one, other))
    # Unit vectors at 45 degrees: |a - b|^2 = 2 - sqrt(2).
    torch.testing.assert_close(
        PerceptualDistance(weights)(first, second), torch.tensor([2.0 - 2.0**0.5]), atol=1e-4, rtol=0
    )


def test_its_gradient_equals_differences(path: str) -> None:
    distance = PerceptualDistance.load(path)
    distance._weights = {name: value.double() for name, value in distance._weights.items()}
    first = images(1)[:, :16, :16].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: distance(x, images(2)[:, :16, :16].double()), (first,), fast_mode=True)


def test_the_loss_compares_with_a_source_at_the_size_of_the_render(make_frame: Make, path: str) -> None:
    source = SOURCES.find("toybox-scene").Config(prompt="a red cube", background=(1.0, 1.0, 1.0))
    loss = Perceptual(Perceptual.Config(weights=path, source=source))
    frame = make_frame(torch.ones(32, 32))
    target = SOURCES.build(source).images(frame.views)
    assert loss(make_frame(torch.ones(32, 32), rgb=target)).losses["perceptual"].item() == pytest.approx(0.0, abs=1e-5)
    rgb = torch.full((1, 32, 32, 3), 0.5, requires_grad=True)
    value = loss(make_frame(torch.ones(32, 32), rgb=rgb)).losses["perceptual"]
    torch.testing.assert_close(value, PerceptualDistance.load(path)(rgb, target).mean())
    value.backward()
    assert rgb.grad is not None and bool(rgb.grad.any())


def test_a_picture_of_another_size_is_resized(make_frame: Make, path: str, tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "gray.png", np.full((50, 70, 3), 128, dtype=np.uint8))
    source = SOURCES.find("image-file").Config(path=str(tmp_path / "gray.png"))
    gray = torch.full((1, 32, 24, 3), 128 / 255)
    loss = Perceptual(Perceptual.Config(weights=path, source=source))(make_frame(torch.ones(32, 24), rgb=gray))
    assert loss.losses["perceptual"].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("spoil", ["absent", "no safetensors", "incomplete"])
def test_weights_that_are_not_there_are_a_clear_error(tmp_path: Path, spoil: str) -> None:
    file, wanted = tmp_path / "weights.safetensors", "is no safetensors file of VGG-16 with"
    if spoil == "absent":
        wanted = "there is no file with VGG-16's weights at"
    elif spoil == "no safetensors":
        file.write_bytes(b"\x05\0\0\0\0\0\0\0hello")
    else:
        save_file({"features.0.weight": torch.zeros(1)}, file)
        wanted = "30 tensors are missing, 'features.0.bias' for instance"
    with pytest.raises(UserError, match=wanted):
        PerceptualDistance.load(str(file))


def test_images_that_are_too_small_are_refused() -> None:
    small: Any = torch.zeros(1, 8, 20, 3)
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels, not \(8, 20\)"):
        PerceptualDistance(random_weights())(small, small)
