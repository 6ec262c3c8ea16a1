from __future__ import annotations

import pytest

from framework.core.step import StepInfo
from framework.prompts.view_dependent import ViewDependent
from framework.toybox.captions import view_words

STEP = StepInfo(0, 10)


def _texts(conditioner, prior, views):
    return prior.texts_of(conditioner(views, STEP).text)


@pytest.mark.parametrize(
    ("azimuth_deg", "elevation_deg", "side"),
    [
        (0.0, 0.0, "front"),
        (44.0, 0.0, "front"),
        (-44.0, 0.0, "front"),
        (316.0, 0.0, "front"),
        (46.0, 0.0, "side"),
        (-90.0, 20.0, "side"),
        (270.0, 20.0, "side"),
        (134.0, 0.0, "side"),
        (136.0, 0.0, "back"),
        (180.0, 0.0, "back"),
        (-180.0, 0.0, "back"),
        (360.0 + 180.0, 0.0, "back"),
        (0.0, 61.0, "overhead"),
        (180.0, 89.0, "overhead"),
        (0.0, -80.0, "front"),
    ],
)
def test_the_words_say_which_side_is_seen(prior, views_at, azimuth_deg, elevation_deg, side):
    conditioner = ViewDependent(ViewDependent.Config(), prior=prior, prompt="a duck")
    texts = _texts(conditioner, prior, views_at([azimuth_deg], [elevation_deg]))
    assert texts == [[f"a duck, {side} view"], [""]]


def test_the_bins_are_those_of_the_toybox_captions(prior, views_at):
    conditioner = ViewDependent(ViewDependent.Config(), prior=prior, prompt="a duck")
    azimuths = [7.0 * number - 190.0 for number in range(60)]
    elevations = [(13.0 * number) % 100.0 - 12.3 for number in range(60)]
    views = views_at(azimuths, elevations)
    angles = zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)
    assert _texts(conditioner, prior, views)[0] == [f"a duck, {view_words(*pair)}" for pair in angles]


def test_each_view_of_a_batch_gets_its_own_words(prior, views_at):
    conditioner = ViewDependent(ViewDependent.Config(negative_prompt="ugly"), prior=prior, prompt="a duck")
    texts = _texts(conditioner, prior, views_at([180.0, 0.0, 90.0], [0.0, 0.0, 0.0]))
    assert texts[0] == ["a duck, back view", "a duck, front view", "a duck, side view"]
    assert texts[1] == ["ugly"] * 3


def test_templates_and_thresholds_are_settings(prior, views_at):
    config = ViewDependent.Config(front="the face of {prompt}", front_threshold_deg=30.0, overhead_threshold_deg=20.0)
    conditioner = ViewDependent(config, prior=prior, prompt="a duck")
    texts = _texts(conditioner, prior, views_at([29.0, 31.0, 0.0], [0.0, 0.0, 21.0]))
    assert texts[0] == ["the face of a duck", "a duck, side view", "a duck, overhead view"]


def test_the_camera_is_not_told(prior, views_at):
    conditioner = ViewDependent(ViewDependent.Config(), prior=prior, prompt="a duck")
    assert conditioner(views_at([0.0], [0.0]), STEP).camera_present is None


@pytest.mark.parametrize(
    "wrong", [{"side": "from the side"}, {"front_threshold_deg": 150.0}, {"back_threshold_deg": 181.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        ViewDependent.Config(**wrong)
