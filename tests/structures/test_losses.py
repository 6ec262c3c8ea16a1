"""The weighted sum of a step's losses, and what is logged about it."""

from __future__ import annotations

import math

import pytest
import torch

from framework.structures.losses import LossTerms, TermOutput


def test_the_total_is_the_weighted_sum_and_carries_the_gradient() -> None:
    value = torch.tensor(3.0, requires_grad=True)
    terms = LossTerms()
    terms.add("a", TermOutput({"x": value**2}), weight=2.0)
    terms.add("b", TermOutput({"x": value}), weight=0.5)
    assert terms.total().item() == 2 * 9 + 1.5
    terms.total().backward()
    assert value.grad is not None and value.grad.item() == 2 * 6 + 0.5


def test_logs_hold_losses_before_their_weights_and_metrics_by_path() -> None:
    terms = LossTerms()
    terms.add("guidance.main", TermOutput({"distillation": torch.tensor(2.0)}, {"timestep": 5.0}), weight=3.0)
    terms.add("losses.two", TermOutput({"x": torch.tensor(1.0), "y": torch.tensor(4.0)}), weight=0.5)
    assert {name: float(value) for name, value in terms.logs().items()} == {
        "loss/guidance.main": 2.0,
        "weight/guidance.main": 3.0,
        "guidance.main/timestep": 5.0,
        "loss/losses.two.x": 1.0,
        "loss/losses.two.y": 4.0,
        "weight/losses.two": 0.5,
        "loss/total": 8.5,
    }


def test_logs_hold_no_graph() -> None:
    terms = LossTerms()
    terms.add("a", TermOutput({"x": torch.tensor(1.0, requires_grad=True) * 2}), weight=1.0)
    assert not any(value.requires_grad for value in terms.logs().values() if isinstance(value, torch.Tensor))


def test_terms_that_are_not_finite_are_named() -> None:
    terms = LossTerms()
    for name, value in (("good", 1.0), ("nan", math.nan), ("infinite", math.inf)):
        terms.add(name, TermOutput({"x": torch.tensor(value)}), weight=1.0)
    assert terms.non_finite() == ["nan", "infinite"]


def test_a_step_without_terms_has_no_total() -> None:
    with pytest.raises(ValueError, match="nothing to minimise"):
        LossTerms().total()
