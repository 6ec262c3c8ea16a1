"""Rows of the tuning, without its runs."""

from __future__ import annotations

from framework.bench.tuning import FEW, TRIALS, suite
from framework.toybox.splits import prompt_lists


def test_nothing_is_tuned_on_a_prompt_that_is_tested() -> None:
    lists = prompt_lists()
    assert set(FEW) <= set(lists["dev"])
    assert not set(FEW) & {prompt for name in lists if name.startswith("test") for prompt in lists[name]}


def test_every_trial_has_rows_and_a_folder_of_its_own() -> None:
    found = suite()
    names = [case.name for case in found.cases] + [summary.name for summary in found.summaries]
    assert len(names) == len(set(names)) == len(TRIALS) * (len(FEW) + 1)
    assert len({job.folder for trial in TRIALS for job in trial.jobs}) == len(TRIALS) * len(FEW)


def test_the_first_trial_is_the_default_itself_and_no_other_is() -> None:
    assert [trial.name for trial in TRIALS if not trial.settings] == ["default"]
    assert len({trial.settings for trial in TRIALS}) == len(TRIALS)
