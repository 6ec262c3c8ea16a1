from __future__ import annotations

from framework.core.step import StepInfo
from framework.prompts.plain import Plain


def test_every_view_gets_the_prompt_as_it_stands(prior, views_at):
    conditioner = Plain(Plain.Config(negative_prompt="blurry"), prior=prior, prompt="a duck")
    conditions = conditioner(views_at([0.0, 180.0], [0.0, 80.0]), StepInfo(0, 10))
    assert prior.texts_of(conditions.text) == [["a duck"] * 2, ["blurry"] * 2]
    assert conditions.weights.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert conditions.camera_present is None
