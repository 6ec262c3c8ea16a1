"""The search of a box."""

from __future__ import annotations

import torch
from torch import Tensor

from framework.toybox.evaluation.search import Effort, maximize

LOW, HIGH = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([1.0, 10.0, 2.0])


def found(objective: object, *, seed: int = 0, known: Tensor | None = None) -> Tensor:
    known = LOW[None] if known is None else known
    generator = torch.Generator().manual_seed(seed)
    return maximize(objective, LOW, HIGH, known=known, effort=Effort(), generator=generator)  # type: ignore[arg-type]


def test_a_peak_within_the_box_is_found() -> None:
    peak = torch.tensor([0.3, 7.0, 2.0])
    best = found(lambda v: -((v - peak) / (HIGH - LOW + 1.0)).square().sum(dim=1))
    torch.testing.assert_close(best, peak, atol=0.05, rtol=0.0)


def test_a_peak_beyond_the_box_is_met_on_its_border() -> None:
    best = found(lambda v: -(v - torch.tensor([5.0, -5.0, 9.0])).square().sum(dim=1))
    torch.testing.assert_close(best, torch.tensor([1.0, 0.0, 2.0]), atol=0.01, rtol=0.0)


def test_the_higher_of_two_peaks_wins() -> None:
    def two_peaks(v: Tensor) -> Tensor:
        return torch.exp(-50 * (v[:, 0] + 0.7) ** 2) + 1.5 * torch.exp(-50 * (v[:, 0] - 0.7) ** 2)

    assert abs(float(found(two_peaks, known=torch.tensor([[-0.7, 0.0, 2.0]]))[0]) - 0.7) < 0.05


def test_a_known_vector_is_never_made_worse() -> None:
    known = torch.tensor([[0.1, 4.0, 2.0]])
    best = found(lambda v: (v == known).all(dim=1).float(), known=known)
    assert torch.equal(best, known[0])


def test_equal_seeds_find_equal_vectors() -> None:
    def objective(v: Tensor) -> Tensor:
        return torch.sin(5 * v).sum(dim=1)

    assert torch.equal(found(objective, seed=4), found(objective, seed=4))
    assert not torch.equal(found(objective, seed=4), found(objective, seed=5))
