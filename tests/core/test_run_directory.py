"""Run folders: names, states, and what `resume=` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.core import run_directory
from framework.core.errors import CheckpointError, UserError
from framework.core.run_directory import RunDirectory, prompt_slug, resume_target, resumed_stages

PROMPT = "a red mushroom"


def run_of(root: Path, time: str, state: str, *, prompt: str = "a-red-mushroom", steps: tuple[int, ...] = (5,)) -> Path:
    """A run folder as a run leaves it."""
    run = RunDirectory(root / "tiny" / f"{prompt}@{time}")
    (run.root / "checkpoints").mkdir(parents=True)
    run.config.write_text("name: tiny\n")
    for step in steps:
        run.checkpoint(step).write_bytes(b"")
    run.set_state(state, step=max(steps, default=0))
    return run.root


def resumed(resume: str | Path, root: Path, prompt: str = PROMPT) -> tuple[Path, Path]:
    run, checkpoints = resume_target(str(resume), output_root=str(root), name="tiny", prompt=prompt)
    return run.root, checkpoints[0]


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("a red mushroom", "a-red-mushroom"),
        ("A Red, mushroom!", "a-red-mushroom"),
        ("un caf\u00e9 cr\u00e8me", "un-cafe-creme"),
        ("../../etc/passwd", "etc-passwd"),
        ("\u4e2d\u6587", "run"),
        ("", "run"),
        ("x" * 200, "x" * 60),
        ("word " * 30, ("word-" * 30)[:59]),
    ],
)
def test_a_prompt_becomes_a_safe_folder_name(prompt: str, slug: str) -> None:
    assert prompt_slug(prompt) == slug


def test_a_new_run_is_an_empty_folder_named_after_prompt_and_time(tmp_path: Path) -> None:
    run = RunDirectory.create(str(tmp_path / "out"), "tiny", PROMPT)
    assert run.root.parent == tmp_path / "out" / "tiny"
    assert run.root.name.startswith("a-red-mushroom@20")
    assert run.state()["state"] == "running"
    assert [path.name for path in run.root.iterdir()] == ["run.json"]


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    (first, second, third) = [run_directory._unused(tmp_path, "a@20260101-120000") for _ in range(3)]
    assert [path.name for path in (first, second, third)] == [
        "a@20260101-120000",
        "a@20260101-120000-2",
        "a@20260101-120000-3",
    ]


def test_an_output_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        RunDirectory.create(str(tmp_path / "file"), "tiny", PROMPT)
    assert str(caught.value) == (
        f"output_root: cannot write to {tmp_path}/file/tiny: Not a directory. "
        "Choose another folder with output_root=..."
    )


def test_last_is_the_newest_unfinished_run_of_the_prompt(tmp_path: Path) -> None:
    run_of(tmp_path, "20260101-120000", "interrupted")
    wanted = run_of(tmp_path, "20260102-120000", "failed", steps=(5, 10, 2000))
    run_of(tmp_path, "20260103-120000", "finished")
    run_of(tmp_path, "20260104-120000", "running", prompt="a-blue-mushroom")
    run_of(tmp_path, "20260105-120000", "running", steps=())
    assert resumed("last", tmp_path) == (wanted, wanted / "checkpoints" / "step-002000.ckpt")


def test_last_tells_runs_of_one_second_and_folders_of_other_names_apart(tmp_path: Path) -> None:
    for time in ("20260101-120000", "20260101-120000-2", "best", "20251231-235959-11"):
        run_of(tmp_path, time, "interrupted")
    wanted = run_of(tmp_path, "20260101-120000-10", "interrupted")
    assert resumed("last", tmp_path)[0] == wanted


def test_last_begins_a_run_again_that_has_no_checkpoint_where_no_other_has_one(tmp_path: Path) -> None:
    run_of(tmp_path, "20260101-120000", "running", steps=())
    wanted = run_of(tmp_path, "20260102-120000", "running", steps=())
    (tmp_path / "tiny" / "a-red-mushroom@20260103-120000").mkdir()
    run_of(tmp_path, "20260104-120000", "finished")
    run, checkpoints = resume_target("last", output_root=str(tmp_path), name="tiny", prompt=PROMPT)
    assert run.root == wanted and checkpoints == []


def test_stages_killed_before_they_noted_anything_begin_again(tmp_path: Path) -> None:
    run = RunDirectory.create(str(tmp_path), "tiny", PROMPT)
    assert resumed_stages("last", output_root=str(tmp_path), name="tiny", prompt=PROMPT) == run


def test_a_folder_that_holds_anything_of_a_run_is_not_removed(tmp_path: Path) -> None:
    run = RunDirectory.create(str(tmp_path), "tiny", PROMPT)
    run.config.write_text("name: tiny\n")
    run.remove_empty()
    assert run.config.is_file()
    run.config.unlink()
    run.remove_empty()
    assert not run.root.exists()


def test_last_never_resumes_a_finished_run(tmp_path: Path) -> None:
    run_of(tmp_path, "20260101-120000", "finished")
    with pytest.raises(UserError) as caught:
        resumed("last", tmp_path)
    assert str(caught.value) == (
        f"resume=last: {tmp_path}/tiny holds no unfinished run of the prompt 'a red mushroom'. "
        "Name a run folder instead, or leave resume out to start anew."
    )


def test_last_without_any_run_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}/tiny holds no unfinished run"):
        resumed("last", tmp_path)


def test_a_run_killed_while_it_wrote_its_state_is_unfinished(tmp_path: Path) -> None:
    run = run_of(tmp_path, "20260101-120000", "running")
    (run / "run.json").write_text('{"state": "fini')
    assert resumed("last", tmp_path)[0] == run


def test_a_run_folder_means_its_newest_checkpoint_even_if_it_is_finished(tmp_path: Path) -> None:
    run = run_of(tmp_path, "20260101-120000", "finished", steps=(5, 999_999, 1_000_000))
    assert resumed(run, tmp_path)[1].name == "step-1000000.ckpt"


def test_older_checkpoints_of_a_folder_stand_in_for_its_newest(tmp_path: Path) -> None:
    run = run_of(tmp_path, "20260101-120000", "running", steps=(5, 10, 2000))
    place = {"output_root": str(tmp_path), "name": "tiny", "prompt": PROMPT}
    for resume in (str(run), "last"):
        _, checkpoints = resume_target(resume, **place)
        assert [path.stem for path in checkpoints] == ["step-002000", "step-000010", "step-000005"]
    chosen = RunDirectory(run).checkpoint(10)
    assert resume_target(str(chosen), **place)[1] == [chosen]


def test_a_checkpoint_means_itself_and_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path, "20260101-120000", "running", steps=(5, 10))
    older = run / "checkpoints" / "step-000005.ckpt"
    assert resumed(older, tmp_path) == (run, older)
    monkeypatch.chdir(older.parent)
    assert resumed(older.name, tmp_path)[0] == run


def test_what_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    run = run_of(tmp_path, "20260101-120000", "running", steps=())
    with pytest.raises(CheckpointError, match="checkpoints: holds no checkpoint yet"):
        resumed(run, tmp_path)
    with pytest.raises(
        UserError, match=r"there is no such run folder. Did you mean 'a-red-mushroom@20260101-120000'\?"
    ):
        resumed(run.parent / "a-red-mushrom@20260101-120000", tmp_path)
    with pytest.raises(UserError, match=r"tiny: holds no config.yaml, so it is not a run folder"):
        resumed(run.parent, tmp_path)


def staged(root: Path, *, begun: tuple[str, ...]) -> RunDirectory:
    """A run of the stages coarse and fine, of which some have begun."""
    run = RunDirectory(root / "tiny" / "a-red-mushroom@20260101-120000")
    run.root.mkdir(parents=True)
    run.config.write_text("name: tiny\n")
    run.set_state("interrupted", step=0)
    run.note({"stages": ["coarse", "fine"]})
    for name in begun:
        folder = run.stage(name)
        folder.checkpoint(5).parent.mkdir(parents=True)
        folder.checkpoint(5).write_bytes(b"")
        folder.config.write_text("name: tiny\n")
    return run


def test_the_result_of_stages_is_that_of_the_last_that_has_begun(tmp_path: Path) -> None:
    assert staged(tmp_path / "a", begun=()).result().root.name == "a-red-mushroom@20260101-120000"
    assert staged(tmp_path / "b", begun=("coarse",)).result().root.name == "coarse"
    run = staged(tmp_path / "c", begun=("coarse", "fine"))
    assert run.result().root.name == "fine"
    assert [folder.root.name for folder in run.stages()] == ["coarse", "fine"]
    assert [folder.whole() for folder in (run, *run.stages())] == [run, run, run]


def test_a_run_of_stages_is_resumed_by_its_folder_by_a_stage_and_by_last(tmp_path: Path) -> None:
    run = staged(tmp_path, begun=("coarse",))
    place = {"output_root": str(tmp_path), "name": "tiny", "prompt": PROMPT}
    for resume in (str(run.root), str(run.root / "coarse"), "last"):
        assert resumed_stages(resume, **place) == run


def test_a_run_without_stages_cannot_go_on_with_some(tmp_path: Path) -> None:
    run = run_of(tmp_path, "20260101-120000", "running")
    with pytest.raises(UserError, match=r"is a run without stages, but this config has some. Start a new run."):
        resumed_stages(str(run), output_root=str(tmp_path), name="tiny", prompt=PROMPT)
