"""Processes that are killed end, resumed, as those that were not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framework.bench.killing import Command
from framework.bench.kills import CONFIGS, differences, kills
from framework.bench.rows import BenchError
from framework.bench.small import small_settings
from framework.core.config import dump
from framework.core.stages import load_stages

ANALYTIC = [path for path in CONFIGS if path.stem == "analytic"]


def test_runs_that_are_killed_at_random_moments_and_resumed_end_bit_equal(tmp_path: Path) -> None:
    found = list(kills(ANALYTIC, 2, tmp_path, seed=0))
    assert [item.ends_equal for item in found] == [True, True]


def test_a_command_that_fails_shows_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"(?s)ended with status 2:\nerror: .*there is no such file"):
        Command(("--config", "no/such.yaml"), tmp_path / "output.txt").finish()
    assert not Command(("--config", "no/such.yaml"), tmp_path / "output.txt").kill(lambda seconds: False)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_small_settings_shorten_every_stage_and_keep_what_it_is_made_of(path: Path) -> None:
    whole, small = load_stages(path), load_stages(path, small_settings(path, max_steps=5))
    assert whole.keys() == small.keys()
    for name, run in small.items():
        assert run.trainer.max_steps == 5
        streams = dump(run)["system"]["streams"].values()
        assert all(stream.get(side, 16) == 16 for stream in streams for side in ("height", "width"))
        for part in ("geometry", "material", "background"):
            assert type(getattr(run.system.scene, part)) is type(getattr(whole[name].system.scene, part))


def test_trees_differ_in_a_bit_a_kind_or_a_key() -> None:
    tree = {"a": [torch.zeros(2), 1], "b": None}
    assert differences(tree, {"a": [torch.zeros(2), 1], "b": None}) == []
    assert differences(tree, {"a": [torch.tensor([0.0, 1e-45]), True], "b": None}) == [".a[0]", ".a[1]"]
    assert differences(tree, {"a": [torch.zeros(2, dtype=torch.float64), 1]}) == [""]
