"""View words that pass into each other, and the weights of the sides that must not be seen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from framework.core.errors import UserError
from framework.core.step import StepInfo
from framework.diffusion.analytic import AnalyticPrior
from framework.diffusion.families.text import HiddenStates
from framework.guidance.combination import ClassifierFree, PerpendicularNegative
from framework.prompts.view_interpolated import ViewInterpolated

STEP = StepInfo(0, 10)
FRONT, SIDE, BACK, OVERHEAD, NONE = range(5)


class OneHot(AnalyticPrior):
    """A prior whose embedding of the n-th text is the n-th unit vector."""

    def encode_text(self, prompts: Sequence[str]) -> HiddenStates:
        return HiddenStates(torch.eye(len(prompts))[:, None])


@pytest.fixture
def conditioner():
    prior = OneHot(AnalyticPrior.Config(image_size=4), device=torch.device("cpu"))
    return ViewInterpolated(ViewInterpolated.Config(), prior=prior, prompt="a duck")


def mixture(conditioner, views_at, azimuth_deg, elevation_deg=0.0):
    return conditioner(views_at([azimuth_deg], [elevation_deg]), STEP).text.states[0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("azimuth_deg", "expected"),
    [
        (0.0, [1, 0, 0, 0, 0]),
        (-30.0, [2 / 3, 1 / 3, 0, 0, 0]),
        (45.0, [0.5, 0.5, 0, 0, 0]),
        (90.0, [0, 1, 0, 0, 0]),
        (-135.0, [0, 0.5, 0.5, 0, 0]),
        (180.0, [0, 0, 1, 0, 0]),
        (540.0, [0, 0, 1, 0, 0]),
    ],
)
def test_texts_are_mixed_by_the_azimuth(conditioner, views_at, azimuth_deg, expected):
    assert mixture(conditioner, views_at, azimuth_deg) == pytest.approx(expected, abs=1e-5)


def test_from_above_it_is_the_overhead_text_alone(conditioner, views_at):
    assert mixture(conditioner, views_at, 45.0, 70.0) == pytest.approx([0, 0, 0, 1, 0], abs=1e-6)
    weights = conditioner(views_at([45.0], [70.0]), STEP).weights[:, 0]
    assert weights.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_mixture_changes_gradually_all_the_way_round(conditioner, views_at):
    azimuths = [float(angle) for angle in range(-180, 181)]
    states = conditioner(views_at(azimuths, [0.0] * len(azimuths)), STEP).text.states[0, :, 0]
    assert (states[1:] - states[:-1]).abs().max() < 0.012
    assert torch.allclose(states.sum(dim=-1), torch.ones(len(azimuths)), atol=1e-5)


@pytest.mark.parametrize(
    ("azimuth_deg", "negatives", "weights"),
    [
        (0.0, (FRONT, SIDE), (0.0, -1.574)),  # Seen from the front: not the side.
        (89.99, (FRONT, SIDE), (-1.574, 0.0)),
        (90.01, (SIDE, FRONT), (0.0, -1.574)),
        (180.0, (SIDE, FRONT), (-0.394, -1.967)),  # From behind: above all not the front.
    ],
)
def test_other_sides_are_negatives_with_the_weights_of_the_paper(
    conditioner, views_at, azimuth_deg, negatives, weights
):
    conditions = conditioner(views_at([azimuth_deg], [0.0]), STEP)
    assert conditions.text.states[2:, 0, 0].argmax(dim=-1).tolist() == list(negatives)
    assert conditions.weights[:, 0].tolist() == pytest.approx([1.0, 1.0, *weights], abs=2e-3)


def test_combinations_read_the_rows_that_they_know(conditioner, views_at):
    conditions = conditioner(views_at([60.0, 100.0], [0.0, 0.0]), STEP)
    free = ClassifierFree(ClassifierFree.Config()).select(conditions, 5.0)
    assert free.num_conditions == 2 and free.text.states[1].argmax(dim=-1).unique().tolist() == [NONE]
    assert PerpendicularNegative(PerpendicularNegative.Config()).select(conditions, 5.0).num_conditions == 4
    overhead = conditioner(views_at([60.0], [80.0]), STEP)
    assert PerpendicularNegative(PerpendicularNegative.Config()).select(overhead, 5.0).num_conditions == 2


def test_priors_whose_texts_cannot_be_mixed_are_refused(prior):
    with pytest.raises(UserError, match="Use 'view-dependent'"):
        ViewInterpolated(ViewInterpolated.Config(), prior=prior, prompt="a duck")
