from __future__ import annotations

import re

from framework.core.step import StepInfo
from framework.diffusion.traits import Traits
from framework.prompts.camera import CameraConditioned

STEP = StepInfo(0, 10)


def test_both_rows_are_told_the_camera_by_default(prior, views_at):
    conditioner = CameraConditioned(CameraConditioned.Config(), prior=prior, prompt="a duck")
    conditions = conditioner(views_at([0.0, 90.0], [0.0, 0.0]), STEP)
    assert prior.texts_of(conditions.text) == [["a duck"] * 2, [""] * 2]
    assert conditions.camera_present.all()


def test_the_unconditional_row_may_be_kept_in_the_dark(prior, views_at):
    config = CameraConditioned.Config(in_unconditional=False)
    conditions = CameraConditioned(config, prior=prior, prompt="a duck")(views_at([0.0], [0.0]), STEP)
    assert conditions.camera_present.tolist() == [[True], [False]]


def test_a_prior_without_cameras_is_refused():
    assert CameraConditioned.misfit(Traits(space="pixel", takes_camera=True)) is None
    misfit = CameraConditioned.misfit(Traits(space="pixel"))
    assert misfit is not None and re.search(
        r"'camera' tells the prior where the camera is.*Use 'view-dependent'", misfit
    )
