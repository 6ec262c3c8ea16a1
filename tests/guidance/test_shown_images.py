"""Priors that are shown images get them from every rule, in every evaluation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from gaussians import Gaussians
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import COMBINATIONS, CONDITIONERS, GUIDANCES, PERTURBATIONS, SOURCES
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prediction import Prediction
from framework.diffusion.traits import Traits
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

STEP = StepInfo(7, 100)
IMAGE = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
SOURCE = SOURCES.find("toybox-scene").Config(prompt="a sphere")
RULES = sorted({*GUIDANCES.names()} - {"variational"})


class Shown(Gaussians):
    """Edits images and follows the render's depth; remembers what it was asked."""

    def __init__(self, config: Gaussians.Config) -> None:
        super().__init__(config)
        self.asked: list[Conditions] = []

    @property
    def traits(self) -> Traits:
        return dataclasses.replace(super().traits, takes_image=True)

    @classmethod
    def needs_of(cls, config: Gaussians.Config) -> frozenset[Buffer]:
        return frozenset({Buffer.DEPTH})

    def control_image(self, render: RenderOutput, views: Views) -> Tensor:
        return 0.25 * render.depth.expand(-1, -1, -1, 3)

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions) -> Prediction:
        self.asked.append(conditions)
        return super().predict(noisy, timestep, conditions)


def guidance_of(prior: Gaussians, name: str, **options):
    plain = CONDITIONERS.find("plain").Config()
    settings = {"prompts": plain, "source_image": SOURCE, "guidance_scale": Constant(5.0), "preview_every": 1}
    if name == "bridge":
        settings["start"] = 0.0
    if name == "interval-score":
        settings["perturbation"] = PERTURBATIONS.find("ddim-inversion").Config(num_steps=3)
    config = GUIDANCES.find(name).Config(**settings | options)
    return GUIDANCES.build(config, name="main", prior=prior, prompt="a red cube")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("combination", ["classifier-free", "dual-condition"])
def test_every_evaluation_of_every_rule_shows_the_images(frame, views, name, combination):
    prior = Shown(Gaussians.Config())
    guidance = guidance_of(prior, name, combination=COMBINATIONS.find(combination).Config())
    rgb = IMAGE.clone().requires_grad_()
    losses = guidance(frame(rgb, views, STEP)).losses.values()
    (gradient,) = torch.autograd.grad(torch.stack(list(losses)).sum(), rgb)
    assert gradient.isfinite().all() and gradient.any()
    assert len(prior.asked) > 0
    for conditions in prior.asked:
        assert torch.equal(conditions.image, guidance.source_image.images(views))
        assert torch.equal(conditions.control, torch.full((2, 8, 8, 3), 0.25))
    hides = [
        row for conditions in prior.asked if conditions.image_present is not None for row in conditions.image_present
    ]
    # At least the preview, which is due in every step here, asks by the combination.
    assert any(not row.any() for row in hides) == (combination == "dual-condition")


def test_what_a_prior_reads_of_the_render_is_asked_of_the_renderer():
    assert guidance_of(Shown(Gaussians.Config()), "score-distillation").needs == {Buffer.RGB, Buffer.DEPTH}


def test_a_prior_that_edits_needs_an_image():
    with pytest.raises(UserError, match="source_image: is missing, but the prior edits an image"):
        guidance_of(Shown(Gaussians.Config()), "score-distillation", source_image=None)


def test_a_prior_that_edits_no_image_is_shown_none(frame, views):
    prior = Gaussians(Gaussians.Config())
    guidance = guidance_of(prior, "delta-denoising")
    assert guidance.conditions(frame(IMAGE, views, STEP)).image is None
