"""Two processes that train one run: equal to one with twice the batch, equal to each other, and stopping together."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import Job, Result, run_together

from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.data.random_views import RandomViews
from framework.structures.views import Views

PARTICLES = (
    "prior=toybox",
    "system.n_particles=4",
    "system.guidance.replay_size=4",
    "system.guidance.updates_per_step=2",
    "system.guidance.adapter.layers=[to_q]",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def results(folder: Path, small: tuple[str, ...]) -> dict[str, Result]:
    def job(name: str, *settings: str, config: str = "dreamfusion", trouble: str = "") -> Job:
        root = f"output_root={folder / name.partition(' ')[0]}"
        given = ["--config", f"configs/{config}.yaml", *small, "trainer.max_steps=6", root, *settings]
        return Job(name, given, trouble)

    jobs = [
        job("straight"),
        job("stopped", trouble="SIGTERM"),
        job("stopped and resumed", "resume=last"),
        job("nan", trouble="nan"),
        job("diverging", "trainer.max_skipped_steps=0", trouble="nan"),
        job("particles", *PARTICLES, config="vsd"),
        job("spread", *PARTICLES, config="vsd", trouble="SIGTERM"),
        job("spread and resumed", *PARTICLES, "resume=last", config="vsd"),
        job("odd", "system.n_particles=3"),
    ]
    return run_together(2, jobs, folder / "kept")


@pytest.fixture(scope="module")
def run_of(folder: Path, results: dict[str, Result]) -> Callable[[str], RunDirectory]:
    def find(name: str) -> RunDirectory:
        (path,) = (folder / name).glob("*/*/run.json")
        return RunDirectory(path.parent)

    return find


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_two_with_one_view_equal_one_with_two(
    launch: Any, monkeypatch: pytest.MonkeyPatch, results: dict[str, Result]
) -> None:
    drawn: list[list[float]] = []
    sample = RandomViews.sample

    def noted(self: RandomViews, step: StepInfo, device: torch.device) -> Views:
        views = sample(self, step, device)
        drawn.append(views.azimuth.tolist())
        return views

    monkeypatch.setattr(RandomViews, "sample", noted)
    assert launch.small("trainer.max_steps=6", "system.streams.random.batch_size=2") == 0
    ranks = results["straight"].views
    assert drawn == [[*one, *other] for one, other in zip(*ranks, strict=True)]
    assert all(one != other for one, other in zip(*ranks, strict=True)), "each rank looks from elsewhere"
    state = load_checkpoint(launch.runs()[0].checkpoint(6))["state"]["system"]
    for name, value in results["straight"].states[0].items():
        assert torch.allclose(value.float(), state[name].float(), rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("name", ["straight", "stopped and resumed", "nan"])
def test_ranks_stay_equal_in_every_bit_of_parameters_and_occupancy(results: dict[str, Result], name: str) -> None:
    assert results[name].statuses == [0, 0]
    assert differences(*results[name].states) == []


def test_the_first_rank_alone_writes_and_tells(
    results: dict[str, Result], run_of: Callable[[str], RunDirectory]
) -> None:
    run = run_of("straight")
    assert run.state()["state"] == "finished"
    assert [path.stem for path in run.checkpoints()] == ["step-000006"]
    assert [row["step"] for row in csv.DictReader(run.metrics.read_text().splitlines())] == list("123456")
    assert results["straight"].output[1] == ""
    assert results["straight"].output[0].count("Writing to") == 1


def test_a_checkpoint_holds_no_prior_and_resumes_bit_for_bit(results: dict[str, Result]) -> None:
    assert results["stopped"].statuses == [143, 143]
    assert all(name.startswith("scenes.") for name in results["straight"].states[0])
    assert differences(results["stopped and resumed"].states[0], results["straight"].states[0]) == []


def test_a_rank_that_is_asked_to_end_stops_all_after_the_same_step(
    results: dict[str, Result], run_of: Callable[[str], RunDirectory]
) -> None:
    assert [len(views) for views in results["stopped"].views] == [4, 4]
    assert "resume=" in results["stopped"].output[0]
    assert run_of("stopped").checkpoint(4).is_file()


def test_all_ranks_skip_what_one_finds_not_finite(
    results: dict[str, Result], run_of: Callable[[str], RunDirectory]
) -> None:
    rows = list(csv.DictReader(run_of("nan").metrics.read_text().splitlines()))
    assert [row["skipped_steps"] for row in rows] == ["", "", "", "1", "1", "1"]
    assert "step 3: skipped, as the loss of losses.spoilt is not finite (rank 1)." in results["nan"].output[0]


def test_a_run_that_diverges_at_one_rank_ends_at_all_with_one_message_and_a_checkpoint(
    results: dict[str, Result], run_of: Callable[[str], RunDirectory]
) -> None:
    result = results["diverging"]
    assert result.statuses == [2, 2]
    assert result.output[0].count("error:") == 1 and result.output[1] == ""
    assert "step 3: the loss of losses.spoilt is not finite (rank 1). The last good checkpoint is" in result.output[0]
    assert run_of("diverging").state()["state"] == "failed"
    assert run_of("diverging").checkpoint(3).is_file()


def test_particles_belong_to_ranks_and_the_adapter_to_all(
    results: dict[str, Result], run_of: Callable[[str], RunDirectory]
) -> None:
    result = results["particles"]
    assert result.statuses == [0, 0]
    first, second = result.states
    shared = [name for name in first if not name.startswith("scenes.")]
    assert any("adapter" in name for name in shared) and any("replay" in name for name in shared)
    assert not differences({name: first[name] for name in shared}, {name: second[name] for name in shared})
    kept = load_checkpoint(run_of("particles").checkpoint(6))["state"]
    for name, value in kept["system"].items():
        owner = int(name.split(".")[1]) % 2 if name.startswith("scenes.") else 0
        assert torch.equal(value, result.states[owner][name]), name
    # Rank 1 knows of the scenes of rank 0 nothing but how they began.
    grid = "geometry.encoding.grid.table"
    assert not torch.equal(first[f"scenes.0.{grid}"], second[f"scenes.0.{grid}"])
    trained = {number for group in kept["optimizer"]["param_groups"] for number in group["params"]}
    assert kept["optimizer"]["state"].keys() == trained


def test_spread_particles_resume_bit_for_bit(results: dict[str, Result]) -> None:
    assert results["spread"].statuses == [143, 143]
    for rank in (0, 1):
        whole, resumed = results["particles"].states[rank], results["spread and resumed"].states[rank]
        own = [name for name in whole if not name.startswith("scenes.") or int(name.split(".")[1]) % 2 == rank]
        assert not differences({name: whole[name] for name in own}, {name: resumed[name] for name in own})


def test_particles_that_cannot_be_spread_evenly_are_refused(results: dict[str, Result]) -> None:
    assert results["odd"].statuses == [2, 2]
    message = "system.n_particles: 3 scenes cannot be spread evenly over 2 processes. Use a multiple of 2, or 1."
    assert message in results["odd"].output[0] and results["odd"].output[1] == ""
