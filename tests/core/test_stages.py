from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.errors import ConfigError
from framework.core.run_config import RunConfig
from framework.core.stages import load_stages

STAGED = """
name: two
prompt: a snowman
system:
  type: distillation
  streams: {random: {type: random-views}}
  guidance: {type: score-distillation, stream: random, guidance_scale: 3}
  optimizer: {type: adam, parameters: {scene.geometry: {learning_rate: 0.01}}}
stages:
  coarse:
    trainer: {max_steps: 40}
    system: {scene: {geometry: {type: density-field, radius: 0.9}}}
  fine:
    start_from: coarse
    trainer: {max_steps: 80}
    system: {scene: {geometry: voxel-grid}, guidance: {guidance_scale: 5}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(STAGED)
    return path


def problems_of(file: Path, *settings: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_stages(file, settings)
    return str(error.value)


def test_a_file_without_stages_is_one_config(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(STAGED.partition("stages:")[0])

    stages = load_stages(path)

    assert list(stages) == [""] and isinstance(stages[""], RunConfig)


def test_a_stage_is_laid_on_what_stands_beside_the_stages(file: Path) -> None:
    coarse, fine = load_stages(file).values()

    assert (coarse.prompt, fine.prompt) == ("a snowman", "a snowman")
    assert (coarse.system.guidance["main"].guidance_scale.dump(), coarse.trainer.max_steps) == (3, 40)
    assert (fine.system.guidance["main"].guidance_scale.dump(), fine.trainer.max_steps) == (5, 80)
    assert coarse.system.scene.geometry.radius == 0.9
    assert (coarse.start_from, fine.start_from) == (None, "coarse")


def test_the_command_line_wins_over_what_a_stage_says(file: Path) -> None:
    coarse, fine = load_stages(file, ["system.guidance.guidance_scale=7"]).values()

    assert coarse.system.guidance["main"].guidance_scale.dump() == 7
    assert fine.system.guidance["main"].guidance_scale.dump() == 7


def test_null_on_the_command_line_takes_away_from_every_stage(file: Path) -> None:
    assert all(stage.export is None for stage in load_stages(file, ["export=null"]).values())


def test_the_length_beside_the_stages_is_the_most_that_any_may_take(file: Path) -> None:
    coarse, fine = load_stages(file, ["trainer.max_steps=60"]).values()

    assert (coarse.trainer.max_steps, fine.trainer.max_steps) == (40, 60)


def test_a_setting_of_one_stage_leaves_the_others(file: Path) -> None:
    coarse, fine = load_stages(file, ["stages.fine.system.guidance.guidance_scale=9"]).values()

    assert coarse.system.guidance["main"].guidance_scale.dump() == 3
    assert fine.system.guidance["main"].guidance_scale.dump() == 9


def test_where_the_run_starts_concerns_its_first_stage(file: Path, tmp_path: Path) -> None:
    coarse, fine = load_stages(file, [f"start_from={tmp_path}"]).values()

    assert (coarse.start_from, fine.start_from) == (str(tmp_path), "coarse")


def test_problems_name_their_stage_and_line(file: Path) -> None:
    message = problems_of(file, "stages.coarse.system.scene.geometry.raduis=1", "stages.fine.trainer.max_steps=0")

    assert "stages.coarse.system.scene.geometry.raduis: unknown key 'raduis'" in message
    assert "stages.fine.trainer: max_steps must be at least 1" in message
    assert message.count("command line") == 2


def test_what_is_wrong_beside_the_stages_is_told_once(file: Path) -> None:
    file.write_text(STAGED.replace("guidance_scale: 3", "guidance_scale: much"))

    assert problems_of(file).count("much") == 1


def test_a_setting_that_every_stage_replaces_is_an_error(file: Path) -> None:
    file.write_text(STAGED.replace("  streams:", "  scene: {geometry: {type: voxel-grid}}\n  streams:", 1))
    message = problems_of(file, "system.scene.geometry.resolution=8", "stages.fine.system.scene.geometry=density-field")

    assert "system.scene.geometry.resolution: no stage uses it" in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "start_from: coarse",
            "start_from: corse",
            "no stage, run folder or mesh file 'corse'. Did you mean 'coarse'?",
        ),
        ("start_from: coarse", "start_from: fine", "stage 'fine' does not come before 'fine'"),
        ("  coarse:\n", "  a/b:\n", "stages.a/b: expected a folder name, got 'a/b'"),
        ("stages:\n", "stages: 3\nx:\n", "stages: expected names with their settings, got 3"),
    ],
)
def test_stages_that_cannot_be_are_refused(file: Path, old: str, new: str, said: str) -> None:
    file.write_text(STAGED.replace(old, new))

    assert said in problems_of(file)
