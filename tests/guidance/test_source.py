"""What an edit begins with."""

from __future__ import annotations

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from framework.core.errors import UserError
from framework.guidance.source import ImageFile, ToyboxScene
from framework.structures.views import Views


def test_a_picture_is_the_same_for_every_view_and_its_alpha_channel_is_ignored(tmp_path, views):
    levels = np.zeros((4, 6, 4), dtype=np.uint8)
    levels[1, 2] = (255, 51, 0, 128)
    imageio.imwrite(tmp_path / "cat.png", levels)
    images = ImageFile(ImageFile.Config(path=str(tmp_path / "cat.png"))).images(views)
    assert images.shape == (2, 4, 6, 3) and torch.equal(images[0], images[1])
    assert torch.allclose(images[0, 1, 2], torch.tensor([1.0, 0.2, 0.0])) and images.sum().item() == pytest.approx(2.4)


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "cat.png").write_text("not a picture")
    for name, message in (("cat.png", "cannot be read as an image"), ("dog.png", "there is no file")):
        with pytest.raises(UserError, match=message):
            ImageFile(ImageFile.Config(path=str(tmp_path / name)))


def test_a_scene_is_seen_from_the_camera_of_each_view():
    source = ToyboxScene(ToyboxScene.Config(prompt="a red cube", background=(0.0, 0.0, 1.0)))
    angles, one = torch.tensor([0.0, 0.8]), torch.ones(2)
    views = Views.orbit(angles, 0.3 * one, 2.7 * one, 0.8 * one, height=32, width=32)
    images = source.images(views)
    assert source.prompt == "a red cube" and images.shape == (2, 32, 32, 3)
    assert torch.allclose(images[:, 0, 0], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)
    assert (images[:, 16, 16, 0] > images[:, 16, 16, 2]).all()
    assert not torch.allclose(images[0], images[1], atol=0.1)
    assert torch.equal(images[:1], source.images(views[0]))


def test_a_scene_that_the_toybox_does_not_know_is_refused():
    with pytest.raises(UserError, match="source 'toybox-scene'"):
        ToyboxScene(ToyboxScene.Config(prompt="a photo of a cat"))
    with pytest.raises(ValueError, match="background"):
        ToyboxScene.Config(prompt="a red cube", background=(0.0, 2.0, 0.0))
