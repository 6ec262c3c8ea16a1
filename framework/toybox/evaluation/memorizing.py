"""Whether images that a model drew are copies of images that it was trained on.

Scenes of the toybox never repeat, so a model cannot be asked for one of them. But one that knows its training images by
heart, and not just their law, draws images that are nearer to them than to others of the same law. Each drawn image is
therefore compared with training images of the same objects in the same colours, and with as many that training never drew:

    pixels      those from the nearest cameras: root mean square difference of images of 32 x 32 pixels
    parameters  all of them: root mean square difference of the generator's nuisances that change the shape, each in
                [0, 1]; those of an image are fitted to it, those of the others are known

A true render of the same objects from the same camera, which is no training image, is measured likewise. Pixels tell
sharply. One image leaves parameters uncertain by more than trained scenes are apart, which the error of fits shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from framework.structures.views import Lights, Views
from framework.toybox.batches import ToyDraw
from framework.toybox.evaluation.fitting import SceneFamily
from framework.toybox.evaluation.recognition import SIZE, differences, reduced
from framework.toybox.evaluation.search import Effort, maximize
from framework.toybox.families import FAMILIES
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import ObjectSpec, SceneSpec, build
from framework.toybox.views import ToyViews

NEAREST_CAMERAS = 32
"""Images of the same objects of which the pixels are compared."""
_EFFORT = Effort(starts=64, generations=12, children=16)
"""Of a fit; three times as many generations leave as large an error."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """B images of named scenes, each from a known view.

    Attributes:
        images: In [0, 1], sRGB.
        specs: What each should show, all colours named.
        views: From where; light and background are those of true renders that are compared with them.
    """

    images: Float[Tensor, "B H W 3"]
    specs: Sequence[SceneSpec]
    views: ToyViews


@dataclass
class _Known:
    """What a collection holds of one scene's objects: nuisances, and which of its views they were drawn with."""

    nuisances: list[list[float]] = field(default_factory=list)
    views: list[int] = field(default_factory=list)


class Collection:
    """Draws of a distribution, of which those are kept that show certain objects.

    Args:
        draws: Batches of it.
        specs: The objects, with their colours.
    """

    def __init__(self, draws: Iterable[ToyDraw], specs: Iterable[SceneSpec]) -> None:
        self.size = 0
        self._num_kept = 0
        self._known = {_objects(spec): _Known() for spec in specs}
        kept = [self._kept(draw) for draw in draws]
        self._views = ToyViews.concatenate(kept) if kept else None

    def knows(self, spec: SceneSpec) -> bool:
        """Whether it holds anything of these objects."""
        return bool(self._known[_objects(spec)].nuisances)

    def nuisances(self, spec: SceneSpec) -> Float[Tensor, "N D"]:
        """Those of all its scenes of these objects."""
        return torch.tensor(self._known[_objects(spec)].nuisances)

    def images(self, spec: SceneSpec, position: Float[Tensor, "3"]) -> Float[Tensor, "K H W 3"]:
        """Its images of these objects from cameras in the directions nearest to that of `position`."""
        assert self._views is not None
        known = self._known[_objects(spec)]
        views = self._views[known.views]
        alignment = F.normalize(views.cameras.positions, dim=1) @ F.normalize(position, dim=0)
        nearest = alignment.topk(min(NEAREST_CAMERAS, len(views))).indices
        return _renders([spec] * len(nearest), [known.nuisances[row] for row in nearest.tolist()], views[nearest])

    def _kept(self, draw: ToyDraw) -> ToyViews:
        """The views of those that are kept, which this notes down."""
        rows = [row for row, spec in enumerate(draw.specs) if _objects(spec) in self._known]
        for number, row in enumerate(rows, start=self._num_kept):
            known = self._known[_objects(draw.specs[row])]
            known.nuisances.append(draw.nuisances[row])
            known.views.append(number)
        self._num_kept += len(rows)
        self.size += len(draw.specs)
        return draw.views[rows]


@torch.no_grad()
def memorizing(
    drawn: Drawn, *, trained: Iterable[ToyDraw], untrained: Iterable[ToyDraw], generator: torch.Generator
) -> dict[str, Any]:
    """How much nearer drawn images are to images that were trained on than to others.

    Args:
        drawn: What a model drew, on the CPU.
        trained: What it was trained on.
        untrained: About as many draws of the same distribution, from another seed.
        generator: On the CPU; draws true renders, and searches.

    Returns:
        Medians of the distances by both measures, the share of drawn images that are nearer to a trained one than to any
        untrained one, which is a half if nothing is memorised, and how far fitted nuisances are from those of the true
        renders that they are fitted to. Counts alone if nothing of the same objects was trained on.
    """
    collections = Collection(trained, drawn.specs), Collection(untrained, drawn.specs)
    rows = [row for row, spec in enumerate(drawn.specs) if all(item.knows(spec) for item in collections)]
    counts = {"samples": len(rows), "trained_images": collections[0].size, "untrained_images": collections[1].size}
    if not rows:
        return counts
    compared = [
        _compare(drawn, row, collections, generator) for row in track(rows, "Comparing samples", transient=True)
    ]
    pixels = _summary(torch.stack([item.pixels for item in compared]))
    parameters = _summary(torch.stack([item.parameters for item in compared]))
    parameters["error_of_fits"] = _median(torch.stack([item.fit_error for item in compared]))
    return {**counts, "pixels": pixels, "parameters": parameters}


