"""Captioned renders of random scenes, drawn as they are needed: what a text-to-image prior of the toybox is trained on.

No scene repeats, because every one has its own nuisances, and none is held out (see `splits`). All draws come from the
generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from framework.toybox.captions import caption, view_words
from framework.toybox.colors import COLORS
from framework.toybox.families import FAMILIES, ON_TOP, PAIR_SHAPES, RELATIONS, SHAPES, SUPPORTS, TOYS
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import ObjectSpec, Scene, SceneSpec, build
from framework.toybox.splits import is_held_out
from framework.toybox.tracing import ToyImages
from framework.toybox.views import ToyViews, ViewDistribution

Choice = TypeVar("Choice")


@dataclass(frozen=True, kw_only=True)
class CaptionDistribution:
    """What scenes show and what their captions leave out. Shares are probabilities."""

    toy_share: float = 0.45
    """Composite toys."""
    shape_share: float = 0.35
    """Single shapes; the rest are relations of two."""
    colorless_share: float = 1 / 6
    """How often the caption leaves the colours out."""
    typical_color_share: float = 0.75
    """How often a single object without a named colour then has its typical one; else any."""
    viewless_share: float = 0.2
    """How often the caption leaves the view out."""

    def __post_init__(self) -> None:
        for name, share in asdict(self).items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {share:g}.")
        if self.toy_share + self.shape_share > 1.0:
            raise ValueError(
                f"toy_share and shape_share must sum to at most 1, got {self.toy_share + self.shape_share:g}."
            )


@dataclass(frozen=True)
class ToyBatch:
    """B captioned renders.

    Attributes:
        captions: One for each image, such as "a red cube, front view".
        scenes: What the images show; their specs name every colour, and no view.
        views: From where and in which light.
        renders: The images, with opacity, depth and normals.
    """

    captions: list[str]
    scenes: list[Scene]
    views: ToyViews
    renders: ToyImages

    @property
    def images(self) -> Float[Tensor, "B H W 3"]:
        """In [0, 1], sRGB."""
        return self.renders.rgb


@dataclass(frozen=True)
class ToyDraw:
    """What is drawn at random for B captioned renders; building and rendering them takes far longer.

    Attributes:
        captions: One for each image.
        specs: What the images are to show, with every colour, and no view.
        nuisances: What `build` takes beside each spec.
        views: From where and in which light.
    """

    captions: list[str]
    specs: list[SceneSpec]
    nuisances: list[list[float]]
    views: ToyViews


def training_draw(
    generator: torch.Generator,
    batch_size: int,
    *,
    size: int = 64,
    views: ViewDistribution | None = None,
    contents: CaptionDistribution | None = None,
    sides: int = 1,
) -> ToyDraw:
    """The draws of `training_batch`, which takes the same arguments."""
    if sides < 1 or batch_size % sides:
        raise ValueError(f"batch_size must be a multiple of sides, got {batch_size} and {sides}.")
    contents, count = contents or CaptionDistribution(), batch_size // sides
    sampled = (views or ViewDistribution()).sample(count, size=size, generator=generator).from_sides(sides)
    angles = list(zip(sampled.azimuth.tolist(), sampled.elevation.tolist(), strict=True))
    source = Uniform(generator)
    captions, specs, nuisances = [], [], []
    for number in range(count):
        named, says_view, spec = _captioned_spec(source, contents)
        seen_from = angles[number * sides : (number + 1) * sides]
        captions += [caption(replace(named, view=view_words(*view) if says_view else None)) for view in seen_from]
        specs += [spec] * sides
        nuisances += [source.vector(spec.num_nuisances)] * sides
    return ToyDraw(captions, specs, nuisances, sampled)


def training_batch(
    generator: torch.Generator,
    batch_size: int,
    *,
    size: int = 64,
    views: ViewDistribution | None = None,
    contents: CaptionDistribution | None = None,
    sides: int = 1,
    device: torch.device | str = "cpu",
) -> ToyBatch:
    """Captioned renders of new scenes.

    Args:
        generator: On the CPU; the source of all draws.
        batch_size: Number of images.
        size: Height and width, pixels.
        views, contents: The distributions; those that the bundled prior was trained on by default.
        sides: From how many sides, evenly around it, each scene is seen in consecutive images, which are alike else.
        device: Where images are rendered. The draws do not depend on it.
    """
    drawn = training_draw(generator, batch_size, size=size, views=views, contents=contents, sides=sides)
    scenes = [build(spec, nuisance) for spec, nuisance in zip(drawn.specs, drawn.nuisances, strict=True)]
    sampled = drawn.views.to(device)
    pack = ScenePack.from_scenes(scenes).to(device)
    images = render(pack, cameras=sampled.cameras, lights=sampled.lights, background=sampled.background)
    return ToyBatch(drawn.captions, scenes, sampled, images)


class Uniform:
    """Single numbers, uniform in [0, 1), drawn in blocks, because a tensor operation for each would dominate the time."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def uniform(self) -> float:
        if not self._block:
            self._block = torch.rand(512, generator=self._generator).tolist()
        return self._block.pop()

    def between(self, low: float | int, high: float | int) -> float:
        return low + (high - low) * self.uniform()

    def vector(self, length: int) -> list[float]:
        return [self.uniform() for _ in range(length)]

    def chance(self, share: float) -> bool:
        return self.uniform() < share

    def choice(self, options: Sequence[Choice]) -> Choice:
        return options[min(int(self.uniform() * len(options)), len(options) - 1)]


def _captioned_spec(source: Uniform, contents: CaptionDistribution) -> tuple[SceneSpec, bool, SceneSpec]:
    """What a caption says of a scene, whether it says the view, too, and what the scene shows."""
    is_colorless = source.chance(contents.colorless_share)
    typical_share = contents.typical_color_share if is_colorless else 0.0
    kind = source.uniform()
    spec = random_spec(source, contents, kind, typical_share)
    while is_held_out(spec):
        spec = random_spec(source, contents, kind, typical_share)
    objects = tuple(_as_captioned(item, is_colorless) for item in spec.objects)
    return replace(spec, objects=objects), not source.chance(contents.viewless_share), spec


def random_spec(source: Uniform, contents: CaptionDistribution, kind: float, typical_share: float) -> SceneSpec:
    """A spec with every colour named, held out or not; `kind` in [0, 1] chooses between toys, shapes and relations."""
    if kind < contents.toy_share + contents.shape_share:
        family = FAMILIES[source.choice(TOYS if kind < contents.toy_share else SHAPES)]
        is_typical = source.chance(typical_share) or not family.is_colored
        color = family.typical_color if is_typical else source.choice(tuple(COLORS))
        return SceneSpec((ObjectSpec(family.name, color),))
    relation = source.choice(RELATIONS)
    first, second = source.choice(PAIR_SHAPES), source.choice(SUPPORTS if relation == ON_TOP else PAIR_SHAPES)
    colors = [source.choice(tuple(COLORS)) for _ in range(2)]
    return SceneSpec((ObjectSpec(first, colors[0]), ObjectSpec(second, colors[1])), relation)


def _as_captioned(item: ObjectSpec, is_colorless: bool) -> ObjectSpec:
    return ObjectSpec(item.family) if is_colorless or not FAMILIES[item.family].is_colored else item
