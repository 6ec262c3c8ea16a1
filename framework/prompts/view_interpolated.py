"""View words that pass into each other, with the other sides as negatives (Perp-Neg, arXiv:2304.04968)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import CONDITIONERS
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prior import Prior
from framework.prompts.conditioner import Conditioner
from framework.prompts.view_dependent import BACK, FRONT, OVERHEAD, SIDE, ViewDependent
from framework.structures.views import Views

# a, b, c of f(r) = a exp(-b r) + c; the two letters are the sides between which r leads, the third the negative.
_FRONT_SIDE = (4.0, 0.5, -2.426)
_SIDE_BACK = (1.0, 0.5, -0.606)
_FRONT_FROM_BACK = (1.0, 0.5, 0.967)


@CONDITIONERS.register("view-interpolated")
class ViewInterpolated(Conditioner):
    """View words that pass into each other with the azimuth, and the other sides as negatives for Perp-Neg.

    Embeddings are mixed linearly: front to side over the front half, side to back over the other. Rows 2 and 3 hold the
    sides that must not be seen, with weights that `combination: perpendicular-negative` reads and others leave alone.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(ViewDependent.Config):
        pass

    config: Config

    def __init__(self, config: Config, *, prior: Prior, prompt: str) -> None:
        """Encode the texts.

        Raises:
            UserError: If there is nothing in between the prior's embeddings.
        """
        super().__init__(config, prior=prior, prompt=prompt)
        self._text = prior.encode_text([*config.texts_of(prompt), config.negative_prompt])
        try:
            self._text.lerp(self._text, torch.zeros(len(self._text), device=prior.device))
        except ValueError as error:
            raise UserError(
                "prompts: 'view-interpolated' mixes embeddings, and this prior's are whole numbers. "
                "Use 'view-dependent', which has one text for each side."
            ) from error

    def __call__(self, views: Views, step: StepInfo) -> Conditions:
        """Row 0 the mixed text, row 1 the negative prompt, rows 2 and 3 the other sides with their weights."""
        turn = torch.remainder(views.azimuth + math.pi, 2.0 * math.pi).sub(math.pi).abs() / (0.5 * math.pi)  # 0 to 2
        is_front = turn < 1.0
        share = torch.where(is_front, 1.0 - turn, 2.0 - turn)  # of the side that is nearer to the front
        first = torch.where(is_front, FRONT, SIDE)
        second = torch.where(is_front, SIDE, BACK)
        is_above = views.elevation > math.radians(self.config.overhead_threshold_deg)
        first, second = (torch.where(is_above, OVERHEAD, item) for item in (first, second))
        mixed = self._text[second[None]].lerp(self._text[first[None]], share[None])
        unconditional = torch.full_like(first, OVERHEAD + 1)
        others = torch.stack([unconditional, torch.where(is_front, FRONT, SIDE), torch.where(is_front, SIDE, FRONT)])
        text = type(mixed).concatenate([mixed, self._text[others]])
        return Conditions(text, self._weights(share, is_front, is_above), views)

    @staticmethod
    def _weights(share: Float[Tensor, "B"], is_front: Tensor, is_above: Tensor) -> Float[Tensor, "4 B"]:
        """1 for the prompt and the unconditional row; 0 or less for the negatives."""
        ones = torch.ones_like(share)
        nearer = torch.where(is_front, _decay(_FRONT_SIDE, share), _decay(_SIDE_BACK, share))
        farther = torch.where(is_front, _decay(_FRONT_SIDE, 1.0 - share), _decay(_FRONT_FROM_BACK, share))
        negatives = -torch.stack([nearer, farther]).clamp(min=0.0)
        return torch.cat([torch.stack([ones, ones]), torch.where(is_above, 0.0, negatives)])


def _decay(constants: tuple[float, float, float], share: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    factor, rate, offset = constants
    return factor * torch.exp(-rate * share) + offset