def fitted_nuisances(
    image: Float[Tensor, "H W 3"], view: Views, spec: SceneSpec, *, generator: torch.Generator
) -> Float[Tensor, "D"]:
    """The nuisances of the scene of `spec` with the render most like an image; those that do not change shape are 0.5."""
    low, high = _box(spec)
    return maximize(
        lambda nuisances: -differences(image, view, [build(spec, nuisance) for nuisance in nuisances.tolist()]),
        low,
        high,
        known=(0.5 * (low + high))[None],
        effort=_EFFORT,
        generator=generator,
    )


@dataclass(frozen=True, eq=False)
class _Compared:
    """Distances of a drawn image and of a true render from the nearest of what was trained, and was not.

    Attributes:
        parameters, pixels: Rows are the drawn image and the true one, columns are what was trained and what was not.
        fit_error: Of the true render, in parameters.
    """

    parameters: Float[Tensor, "2 2"]
    pixels: Float[Tensor, "2 2"]
    fit_error: Float[Tensor, ""]


def _compare(drawn: Drawn, row: int, collections: Sequence[Collection], generator: torch.Generator) -> _Compared:
    spec, view = drawn.specs[row], drawn.views[row]
    true = torch.rand(spec.num_nuisances, generator=generator)
    images = torch.cat([reduced(drawn.images[[row]]), _renders([spec], [true.tolist()], view)])
    lights = Lights.ambient_only(view.cameras.positions)
    unlit = Views(view.cameras, view.azimuth, view.elevation, view.distance, lights)
    fits = torch.stack([fitted_nuisances(image, unlit, spec, generator=generator) for image in images])
    low, high = _box(spec)
    is_shape = low < high
    known = [item.nuisances(spec)[:, is_shape] for item in collections]
    others = [item.images(spec, view.cameras.positions[0]).flatten(1) for item in collections]
    return _Compared(
        parameters=_nearest(fits[:, is_shape], known),
        pixels=_nearest(images.flatten(1), others),
        fit_error=(fits[1] - true)[is_shape].square().mean().sqrt(),
    )


def _nearest(items: Float[Tensor, "Q D"], collections: Sequence[Float[Tensor, "_ D"]]) -> Float[Tensor, "Q C"]:
    """The root mean square difference of each item from the nearest of each collection."""
    scale = items.shape[1] ** -0.5
    return torch.stack([scale * torch.cdist(items, others).min(dim=1).values for others in collections], dim=1)


def _summary(distances: Float[Tensor, "B 2 2"]) -> dict[str, float]:
    """Medians over images of the distances that `_Compared` holds."""
    samples, true = distances.unbind(dim=1)
    return {
        "samples_to_trained": _median(samples[:, 0]),
        "samples_to_untrained": _median(samples[:, 1]),
        "true_renders_to_trained": _median(true[:, 0]),
        "samples_nearer_to_trained": round(float((samples[:, 0] < samples[:, 1]).float().mean()), 4),
    }


def _median(values: Float[Tensor, "B"]) -> float:
    return round(float(values.median()), 4)


def _box(spec: SceneSpec) -> tuple[Float[Tensor, "D"], Float[Tensor, "D"]]:
    """Corners of the nuisances that training draws, equal where they do not change the shape."""
    family = SceneFamily.of(spec)
    return family.low.clamp(0.0, 1.0), family.high.clamp(0.0, 1.0)


def _renders(specs: Sequence[SceneSpec], nuisances: Sequence[Sequence[float]], views: ToyViews) -> Tensor:
    """Images of scenes at the size at which they are compared, in the light and on the background of the views."""
    scenes = [build(spec, nuisance) for spec, nuisance in zip(specs, nuisances, strict=True)]
    cameras = dataclasses.replace(views.cameras, height=SIZE, width=SIZE)
    pack = ScenePack.from_scenes(scenes)
    return render(pack, cameras=cameras, lights=views.lights, background=views.background).rgb


def _objects(spec: SceneSpec) -> SceneSpec:
    """The spec without its view, and without the colours that objects of one look only are given."""
    objects = [
        ObjectSpec(item.family, item.color if FAMILIES[item.family].is_colored else None) for item in spec.objects
    ]
    return SceneSpec(tuple(objects), spec.relation)
