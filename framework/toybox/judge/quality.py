"""How far a judge can be trusted: what it says about cases whose answer is known."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.toybox.batches import CaptionDistribution, Uniform, random_spec
from framework.toybox.judge import spoiling
from framework.toybox.judge.labels import canonical
from framework.toybox.judge.network import SIZE, Judge
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import Scene, SceneSpec, build
from framework.toybox.views import ViewDistribution

NUM_VIEWS = 8
"""Views that an opinion averages."""


def trust(judge: Judge, *, count: int, generator: torch.Generator) -> dict[str, Any]:
    """Shares of `count` cases of each kind that a judge gets right, from `NUM_VIEWS` random views each.

    True renders are right if objects and colours are those of the scene. Blobs, noise and other prompts' scenes are
    right if they are rejected or called anything but the prompt.
    """
    source = Uniform(generator)
    true = {"objects": 0, "colors": 0, "both": 0}
    caught = {"blob": 0, "noise": 0, "another scene": 0, "floaters": 0, "melted": 0, "empty": 0}
    for _ in range(count):
        spec, other = _spec(source), _spec(source)
        while canonical(other) == canonical(spec):
            other = _spec(source)
        scene = _built(spec, source)
        opinion = judge.opinion(_renders(scene, generator))
        has_objects, has_colors = opinion.has_objects_of(spec), opinion.has_colors_of(spec)
        true["objects"] += has_objects
        true["colors"] += has_colors
        true["both"] += has_objects and has_colors
        for fault, images in _spoiled(scene, _built(other, source), source, generator).items():
            opinion = judge.opinion(images)
            caught[fault] += opinion.is_rejected or not opinion.has_objects_of(spec) or not opinion.has_colors_of(spec)
    return {
        "cases": count,
        "views": NUM_VIEWS,
        "true renders": {name: round(value / count, 4) for name, value in true.items()},
        "not taken for the prompt": {name: round(value / count, 4) for name, value in caught.items()},
    }


def _spoiled(
    scene: Scene, other: Scene, source: Uniform, generator: torch.Generator
) -> dict[str, Float[Tensor, "V H W 3"]]:
    draw = source.between
    shape = (NUM_VIEWS, SIZE, SIZE, 3)
    background = torch.rand(NUM_VIEWS, 1, 1, 3, generator=generator)
    return {
        "blob": _renders(Scene(scene.spec, tuple(spoiling.blob(draw))), generator),
        "noise": spoiling.as_noise(shape, generator),
        "another scene": _renders(other, generator),
        "floaters": _renders(spoiling.with_floaters(scene, draw), generator),
        "melted": _renders(spoiling.melted(scene, draw), generator),
        "empty": background.expand(shape),
    }


def _renders(scene: Scene, generator: torch.Generator) -> Float[Tensor, "V H W 3"]:
    views = ViewDistribution(high_elevation_share=0.0).sample(NUM_VIEWS, size=SIZE, generator=generator)
    pack = ScenePack.from_scenes([scene])[[0] * NUM_VIEWS]
    return render(pack, cameras=views.cameras, lights=views.lights, background=views.background).rgb


def _spec(source: Uniform) -> SceneSpec:
    return random_spec(source, CaptionDistribution(), source.uniform(), 0.0)


def _built(spec: SceneSpec, source: Uniform) -> Scene:
    return build(spec, source.vector(spec.num_nuisances))
