"""The judge's recipe: it learns, resumes and leaves weights that load."""

from __future__ import annotations

import csv
import json
from typing import Any

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
