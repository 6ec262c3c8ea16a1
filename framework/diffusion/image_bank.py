"""Finite banks of images and their Bayes-optimal denoiser.

An image of a bank is an object before one colour: x_0 = a_i + m_i b, with a_i the object times its opacity o_i,
m_i = 1 - o_i, and b distributed as N(b_0, s^2) in each channel; s = 0 is a known background. With g_i = a_i - o_i b_0,
y = x_t - alpha b_0 and d = b - b_0 this reads y = alpha (g_i + m_i d) + sigma eps, in which all is Gaussian once i is
given. With e_i = m_i . (y - alpha g_i) and q_i = sigma^2 + alpha^2 s^2 |m_i|^2 the matrix inversion lemma yields, up to
terms that do not depend on i,

    log p(x_t | i)  = sum over channels of [2 alpha y . g_i - alpha^2 |g_i|^2 + alpha^2 s^2 e_i^2 / q_i] / (2 sigma^2)
                      - 3/2 log q_i,
    E[d | x_t, i]   = alpha s^2 e_i / q_i,

and the denoised image is the mean of b_0 + g_i + m_i E[d | x_t, i] over p(i | x_t).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.record import TensorRecord

NEGLIGIBLE = 1e-9
"""Weights below this change no denoised image in float32."""


@dataclass(frozen=True)
class BackgroundModel:
    """What is known of the colour behind the object, in sample units: N(mean, deviation^2) in each channel."""

    mean: tuple[float, float, float]
    deviation: float


@dataclass(frozen=True, eq=False)
class ImageBank(TensorRecord):
    """N images of P pixels without their background, and the products of them that the denoiser needs.

    Attributes:
        object: g_i, channels first.
        opacity: o_i, in [0, 1].
        object_square: |g_i|^2, over all channels.
        object_outside: m_i . g_i, by channel: what of the object is not opaque.
        outside_square: |m_i|^2.
    """

    object: Float[Tensor, "N 3 P"]
    opacity: Float[Tensor, "N P"]
    object_square: Float[Tensor, "N"]
    object_outside: Float[Tensor, "N 3"]
    outside_square: Float[Tensor, "N"]

    @classmethod
    def from_images(
        cls, premultiplied: Float[Tensor, "N H W 3"], opacity: Float[Tensor, "N H W 1"], background: BackgroundModel
    ) -> ImageBank:
        """The bank of renders over black, in [0, 1], with their opacity."""
        opaque = opacity.flatten(1)
        mean = torch.tensor(background.mean, device=opaque.device)
        # 2 rgb - 1 in samples, times the opacity, less the background that the object hides.
        shifted = 2.0 * premultiplied.permute(0, 3, 1, 2).flatten(2) - opaque[:, None] * (1.0 + mean[:, None])
        outside = 1.0 - opaque
        return cls(
            object=shifted,
            opacity=opaque,
            object_square=shifted.square().sum(dim=(1, 2)),
            object_outside=(shifted * outside[:, None]).sum(dim=-1),
            outside_square=outside.square().sum(dim=-1),
        )

    def denoise(
        self,
        noisy: Float[Tensor, "B 3 h w"],
        alpha: Float[Tensor, "B 1 1 1"],
        sigma: Float[Tensor, "B 1 1 1"],
        background: BackgroundModel,
    ) -> Float[Tensor, "B 3 h w"]:
        """The mean of x_0 given x_t, over the images of the bank and the colours behind them."""
        mean = torch.tensor(background.mean, device=noisy.device)[:, None]
        y = noisy.flatten(2) - alpha[:, :, 0] * mean  # (B, 3, P)
        weight, shift = self._posterior(y, alpha[:, 0, 0], sigma[:, 0, 0], background.deviation)
        bank, weight, shift = self._without_negligible(weight, shift)
        weighted_shift = weight[..., None] * shift  # (B, N, 3)
        hidden = torch.einsum("bnc,np->bcp", weighted_shift, bank.opacity)
        clean = (weight @ bank.object.flatten(1)).reshape(y.shape) + weighted_shift.sum(dim=1)[..., None] - hidden
        return (mean + clean).reshape(noisy.shape)

    def _without_negligible(
        self, weight: Float[Tensor, "B N"], shift: Float[Tensor, "B N 3"]
    ) -> tuple[ImageBank, Float[Tensor, "B M"], Float[Tensor, "B M 3"]]:
        """The images that count; at low noise they are few, and reading the others would take most of the time."""
        index = (weight.amax(dim=0) > NEGLIGIBLE).nonzero()[:, 0]
        if 4 * len(index) > len(self):
            return self, weight, shift
        return self[index], weight[:, index], shift[:, index]

    def _posterior(
        self, y: Float[Tensor, "B 3 P"], alpha: Float[Tensor, "B 1"], sigma: Float[Tensor, "B 1"], deviation: float
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B N 3"]]:
        """p(i | x_t) and E[d | x_t, i] by channel.

        The products with the images are sums over pixels and done in float32; what is made of them is a difference of
        large numbers over sigma^2, and done in float64.
        """
        alpha, sigma = alpha.double(), sigma.double()
        correlation = (y.flatten(1) @ self.object.flatten(1).T).double()  # y . g_i, (B, N)
        covered = torch.einsum("bcp,np->bnc", y, self.opacity).double()  # y . o_i, (B, N, 3)
        outside = y.double().sum(dim=-1)[:, None] - covered - alpha[..., None] * self.object_outside
        q = sigma**2 + (alpha * deviation) ** 2 * self.outside_square  # (B, N)
        explained = (alpha * deviation) ** 2 * outside.square().sum(dim=-1) / q
        fit = 2.0 * alpha * correlation - alpha**2 * self.object_square + explained
        weight = torch.softmax(fit / (2.0 * sigma**2) - 1.5 * q.log(), dim=-1)
        shift = (alpha * deviation**2 / q)[..., None] * outside
        return weight.float(), shift.float()
