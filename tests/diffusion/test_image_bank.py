from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from framework.diffusion.image_bank import BackgroundModel, ImageBank

ANY = BackgroundModel((0.2, -0.1, 0.0), 0.6)
KNOWN = BackgroundModel((1.0, 1.0, 1.0), 0.0)


def _renders(count, size):
    generator = torch.Generator().manual_seed(3)
    opacity = torch.rand(count, size, size, 1, generator=generator).mul(3.0).clamp(max=1.0)
    return torch.rand(count, size, size, 3, generator=generator) * opacity, opacity


def _on(premultiplied, opacity, color):
    """Samples (N, 3, H, W) of renders over a colour in sample units."""
    behind = (1.0 - opacity) * (0.5 + 0.5 * torch.tensor(color))
    return (2.0 * (premultiplied + behind) - 1.0).permute(0, 3, 1, 2)


def _shares(alpha, sigma, count=1):
    return torch.full((count, 1, 1, 1), alpha), torch.full((count, 1, 1, 1), sigma)


@pytest.mark.parametrize("background", [ANY, KNOWN])
@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.4), (0.3, 0.95)])
def test_the_denoised_image_is_the_gaussian_posterior_mean(background, alpha, sigma):
    size, count = 3, 5
    renders = _renders(count, size)
    bank = ImageBank.from_images(*renders, background)
    noisy = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    result = bank.denoise(noisy, *_shares(alpha, sigma, 2), background)

    base = _on(*renders, background.mean).flatten(2).double()  # (N, 3, P), over the mean colour
    outside = (1.0 - renders[1]).flatten(1).double()
    for item, x_t in enumerate(noisy.flatten(2).double()):
        logits, means = [], []
        for image, m in zip(base, outside, strict=True):
            prior = background.deviation**2 * torch.outer(m, m)
            covariance = sigma**2 * torch.eye(size**2, dtype=torch.float64) + alpha**2 * prior
            residual = x_t - alpha * image
            logits.append(MultivariateNormal(alpha * image, covariance).log_prob(x_t).sum())
            means.append(image + alpha * residual @ torch.linalg.solve(covariance, prior))
        expected = torch.einsum("n,ncp->cp", torch.softmax(torch.stack(logits), 0), torch.stack(means))
        assert torch.allclose(result[item].flatten(1).double(), expected, atol=1e-5)


@pytest.mark.parametrize("color", [(1.0, 1.0, 1.0), (-0.7, 0.2, 0.9)])
def test_with_little_noise_the_image_of_the_bank_comes_back_on_its_own_background(color):
    renders = _renders(40, 16)
    bank = ImageBank.from_images(*renders, ANY)
    clean = _on(*renders, color)[[7, 30]]
    alpha, sigma = _shares(0.999, 0.04, 2)
    noisy = alpha * clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    assert (bank.denoise(noisy, alpha, sigma, ANY) - clean).abs().max() < 0.02


def test_with_nothing_but_noise_the_mean_of_the_bank_comes_back():
    renders = _renders(40, 8)
    bank = ImageBank.from_images(*renders, ANY)
    noisy = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    denoised = bank.denoise(noisy, *_shares(0.0, 1.0), ANY)
    assert torch.allclose(denoised[0], _on(*renders, ANY.mean).mean(0), atol=1e-5)


def test_samples_of_a_batch_do_not_meet():
    renders = _renders(40, 8)
    bank = ImageBank.from_images(*renders, ANY)
    noisy = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    alpha, sigma = torch.tensor([0.99, 0.2])[:, None, None, None], torch.tensor([0.1, 0.98])[:, None, None, None]
    together = bank.denoise(noisy, alpha, sigma, ANY)
    for item in range(2):
        alone = bank.denoise(noisy[[item]], alpha[[item]], sigma[[item]], ANY)
        assert torch.allclose(together[[item]], alone, atol=1e-5)


def test_leaving_out_negligible_images_changes_nothing():
    renders = _renders(40, 16)
    bank = ImageBank.from_images(*renders, ANY)
    alpha, sigma = _shares(0.98, 0.2)
    noisy = alpha * _on(*renders, (0.5, 0.5, 0.5))[[3]] + sigma * torch.randn(
        1, 3, 16, 16, generator=torch.Generator().manual_seed(0)
    )
    few = bank[[3, 4, 5]].denoise(noisy, alpha, sigma, ANY)
    assert torch.allclose(bank.denoise(noisy, alpha, sigma, ANY), few, atol=1e-6)
