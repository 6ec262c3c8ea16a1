"""Light from all directions."""

from __future__ import annotations

import math
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from framework.core.errors import UserError
from framework.materials.environment_light import EnvironmentLight, blurred, directions_of, panorama
from framework.structures.srgb import to_linear

ROWS = 32


def random_directions(count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)), dim=1)


def random_panorama() -> torch.Tensor:
    return torch.rand(ROWS, 2 * ROWS, 3, generator=torch.Generator().manual_seed(1)) + 0.1


def test_a_mirror_shows_the_texel_in_its_direction() -> None:
    image = random_panorama()
    light = EnvironmentLight(image)
    shown = light.mirrored(directions_of(ROWS).reshape(-1, 3), torch.zeros(2 * ROWS**2)).reshape_as(image)
    assert torch.allclose(shown / shown.mean(), image / image.mean(), rtol=1e-3)


def test_the_middle_of_the_picture_is_the_front_and_its_left_half_the_left() -> None:
    image = torch.zeros(ROWS, 2 * ROWS, 3) + torch.tensor([0.0, 0.0, 0.01])
    image[ROWS // 2 - 4 : ROWS // 2 + 4, ROWS - 4 : ROWS + 4, 0] = 1.0  # red in the middle
    image[ROWS // 2 - 4 : ROWS // 2 + 4, ROWS // 2 - 4 : ROWS // 2 + 4, 1] = 1.0  # green in the middle of the left half
    light = EnvironmentLight(image)
    front_left_top = light.mirrored(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(3))
    assert front_left_top[0].argmax() == 0 and front_left_top[1].argmax() == 1 and front_left_top[2].argmax() == 2


def test_uniform_light_is_equal_for_all_surfaces() -> None:
    light = EnvironmentLight(panorama("uniform", rows=ROWS), brightness=0.7)
    directions = random_directions(300)
    roughness = torch.linspace(0.0, 1.0, 300)
    assert torch.allclose(light.mirrored(directions, roughness), torch.tensor(0.7), atol=1e-4)
    assert torch.allclose(light.diffused(directions), torch.tensor(0.7), atol=1e-4)


def test_the_matte_share_of_light_from_one_side_follows_the_cosine() -> None:
    # Radiance 1 + z over the sphere: its cosine-weighted mean about n is 1 + 2/3 n_z (Ramamoorthi and Hanrahan 2001).
    image = (1.0 + directions_of(ROWS)[..., 2:]).expand(-1, -1, 3)
    normals = random_directions(300)
    shown = EnvironmentLight(image).diffused(normals)[:, 0]
    assert torch.allclose(shown, 1.0 + 2.0 / 3.0 * normals[:, 2], atol=5e-3)


def test_blurring_equals_the_sum_over_all_pairs_of_texels() -> None:
    rows = 8
    image = torch.rand(rows, 2 * rows, 3, generator=torch.Generator().manual_seed(0))
    directions = directions_of(rows).reshape(-1, 3)
    solid_angle = torch.sin((torch.arange(rows) + 0.5) * math.pi / rows).repeat_interleave(2 * rows)
    weights = (directions @ directions.T).clamp(-1.0, 1.0).exp() * solid_angle
    expected = (weights @ image.reshape(-1, 3)) / weights.sum(dim=1, keepdim=True)
    assert torch.allclose(blurred(image, torch.exp).reshape(-1, 3), expected, atol=1e-5)


def test_rougher_surfaces_see_less_contrast() -> None:
    light = EnvironmentLight(panorama("sky", rows=ROWS))
    directions = random_directions(2000)
    spread = [light.mirrored(directions, torch.full((2000,), level)).std().item() for level in (0.0, 0.3, 0.6, 1.0)]
    assert spread == sorted(spread, reverse=True) and spread[-1] < 0.5 * spread[0]


def test_turning_the_light_and_the_directions_together_changes_nothing() -> None:
    light, angle = EnvironmentLight(panorama("sky", rows=ROWS)), 1.1
    turn = torch.tensor([[math.cos(angle), math.sin(angle), 0.0], [-math.sin(angle), math.cos(angle), 0.0], [0, 0, 1]])
    directions, roughness = random_directions(500), torch.linspace(0.0, 1.0, 500)
    before = light.mirrored(directions, roughness)
    assert torch.allclose(light.mirrored(directions @ turn, roughness, turn=angle), before, atol=1e-4)
    assert torch.allclose(light.diffused(directions @ turn, turn=angle), light.diffused(directions), atol=1e-4)
    assert not torch.allclose(light.mirrored(directions, roughness, turn=angle), before, atol=0.1)


def test_the_seam_behind_and_the_poles_are_continuous_and_have_finite_gradients() -> None:
    light = EnvironmentLight(panorama("sky", rows=ROWS))
    behind = torch.tensor([[-1.0, 1e-5, 0.2], [-1.0, -1e-5, 0.2], [1e-7, 0.0, 1.0], [0.0, -1e-4, 1.0]])
    directions = F.normalize(behind, dim=1).requires_grad_()
    shown = light.mirrored(directions, torch.full((4,), 0.4))
    assert torch.allclose(shown[0], shown[1], atol=1e-3) and torch.allclose(shown[2], shown[3], atol=0.02)
    poles = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], requires_grad=True)
    (shown.sum() + light.diffused(poles).sum()).backward()
    for gradient in (directions.grad, poles.grad):
        assert gradient is not None and bool(gradient.isfinite().all())


def test_brightness_is_the_mean_over_all_directions() -> None:
    light = EnvironmentLight(panorama("sky", rows=ROWS), brightness=0.8)
    shown = light.diffused(random_directions(20_000))
    assert shown.mean().item() == pytest.approx(0.8, rel=0.02)


def test_a_picture_is_taken_as_srgb_and_reduced_to_the_rows_asked_for(tmp_path: Path) -> None:
    levels = np.zeros((64, 128, 3), dtype=np.uint8)
    levels[:, :64] = 188
    imageio.imwrite(tmp_path / "room.png", levels)
    image = panorama(str(tmp_path / "room.png"), rows=16)
    assert image.shape == (16, 32, 3)
    assert torch.allclose(image[:, 4], to_linear(torch.tensor(188.0 / 255.0)), atol=1e-5)
    assert float(image[:, 20].max()) == 0.0


def test_a_radiance_picture_keeps_what_is_brighter_than_white(tmp_path: Path) -> None:
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 8\n"
    (tmp_path / "sun.hdr").write_bytes(header + bytes([128, 128, 128, 133]) * 32)
    assert torch.equal(panorama(str(tmp_path / "sun.hdr"), rows=4), torch.full((4, 8, 3), 16.0))


def test_what_is_no_panorama_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"skyy: not a panorama.*'sky', 'uniform'"):
        panorama("skyy", rows=16)
    imageio.imwrite(tmp_path / "square.png", np.full((8, 8, 3), 9, dtype=np.uint8))
    with pytest.raises(UserError, match="twice as wide as high, but this is 8 x 8"):
        panorama(str(tmp_path / "square.png"), rows=16)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.png: not a panorama that can be read"):
        panorama(str(tmp_path / "text.png"), rows=16)
    imageio.imwrite(tmp_path / "night.png", np.zeros((8, 16, 3), dtype=np.uint8))
    with pytest.raises(UserError, match="dark everywhere"):
        panorama(str(tmp_path / "night.png"), rows=16)
