"""A run that is logged to Weights & Biases offline can be read back: every number, picture and file, on one axis of steps."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from offline_runs import OfflineRun, offline_runs

from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.export.gltf import write_glb
from framework.export.png import decode_png
from framework.export.video import write_video
from framework.structures.mesh import Mesh
from framework.systems.dashboards import STEP
from framework.systems.distillation import Distillation
from framework.systems.loggers import add_scores
from framework.systems.wandb_dashboard import WandbDashboard

ROOT = Path(__file__).resolve().parents[2]
LOGGED = (
    "logger.wandb={project: tests, offline: true, tags: [one, two]}",
    "trainer.gradient_clip=1",
    "trainer.log_every=2",
)


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """No account, no network, and measurements of the machine soon enough for a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_API_KEY", "WANDB_ENTITY"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
        yield


def export(self: Distillation, folder: Path, step: StepInfo) -> list[Path]:
    """A triangle and a film of two pictures, in place of an export that takes its time."""
    directory = RunDirectory(folder)
    directory.mesh.mkdir(exist_ok=True)
    write_glb(Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]), normals=torch.full((3, 3), 3**-0.5)), directory.model)
    write_video(directory.turntable, [torch.zeros(16, 16, 3), torch.ones(16, 16, 3)])
    return [directory.model, directory.turntable]


@dataclass(frozen=True)
class Logged:
    """A run of six steps, resumed to ten and scored, and what was logged of each part."""

    run: RunDirectory
    parts: list[OfflineRun]


