"""The judge: a small convolutional classifier of toybox images.

It shares nothing with the prior that it judges: no text, no attention, no noise levels; other seeds, lights and backgrounds
in training; and a class for what is no proper scene at all. It is never part of a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framework.toybox.families import FAMILIES
from framework.toybox.judge.labels import CHOICES, REJECT, SINGLE, answers
from framework.toybox.scenes import ObjectSpec, SceneSpec

SIZE = 64
"""Height and width of the images that it takes, pixels."""
_OBJECT_QUESTIONS = ("relation", "first", "second")


@dataclass(frozen=True)
class Opinion:
    """What a judge makes of one object.

    Attributes:
        log_probabilities: Of each answer to each question of `CHOICES`, averaged over views.
    """

    log_probabilities: Mapping[str, Float[Tensor, "answers"]]

    def answer(self, question: str) -> str:
        """The likeliest answer to a question."""
        return CHOICES[question][int(self.log_probabilities[question].argmax())]

    @property
    def is_rejected(self) -> bool:
        """Whether this is no proper scene at all."""
        return self.answer("relation") == REJECT

    @property
    def seen(self) -> SceneSpec | None:
        """The likeliest scene, None if it is rejected."""
        relation = self.answer("relation")
        if relation == REJECT:
            return None
        places = ("first",) if relation == SINGLE else ("first", "second")
        objects = tuple(self._object(place) for place in places)
        return SceneSpec(objects, None if relation == SINGLE else relation)

    def has_objects_of(self, spec: SceneSpec) -> bool:
        """Whether the objects are those of a caption: all of them, and one on top of the other as it says."""
        return self._agrees(spec, _OBJECT_QUESTIONS)

    def has_colors_of(self, spec: SceneSpec) -> bool:
        """Whether the colours are those of a caption; true where it names none."""
        return self._agrees(spec, ("first_color", "second_color"))

    def _agrees(self, spec: SceneSpec, questions: tuple[str, ...]) -> bool:
        right = answers(spec)
        return all(self.answer(question) == right[question] for question in questions if question in right)

    def _object(self, place: str) -> ObjectSpec:
        family = self.answer(place)
        return ObjectSpec(family, self.answer(f"{place}_color") if FAMILIES[family].is_colored else None)


class Judge(nn.Module):
    """Residual convolutions over 64 x 64 pixels, then one linear layer for each question.

    Each question looks at the image in its own way: the features before its layer are a mean with weights that depend on
    them, so that "which is the first object" and "what is its colour" can mean one place, and not the whole image.

    Args:
        widths: Channels at 32, 16, 8 and 4 pixels a side.
        seed: Of the initial weights.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192), *, seed: int = 0) -> None:
        super().__init__()
        self.widths = widths
        with torch.random.fork_rng(devices=[]):
            # torch draws initial weights from the global generator; it is given back as it was.
            torch.manual_seed(seed)
            stages: list[nn.Module] = [nn.Conv2d(3, widths[0], 5, stride=2, padding=2)]
            for before, after in zip((widths[0], *widths), widths, strict=False):
                stages += [_Residual(before, after, stride=1 if before == after else 2)]
            self.body = nn.Sequential(*stages, nn.GroupNorm(8, widths[-1]), nn.SiLU())
            self.gaze = nn.Conv2d(widths[-1], len(CHOICES), 1)
            nn.init.zeros_(self.gaze.weight)  # At first every question looks everywhere.
            self.heads = nn.ModuleDict({name: nn.Linear(widths[-1], len(options)) for name, options in CHOICES.items()})

    def forward(self, images: Float[Tensor, "B H W 3"]) -> dict[str, Float[Tensor, "B answers"]]:
        """Log-probabilities of the answers for each image.

        Args:
            images: In [0, 1], sRGB.
        """
        features = self.body((2.0 * images - 1.0).permute(0, 3, 1, 2))
        gaze = self.gaze(features).flatten(2).softmax(dim=-1)  # (B, questions, h w)
        pooled = torch.einsum("bqs,bcs->qbc", gaze, features.flatten(2))
        return {
            name: F.log_softmax(head(seen).float(), dim=-1)
            for (name, head), seen in zip(self.heads.items(), pooled, strict=True)
        }

    @torch.no_grad()
    def opinion(self, views: Float[Tensor, "V H W 3"]) -> Opinion:
        """One opinion about an object that V images show."""
        return Opinion({name: values.mean(dim=0) for name, values in self(views).items()})


class _Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.GroupNorm(8, before),
            nn.SiLU(),
            nn.Conv2d(before, after, 3, stride=stride, padding=1),
            nn.GroupNorm(8, after),
            nn.SiLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        is_plain = before == after and stride == 1
        self.shortcut = nn.Identity() if is_plain else nn.Conv2d(before, after, 1, stride=stride)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Features of the next stage."""
        return self.branch(features) + self.shortcut(features)
