"""A fingerprint of how scenes look, kept with trained weights: it changes when scenes, views or shading do."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.toybox.captions import parse_scene
from framework.toybox.families import FAMILIES
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import ObjectSpec, SceneSpec, build
from framework.toybox.splits import prompt_lists
from framework.toybox.views import ViewDistribution

NUM_REFERENCES = 64
_SIZE, _BLOCK = 32, 4
_SEED = 20259
_LEVELS = 15  # four bits
_PHASE = -0.32
"""Shifts the borders between levels away from the values that occur, so that rounding noise does not matter."""


def reference_digest() -> str:
    """The digest of `NUM_REFERENCES` renders by the torch implementation."""
    return digest(reference_renders())


def digest(images: Float[Tensor, "N H W 3"]) -> str:
    """SHA-256, in hex, of images averaged over blocks and quantised to four bits."""
    levels = quantized(block_means(images))
    return hashlib.sha256(levels.to(torch.uint8).numpy().tobytes()).hexdigest()


def reference_renders() -> Float[Tensor, "N H W 3"]:
    """Every family once, then trained prompts; shapes, views, lights and backgrounds from a fixed generator."""
    generator = torch.Generator().manual_seed(_SEED)
    scenes = [build(spec, torch.rand(spec.num_nuisances, generator=generator).tolist()) for spec in _specs()]
    views = ViewDistribution().sample(len(scenes), size=_SIZE, generator=generator)
    pack = ScenePack.from_scenes(scenes)
    return render(
        pack, cameras=views.cameras, lights=views.lights, background=views.background, implementation="torch"
    ).rgb


def block_means(images: Float[Tensor, "N H W 3"]) -> Float[Tensor, "N 3 rows columns"]:
    """Means over blocks of 4 x 4 pixels."""
    return F.avg_pool2d(images.permute(0, 3, 1, 2), _BLOCK)


def quantized(means: Float[Tensor, "N 3 rows columns"]) -> Int[Tensor, "N 3 rows columns"]:
    """The nearest of the levels."""
    return torch.round(means * _LEVELS + _PHASE).long()


def _specs() -> list[SceneSpec]:
    specs = [SceneSpec((ObjectSpec(family),)) for family in FAMILIES]
    prompts = prompt_lists()["train"]
    count = NUM_REFERENCES - len(specs)
    for index in range(count):
        specs.append(parse_scene(prompts[(2 * index + 1) * len(prompts) // (2 * count)]))
    return specs
