from __future__ import annotations

import pytest
import torch
from gaussians import Gaussians

from framework.diffusion.conditions import Conditions
from framework.guidance.combination import ClassifierFree, DualCondition, PerpendicularNegative, perpendicular

RAW = torch.randn(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def classifier_free(rescale: float = 0.0) -> ClassifierFree:
    return ClassifierFree(ClassifierFree.Config(rescale=rescale))


def conditions(weights: torch.Tensor) -> Conditions:
    texts = ["a red cube", "", "a bad picture", "a worse one"][: len(weights)]
    text = Gaussians(Gaussians.Config()).encode_text(texts)
    return Conditions(text[torch.arange(len(weights))[:, None].expand(weights.shape)], weights)


def test_classifier_free_reads_two_rows_or_one():
    combination, weights = classifier_free(), torch.ones(2, 3)
    guided = combination.combine(RAW[:2], weights, 4.0)
    assert torch.allclose(guided, RAW[1] + 4.0 * (RAW[0] - RAW[1]))
    assert torch.equal(combination.combine(RAW[:1], weights[:1], 1.0), RAW[0])
    all_rows = conditions(weights)
    for scale, rows in ((1.0, [0]), (0.0, [1]), (4.0, [0, 1])):
        chosen = combination.select(all_rows, scale)
        assert torch.equal(chosen.text.index, all_rows.text.index[rows])


def test_rescaling_gives_the_contrast_of_the_plain_prediction_back():
    weights = torch.ones(2, 3)
    plain = classifier_free().combine(RAW[:2], weights, 7.0)
    full = classifier_free(1.0).combine(RAW[:2], weights, 7.0)
    assert torch.allclose(full.std(dim=(1, 2, 3)), RAW[0].std(dim=(1, 2, 3)), rtol=1e-5)
    assert torch.allclose(full / full.norm(), plain / plain.norm(), atol=0.1)
    half = classifier_free(0.5).combine(RAW[:2], weights, 7.0)
    assert torch.allclose(half, 0.5 * full + 0.5 * plain, atol=1e-5)


@pytest.mark.parametrize("rescale", [-0.1, 1.1])
def test_shares_beyond_one_are_refused(rescale):
    with pytest.raises(ValueError, match="rescale"):
        ClassifierFree.Config(rescale=rescale)


def test_negatives_that_weigh_nothing_are_classifier_free_and_are_not_evaluated():
    combination = PerpendicularNegative(PerpendicularNegative.Config())
    weights = torch.ones(4, 3)
    weights[2:] = 0.0
    assert combination.select(conditions(weights), 5.0).num_conditions == 2
    guided = combination.combine(RAW, weights, 5.0)
    assert torch.allclose(guided, classifier_free().combine(RAW[:2], weights[:2], 5.0), atol=1e-5)


def test_negatives_push_at_a_right_angle_to_the_prompt():
    combination = PerpendicularNegative(PerpendicularNegative.Config())
    weights = torch.tensor([[1.0] * 3, [1.0] * 3, [-2.0] * 3])
    with_negative = combination.combine(RAW[:3], weights, 5.0)
    without = combination.combine(RAW[:2], weights[:2], 5.0)
    push, prompt = with_negative - without, RAW[0] - RAW[1]
    assert torch.allclose((push * prompt).sum(dim=(1, 2, 3)), torch.zeros(3), atol=1e-3)
    assert ((push * (RAW[2] - RAW[1])).sum(dim=(1, 2, 3)) < 0.0).all()  # Away from the negative.
    expected = 5.0 * -2.0 * perpendicular(RAW[2] - RAW[1], prompt)
    assert torch.allclose(push, expected, atol=1e-4)


def test_each_sample_meets_its_own_negatives_and_weights():
    """Peers have paired the negatives of one view with the noise of another."""
    combination = PerpendicularNegative(PerpendicularNegative.Config())
    weights = torch.tensor([[1.0, 1, 1], [1, 1, 1], [-1.0, 0.0, -3.0], [0.0, -0.5, -0.2]])
    together = combination.combine(RAW, weights, 5.0)
    for item in range(3):
        alone = combination.combine(RAW[:, [item]], weights[:, [item]], 5.0)
        assert torch.allclose(together[[item]], alone, atol=1e-5)


def test_a_negative_equal_to_the_prompt_does_nothing():
    raw = torch.stack([RAW[0], RAW[1], RAW[0]])
    combination = PerpendicularNegative(PerpendicularNegative.Config())
    weights = torch.tensor([[1.0] * 3, [1.0] * 3, [-4.0] * 3])
    guided = combination.combine(raw, weights, 5.0)
    assert torch.allclose(guided, classifier_free().combine(raw[:2], weights[:2], 5.0), atol=1e-3)


def test_without_a_direction_all_of_a_negative_is_perpendicular():
    assert torch.equal(perpendicular(RAW[0], torch.zeros_like(RAW[0])), RAW[0])


def dual(image_scale: float) -> DualCondition:
    return DualCondition(DualCondition.Config(image_scale=image_scale))


def test_the_prompt_and_the_image_have_scales_of_their_own():
    """Rows full, image, none: what is chosen, told, shown and summed is the published formula."""
    shown = conditions(torch.ones(2, 3)).showing(
        torch.rand(3, 4, 4, 3, generator=torch.Generator().manual_seed(1)), None
    )
    for text_scale, image_scale in ((7.5, 1.5), (3.0, 3.0), (1.0, 1.0), (4.0, 1.0), (0.0, 2.0), (5.0, 0.0)):
        chosen = dual(image_scale).select(shown, text_scale)
        kept = [row for row, factor in enumerate((text_scale, image_scale - text_scale, 1.0 - image_scale)) if factor]
        assert torch.equal(chosen.text.index, shown.text.index[[(0, 1, 1)[row] for row in kept]])
        assert chosen.image_present[:, 0].tolist() == [row != 2 for row in kept]
        full, image, none = RAW[:3]
        expected = none + text_scale * (full - image) + image_scale * (image - none)
        guided = dual(image_scale).combine(RAW[kept], chosen.weights, text_scale)
        assert torch.allclose(guided, expected, atol=1e-5), (text_scale, image_scale)


def test_without_an_image_two_scales_are_classifier_free_guidance():
    for scale in (0.0, 1.0, 4.0):
        all_rows = conditions(torch.ones(2, 3))
        chosen, plain = dual(1.5).select(all_rows, scale), classifier_free().select(all_rows, scale)
        assert torch.equal(chosen.text.index, plain.text.index)
        raw = RAW[: len(chosen.weights)]
        expected = classifier_free().combine(raw, plain.weights, scale)
        assert torch.allclose(dual(1.5).combine(raw, chosen.weights, scale), expected, atol=1e-5)
