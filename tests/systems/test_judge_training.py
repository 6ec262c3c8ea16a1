"""The judge's recipe: it learns, resumes and leaves weights that load."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
import torch

from framework.core.run_directory import RunDirectory
from framework.toybox.judge.weights import load_judge

TINY = (
    "trainer.precision=32-true",
    "trainer.log_every=1",
    "trainer.validate_every=0",
    "system.widths=[8, 8, 16, 16]",
    "system.batch_size=16",
    "system.judged_cases=1",
)

STILL = ("system.optimizer.parameters.judge.learning_rate=1e-12",)


def trained(launch: Any, *settings: str) -> RunDirectory:
    assert launch("configs/toybox/judge.yaml", *TINY, *settings) == 0
    return launch.runs()[-1]  # type: ignore[no-any-return]


def test_the_recipe_learns_and_leaves_a_judge_with_its_card(launch: Any) -> None:
    run = trained(launch, "trainer.max_steps=12")
    with (run.root / "metrics.csv").open() as file:
        totals = [float(row["loss/total"]) for row in csv.DictReader(file)]
    assert min(totals[-4:]) < totals[0]

    judge = load_judge(run.root / "judge")
    assert judge.widths == (8, 8, 16, 16)
    card = json.loads((run.root / "judge" / "card.json").read_text())
    assert card["steps"] == 12 and card["seed"] == 7919
    assert set(card["quality"]["true renders"]) == {"objects", "colors", "both"}


def test_a_training_starts_from_the_weights_of_another(launch: Any) -> None:
    first = trained(launch, "trainer.max_steps=1")
    second = trained(launch, "trainer.max_steps=1", f"system.start_from={first.root / 'judge'}", *STILL)
    before, after = (load_judge(run.root / "judge").state_dict() for run in (first, second))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6)


def test_weights_of_other_widths_are_refused_with_what_to_set(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first = trained(launch, "trainer.max_steps=1")
    settings = ("system.widths=[8, 8, 16, 24]", f"system.start_from={first.root / 'judge'}")
    assert launch("configs/toybox/judge.yaml", *TINY, *settings) == 2
    assert "Set system.widths to theirs" in capsys.readouterr().err
