from __future__ import annotations

import torch

from framework.diffusion.images import images_to_samples, resize, samples_to_images


def test_images_and_samples_are_inverse_at_equal_size():
    images = torch.rand(2, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(samples_to_images(images_to_samples(images, height=5, width=4)), images, atol=1e-6)


def test_black_is_minus_one_and_white_is_one():
    images = torch.stack([torch.zeros(2, 2, 3), torch.ones(2, 2, 3)])
    samples = images_to_samples(images, height=2, width=2)
    assert samples[0].eq(-1.0).all() and samples[1].eq(1.0).all()


def test_shrinking_by_a_whole_factor_averages_boxes():
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        resize(images, height=4, width=2), images.unflatten(2, (4, 2)).unflatten(4, (2, 4)).mean((3, 5))
    )


def test_shrinking_does_not_alias():
    stripes = (torch.arange(9) % 2).float().expand(1, 1, 9, 9)
    assert resize(stripes, height=4, width=4).std() < 0.1


def test_resizing_passes_gradients_to_every_pixel():
    images = torch.rand(1, 3, 7, 9, requires_grad=True)
    resize(images, height=5, width=5).sum().backward()
    assert images.grad.ne(0.0).all()
