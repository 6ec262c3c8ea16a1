from __future__ import annotations

import torch

from framework.guidance.combination import ClassifierFree
from framework.guidance.rules import surrogate_loss


def test_the_surrogate_hands_the_residual_to_the_sample_as_a_mean():
    generator = torch.Generator().manual_seed(0)
    clean, residual = torch.randn(2, 2, 3, 4, 5, generator=generator).unbind(0)
    clean.requires_grad_()
    (gradient,) = torch.autograd.grad(surrogate_loss(clean, residual), clean)
    assert torch.allclose(gradient, residual / clean.numel(), atol=1e-7)


def test_classifier_free_combination_reads_two_rows_or_one():
    combination = ClassifierFree(ClassifierFree.Config())
    raw = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    weights = torch.ones(2, 3)
    assert torch.allclose(combination.combine(raw, weights, 4.0), raw[1] + 4.0 * (raw[0] - raw[1]))
    assert torch.equal(combination.combine(raw[:1], weights[:1], 1.0), raw[0])
