"""Mutated configs are valid or refused by one clear report."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.bench import configs
from framework.bench.configs import is_told, judge, judged
from framework.bench.mutations import Mutant, mutants
from framework.core.errors import ConfigError, UserError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_mutants_depend_on_their_number_and_the_seed_alone() -> None:
    first, again, other = (list(mutants(CONFIGS, 20, seed=seed)) for seed in (0, 0, 1))
    assert first == again and first != other
    assert list(mutants(CONFIGS, 5, seed=0)) == first[:5]


def test_mutated_configs_are_valid_or_refused_by_one_report_whose_lines_name_a_place() -> None:
    verdicts = list(judged(40, seed=2))
    assert [item for item in verdicts if item.defect is not None] == []
    assert 4 < sum(item.report is None for item in verdicts) < 20


@pytest.mark.parametrize(
    ("error", "defect"),
    [
        (KeyError("type"), "KeyError: 'type'"),
        (ConfigError([]), "no problems"),
        (ConfigError("something is wrong."), "names no place"),
        (UserError(""), "no problems"),
    ],
)
def test_anything_else_is_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, defect: str
) -> None:
    def fail(path: Path) -> None:
        raise error

    monkeypatch.setattr(configs, "build", fail)
    (tmp_path / "a.yaml").write_text("name: a\n")
    verdict = judge(Mutant(Path("a.yaml"), "nothing", b"name: b\n"), tmp_path)
    assert verdict.defect is not None and verdict.defect.startswith(defect)
    assert (tmp_path / "a.yaml").read_text() == "name: a\n"


def test_no_answer_in_time_is_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(path: Path) -> None:
        while True:
            pass

    monkeypatch.setattr(configs, "build", hang)
    monkeypatch.setattr(configs, "_PATIENCE_SECONDS", 0.5)
    (tmp_path / "a.yaml").write_text("name: a\n")
    verdict = judge(Mutant(Path("a.yaml"), "nothing", b""), tmp_path)
    assert verdict.defect is not None and verdict.defect.startswith("Hang: no answer in 0.5 s")


def test_a_command_says_what_was_found_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\n")
    verdict = judge(
        Mutant(Path("a.yaml"), "a type that is not there", b"name: a\nsystem: {type: distilation}\n"), tmp_path
    )
    assert verdict.report is not None and "Did you mean 'distillation'?" in verdict.report
    assert is_told(verdict, tmp_path)
