"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.files import remove_leftovers, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_is_all_there_is(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "first")
    write_text(tmp_path / "new" / "a.txt", "second")
    assert names(tmp_path / "new") == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "second"


def fail_halfway(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError):
        fail_halfway(tmp_path / "a.txt")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_the_temporary_file_has_the_suffix_and_folder_of_its_target(tmp_path: Path) -> None:
    with replacing(tmp_path / "mesh.glb") as temporary:
        assert temporary.suffix == ".glb" and temporary.parent == tmp_path
        assert temporary.name.startswith("."), "a listing of the folder would take it for a result"
    assert (tmp_path / "mesh.glb").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with replacing(tmp_path / "step-000004.ckpt") as temporary:
        left = temporary.name
    others = [".gitignore", ".cache-1.json", "step-000002.ckpt", "a-abcdefgh.ckpt"]
    for name in (left, *others):
        (tmp_path / name).write_text("")
    (tmp_path / "step-000004.ckpt").unlink(missing_ok=True)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(others)
    remove_leftovers(tmp_path / "nowhere")