@pytest.fixture(scope="module")
def logged(launcher: Any, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    launch = launcher(tmp_path_factory.mktemp("logged"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distillation, "export", export)
        assert launch.small(*LOGGED, "trainer.max_steps=6", "trainer.validate_every=4") == 0
        (run,) = launch.runs()
        time.sleep(1.0)  # W&B names its folders by the second.
        assert launch.small(*LOGGED, f"resume={run.root}") == 0
    time.sleep(1.0)
    add_scores(run, {"shape_score": 0.5, "surface": {"f_score_2": 0.25}, "judge": None})
    return Logged(run, offline_runs(run.root))


def test_every_number_of_the_table_of_metrics_is_there(logged: Logged) -> None:
    with logged.run.metrics.open(newline="") as file:
        table = list(csv.DictReader(file))
    history = {}
    for part in logged.parts:
        history |= {row[STEP]: row for row in part.rows if "loss/total" in row}
    assert sorted(history) == [int(row["step"]) for row in table] == [1, 2, 4, 6, 8, 10]
    for row in table:
        values = {name: float(value) for name, value in row.items() if name != "step"}
        assert {name: history[int(row["step"])][name] for name in values} == pytest.approx(values, rel=1e-4)


def test_the_page_of_dashboards_shows_keys_that_are_there(logged: Logged) -> None:
    page = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    named = [key for line in re.findall(r"^\| (`.*?) \|", page, flags=re.M) for key in re.findall(r"`(.*?)`", line)]
    found = set().union(*(part.keys() | part.summary.keys() for part in logged.parts))
    patterns = {key: re.compile(re.sub("[A-Z]{2,}", ".+", key)) for key in named}
    assert len(named) > 10
    assert [key for key, pattern in patterns.items() if not any(pattern.fullmatch(name) for name in found)] == []


def test_losses_weights_rates_norms_pictures_and_files_are_there(logged: Logged) -> None:
    first, resumed, _ = logged.parts
    expected = {
        "loss/guidance.main", "weight/losses.binarization", "guidance.main/gradient_norm", "guidance.main/timestep",
        "learning_rate/scene.geometry", "gradient_norm", "images/views", "export/model", "export/turntable", STEP,
    }  # fmt: skip
    assert expected <= first.keys() == resumed.keys()
    assert any(name.startswith("cpu") for name in first.machine | resumed.machine)


def test_pictures_and_files_are_those_of_the_run(logged: Logged) -> None:
    pictures = [path for part in logged.parts for path in part.media("images/views")]
    own = sorted(logged.run.images.iterdir())
    assert [path.name for path in own] == [f"views-{step:06d}.png" for step in (4, 6, 10)]
    for one, other in zip(pictures, own, strict=True):
        assert torch.equal(decode_png(one.read_bytes()), decode_png(other.read_bytes()))
    for key, path in (("export/model", logged.run.model), ("export/turntable", logged.run.turntable)):
        (last,) = logged.parts[1].media(key)
        assert last.suffix == path.suffix and last.read_bytes() == path.read_bytes()


def test_a_resumed_run_continues_the_axis_of_steps_of_the_same_run(logged: Logged) -> None:
    steps = [row[STEP] for part in logged.parts for row in part.rows]
    assert steps == sorted(steps) and steps[-1] == 10
    assert len({part.identity["id"] for part in logged.parts}) == 1
    assert logged.run.state()["wandb"]["id"] == logged.parts[0].identity["id"]
    for part in logged.parts[:2]:
        assert part.axes["*"] == STEP
        assert part.identity["project"] == "tests" and part.identity["tags"] == ["one", "two"]
        assert part.identity["name"] == logged.run.root.name


def test_the_config_and_what_is_said_of_the_whole_are_there(logged: Logged) -> None:
    first, resumed, scored = logged.parts
    assert first.config["system"]["renderer"]["samples_per_ray"] == 16 and first.config["trainer"]["max_steps"] == 6
    assert resumed.config["trainer"]["max_steps"] == 10
    assert resumed.summary["state"] == "finished" and resumed.summary["seconds"] > first.summary["seconds"] > 0.0
    assert scored.summary["scores/shape_score"] == 0.5 and scored.summary["scores/surface/f_score_2"] == 0.25
    assert not any("judge" in name for name in scored.summary)
    assert [part.exit_code for part in logged.parts] == [0, 0, 0]


def test_a_run_that_fails_is_a_failed_run_there(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Distillation, step: StepInfo) -> None:
        raise RuntimeError("something broke")

    monkeypatch.setattr(Distillation, "training_step", fail)
    with pytest.raises(RuntimeError, match="something broke"):
        launch.small(*LOGGED)
    (run,) = launch.runs()
    (part,) = offline_runs(run.root)
    assert part.exit_code == 1 and part.summary["state"] == "failed" and "something broke" in part.summary["reason"]


def test_stages_are_runs_of_one_group(launch: Any, small_settings: tuple[str, ...], tmp_path: Path) -> None:
    config = tmp_path / "two.yaml"
    stages = "{first: {trainer: {max_steps: 1}}, second: {trainer: {max_steps: 2}}}"
    config.write_text(f"extends: {ROOT}/configs/dreamfusion.yaml\nstages: {stages}\n")
    assert launch(config, *small_settings, *LOGGED) == 0
    whole = RunDirectory(next(launch.output_root.glob("*/*")))
    identities = {stage.root.name: offline_runs(stage.root)[0].identity for stage in whole.stages()}
    assert {name: identity["name"] for name, identity in identities.items()} == {
        "first": f"{whole.root.name}/first",
        "second": f"{whole.root.name}/second",
    }
    assert {identity["group"] for identity in identities.values()} == {whole.root.name}
    assert len({identity["id"] for identity in identities.values()}) == 2


def test_a_score_that_cannot_be_added_is_a_warning(
    logged: Logged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "init", fail)
    add_scores(logged.run, {"shape_score": 0.5})
    assert "Weights & Biases failed (CommError: no network). The run goes on without it." in caplog.messages


def test_scores_of_a_run_that_was_not_logged_stay_where_they_are(tmp_path: Path) -> None:
    add_scores(RunDirectory(tmp_path), {"shape_score": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_fails_is_a_warning_and_the_run_goes_on(
    launch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(WandbDashboard, "scalars", lambda *_, **__: json.loads("not JSON"))
    assert launch.small(*LOGGED, "trainer.max_steps=2") == 0
    (run,) = launch.runs()
    assert run.state()["state"] == "finished" and len(run.metrics.read_text().splitlines()) == 3
    told = [message for message in caplog.messages if message.startswith("Weights & Biases failed (JSONDecodeError")]
    assert len(told) == 1


def test_a_service_that_does_not_answer_is_a_warning_and_the_run_is_logged_offline(
    launch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    init = wandb.init

    def without_network(**options: Any) -> wandb.Run:
        if options["mode"] != "offline":
            raise wandb.errors.CommError("no such\nhost")
        return init(**options)

    def refuse(**_: object) -> bool:
        raise wandb.errors.AuthenticationError("no such host")

    monkeypatch.setattr(wandb, "init", without_network)
    monkeypatch.setattr(wandb, "login", refuse)
    assert launch.small("logger.wandb.project=tests", "trainer.max_steps=2") == 0
    (run,) = launch.runs()
    assert offline_runs(run.root)[0].rows[-1][STEP] == 2 and run.state()["wandb"]["offline"] is True
    assert "Weights & Biases does not answer (no such host). The run is logged offline." in caplog.messages


def test_without_an_account_a_run_that_is_to_be_logged_at_once_does_not_begin(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(wandb, "login", lambda **options: bool(asked.append(options)))
    assert launch.small("logger.wandb.project=tests") == 2
    assert "error: logger.wandb: nobody is logged in. Do so with `wandb login`" in capsys.readouterr().err
    assert asked == [{"prompt": False}]
    assert [path for path in launch.output_root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("logger.wandb.offline=true", "logger.wandb.project: is missing; WandbConfig needs it."),
        ("logger.wandb.project=team/tests", "project: expected at most 128 letters without"),
        ("logger.wandb={projekt: tests}", "unknown key 'projekt' for WandbConfig. Did you mean 'project'?"),
        ("logger.wandb=true", "logger.wandb: expected keys of WandbConfig, got True."),
    ],
)
def test_a_misspelt_section_is_told_before_anything_is_loaded(
    launch: Any, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    assert launch.small(setting) == 2
    assert message in capsys.readouterr().err
    assert not launch.output_root.exists()
