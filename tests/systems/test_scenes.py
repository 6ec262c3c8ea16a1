"""Several scenes of one prompt: turns, independence, and results of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.checkpoint import load_checkpoint
from framework.core.config import load_config
from framework.core.step import StepInfo
from framework.systems.scenes import Scenes

PARTICLES = ("system.n_particles=3", "trainer.max_steps=9", "trainer.checkpoint_every=4")


@pytest.fixture
def scenes() -> Scenes:
    """Four scenes that are told apart by identity alone."""
    root = Path(__file__).resolve().parents[2]
    small = (
        "system.scene.geometry.encoding={num_levels: 2, log2_table_size: 6}",
        "system.scene.occupancy.resolution=4",
    )
    run, _ = load_config(root / "configs" / "dreamfusion.yaml", small)
    return Scenes.build(run.system.scene, 4, run)


def test_every_round_gives_each_scene_one_turn_in_an_order_of_its_own(scenes: Scenes) -> None:
    orders = []
    for first in range(0, 40, 4):
        turns = [scenes.turn(StepInfo(step, 40)) for step in range(first, first + 4)]
        orders.append(tuple(list(scenes).index(scene) for scene, _ in turns))
        assert [step.step for _, step in turns] == [first // 4] * 4
        assert turns[0][1].max_steps == 10
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(set(orders)) > 3
    assert scenes.turn(StepInfo(7, 40, seed=1))[1].step == 1


def test_scenes_begin_with_values_of_their_own(scenes: Scenes) -> None:
    tables = [next(scene.geometry.encoding.parameters()) for scene in scenes]
    assert not any(torch.equal(tables[0], other) for other in tables[1:])


def test_results_of_further_scenes_lie_in_folders_of_their_own(scenes: Scenes, tmp_path: Path) -> None:
    assert [folder for folder, _ in scenes.folders(tmp_path)] == [
        tmp_path,
        tmp_path / "particle-1",
        tmp_path / "particle-2",
        tmp_path / "particle-3",
    ]


def test_a_run_trains_saves_and_shows_every_particle(launch: Any) -> None:
    assert launch.small(*PARTICLES) == 0
    (run,) = launch.runs()
    state = load_checkpoint(run.checkpoint(9))["state"]["system"]
    tables = [state[f"scenes.{index}.geometry.encoding.grid.table"] for index in range(3)]
    assert not torch.equal(tables[0], tables[1])
    grids = [state[f"scenes.{index}.occupancy.density"] for index in range(3)]
    assert all(bool(grid.any()) for grid in grids)
    shown = {path.name for path in run.root.glob("images/*")}
    assert {"views-000009.png", "views-1-000009.png", "views-2-000009.png"} <= shown, shown


def test_a_resumed_run_of_particles_equals_an_uninterrupted_one(launch_in: Any) -> None:
    straight, broken = launch_in("straight"), launch_in("broken")
    assert straight.small(*PARTICLES) == 0
    assert broken.small(*PARTICLES) == 0
    (run,) = broken.runs()
    for checkpoint in run.checkpoints()[1:]:
        checkpoint.unlink()
    assert broken.small(*PARTICLES, f"resume={run.root}") == 0
    states = [load_checkpoint(item.runs()[0].checkpoint(9))["state"]["system"] for item in (straight, broken)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_at_least_one_scene_is_asked_for(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.small("system.n_particles=0") != 0
    assert "n_particles: expected at least 1" in capsys.readouterr().err
