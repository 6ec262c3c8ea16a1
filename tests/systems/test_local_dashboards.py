"""Dashboards in the run's folder hold what they were shown, and nothing twice when a run is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from framework.core.config import parse
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.core.yaml_tree import Tree
from framework.export.png import decode_png
from framework.systems.local_dashboards import MetricsTable, PictureFolder, TensorBoard

SYSTEM = {"type": "playground", "optimizer": {"type": "adam", "parameters": {"images": {"learning_rate": 0.1}}}}
CONFIG = parse(RunConfig, Tree({"name": "tiny", "prompt": "a toy", "system": SYSTEM}))


def events(root: Path) -> Any:
    return EventAccumulator(str(root / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_tensorboard_holds_numbers_with_their_time_pictures_and_the_config(tmp_path: Path) -> None:
    board = TensorBoard(CONFIG, RunDirectory(tmp_path), start_step=0)
    board.scalars(10, {"loss/total": 0.5, "weight/a": 2.0}, at=1000.0)
    board.image(10, "views", torch.rand(4, 6, 3))
    board.close(has_failed=False)

    found = events(tmp_path)
    assert found.Tags()["scalars"] == ["loss/total", "weight/a"]
    assert [(event.step, event.value, event.wall_time) for event in found.Scalars("loss/total")] == [(10, 0.5, 1000.0)]
    (picture,) = found.Images("images/views")
    assert (picture.step, picture.width, picture.height) == (10, 6, 4)
    (text,) = found.Tensors("config/text_summary")
    assert b"prompt: a toy" in text.tensor_proto.string_val[0]


def test_a_resumed_run_replaces_what_tensorboard_had_after_its_checkpoint(tmp_path: Path) -> None:
    for start, values in ((0, {10: 1.0, 20: 2.0, 30: 3.0}), (20, {30: 3.5, 40: 4.0})):
        board = TensorBoard(CONFIG, RunDirectory(tmp_path), start_step=start)
        for step, value in values.items():
            board.scalars(step, {"a": value}, at=float(start + step))
        board.close(has_failed=False)
    shown = {event.step: event.value for event in events(tmp_path).Scalars("a")}
    assert shown == {10: 1.0, 20: 2.0, 30: 3.5, 40: 4.0}


def test_pictures_are_files_by_name_and_step(tmp_path: Path) -> None:
    image = torch.rand(4, 6, 3)
    PictureFolder(CONFIG, RunDirectory(tmp_path), start_step=0).image(20, "views", image)
    read = decode_png((tmp_path / "images" / "views-000020.png").read_bytes())
    assert (read - image).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(("start_step", "steps"), [(0, ["2"]), (1, ["1", "2"])])
def test_the_table_of_metrics_goes_on_from_a_step(tmp_path: Path, start_step: int, steps: list[str]) -> None:
    directory = RunDirectory(tmp_path)
    MetricsTable(CONFIG, directory, start_step=0).scalars(1, {"a": 1.0}, at=0.0)
    MetricsTable(CONFIG, directory, start_step=start_step).scalars(2, {"a": 2.0}, at=0.0)
    lines = directory.metrics.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", *steps]
