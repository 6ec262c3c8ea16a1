"""Checkpoints: written whole, read without running code, refused with one clear error."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.checkpoint import (
    check_parts,
    check_same_components,
    load_checkpoint,
    load_newest,
    save_checkpoint,
    seal,
)
from framework.core.errors import CheckpointError
from framework.core.files import remove_leftovers

ROOT = Path(__file__).resolve().parents[2]

CONFIG = {"name": "a", "system": {"type": "distillation"}}
ran: list[str] = []


class Bomb:
    """Unpickling this runs code."""

    def __reduce__(self) -> Any:
        return ran.append, ("code ran",)


def saved(folder: Path) -> Path:
    path = folder / "step-000003.ckpt"
    state = {"system": {"table": torch.arange(64.0)}, "optimizer": {"param_groups": [{"lr": 0.1, "params": [0]}]}}
    save_checkpoint(path, config=CONFIG, step=3, state=state)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    return str(caught.value)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    content = load_checkpoint(saved(tmp_path))
    assert content["config"] == CONFIG and content["step"] == 3
    assert torch.equal(content["state"]["system"]["table"], torch.arange(64.0))
    assert content["state"]["optimizer"] == {"param_groups": [{"lr": 0.1, "params": [0]}]}
    assert [path.name for path in tmp_path.iterdir()] == ["step-000003.ckpt"]


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "x.ckpt") == f"{tmp_path}/x.ckpt: there is no such checkpoint."


def test_a_checkpoint_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    for length in range(0, len(content), 41):
        path.write_bytes(content[:length])
        message = refusal(path)
        assert message.startswith(f"{path}: is damaged or no checkpoint ({length} bytes; ")
        assert message.endswith("Resume from an older one beside it.") and "\n" not in message


def test_a_checkpoint_with_any_byte_changed_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    for index in range(0, len(content), 23):
        content[index] ^= 0x10
        path.write_bytes(content)
        assert "its checksum is missing or does not match" in refusal(path)
        content[index] ^= 0x10
    path.write_bytes(content)
    assert load_checkpoint(path)["step"] == 3


def test_a_file_with_something_behind_its_end_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    assert "its checksum is missing or does not match" in refusal(path)


def test_the_newest_whole_checkpoint_is_taken_and_the_damaged_ones_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = saved(tmp_path)
    damaged = [tmp_path / f"step-00000{step}.ckpt" for step in (5, 4)]
    for path in damaged:
        path.write_bytes(whole.read_bytes()[:-7])

    content, taken = load_newest([*damaged, whole])

    assert taken == whole and content["step"] == 3
    assert [str(path) in record.message for path, record in zip(damaged, caplog.records, strict=True)] == [True, True]
    assert "Taking step-000003.ckpt instead." in caplog.records[1].message
    with pytest.raises(CheckpointError, match=r"step-000004.ckpt: is damaged"):
        load_newest(damaged)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from framework.core import checkpoint

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def write_half(content, file):
    file.write(b"PK half of it")
    file.flush()
    die()

for place, name, deadly in ((torch, "save", write_half), (checkpoint, "seal", die), (Path, "replace", die)):
    child = os.fork()
    if child == 0:
        setattr(place, name, deadly)
        checkpoint.save_checkpoint(Path(sys.argv[1]), config={}, step=4, state={"x": torch.ones(9)})
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""
"""Saves in processes that are killed when half is written, before the digest, and before the file has its name."""


def test_a_process_killed_anywhere_in_a_save_leaves_the_checkpoint_that_was_there(tmp_path: Path) -> None:
    path = saved(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=True)
    assert load_checkpoint(path)["step"] == 3
    assert len(list(tmp_path.iterdir())) == 4
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "lack"),
    [
        ({"config": {}, "state": {}}, "config of the system"),
        ({"config": {"system": {}}, "state": {"system": [1]}}, "state of the system"),
        ({"config": {"system": {}}, "state": {"system": {}}}, "state of the optimizer"),
    ],
)
def test_a_checkpoint_that_nothing_can_go_on_from_is_refused(content: dict[str, Any], lack: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_parts(content, Path("a.ckpt"))
    assert str(caught.value) == f"a.ckpt: holds no {lack}. Resume from another checkpoint."


def test_a_checkpoint_is_an_archive_that_other_tools_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(saved(tmp_path)) as archive:
        assert archive.testzip() is None
        assert len(archive.comment) == 64


def test_garbage_is_refused(tmp_path: Path) -> None:
    path, bytes_of = tmp_path / "x.ckpt", random.Random(0).randbytes
    for length in range(200):
        path.write_bytes(bytes_of(length))
        assert "is damaged or no checkpoint" in refusal(path)


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.ckpt", io.BytesIO()
    torch.save({"format": 2, "config": {}, "step": 1, "state": {"system": Bomb()}}, whole)
    for content in (whole.getvalue(), pickle.dumps(Bomb()), pickle.dumps({"format": 2, "state": Bomb()}, protocol=2)):
        path.write_bytes(content)
        if content.startswith(b"PK"):
            seal(path)
        else:
            path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
        assert "holds something else than tensors and plain values, which is never unpickled" in refusal(path)
    assert ran == []


@pytest.mark.parametrize(
    "content",
    [{"state_dict": {}}, [1, 2], {"format": 1, "config": {}, "step": 0, "state": {}}, {"format": 2, "step": 0}],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(content, path)
    seal(path)
    assert refusal(path) == f"{path}: is not a checkpoint of this project (format 2)."


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"type": "diffusion-training"}, "holds system 'distillation', but this config asks for 'diffusion-training'."),
        (
            {"scene": {"geometry": {"type": "voxel-grid"}}},
            "holds scene.geometry 'density-field', but this config asks for 'voxel-grid'.",
        ),
        (
            {"scene": {"geometry": {"encoding": {"type": "frequency"}}}},
            "holds scene.geometry.encoding 'hash-grid', but this config asks for 'frequency'.",
        ),
    ],
)
def test_a_checkpoint_of_other_components_is_refused_and_the_first_one_named(asked: Any, message: str) -> None:
    saved_tree = {
        "type": "distillation",
        "scene": {"geometry": {"type": "density-field", "encoding": {"type": "hash-grid"}}},
    }
    full = _filled(asked, saved_tree)
    with pytest.raises(CheckpointError) as caught:
        check_same_components(saved_tree, full, Path("a.ckpt"))
    assert str(caught.value) == (f"a.ckpt: {message} Resume with the config of the run, or start a new one.")


def test_schedules_numbers_and_new_terms_may_differ() -> None:
    saved_tree = {"type": "a", "weight": {"type": "linear", "from": 0}, "losses": {"x": {"type": "sparsity"}}, "n": 1}
    asked = {"type": "a", "weight": {"type": "cosine", "from": 0}, "losses": {"y": {"type": "binarization"}}, "n": 2}
    check_same_components(saved_tree, asked, Path("a.ckpt"))
    check_same_components(saved_tree, {**asked, "weight": 3.0}, Path("a.ckpt"))


def _filled(asked: Any, base: Any) -> Any:
    if not isinstance(asked, dict):
        return asked
    return {**base, **{key: _filled(value, base.get(key)) for key, value in asked.items()}}
