"""Where a run keeps its files; the one class that knows the paths.

<output_root>/<name>/<prompt-slug>@<time>/
    config.yaml  run.json  checkpoints/step-000500.ckpt  images/  mesh/  turntable.mp4  metrics.csv  tensorboard/
    wandb/ (where it is logged to Weights & Biases)  report.html  scores.json (where the result was scored)
    exports/step-000500/ (what was exported in the middle of training: mesh/ and turntable.mp4)
    refinement.json  refinement.png (where it was made of a mesh file)

A run of several stages has a folder like this for each of them, named after the stage, and beside these only
    config.yaml  run.json  report.html
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from framework.core import ranks, slurm
from framework.core.errors import CheckpointError, UserError, did_you_mean
from framework.core.files import remove_leftovers, write_text

State = Literal["running", "interrupted", "failed", "finished"]
_STATE = "run.json"
_JOB = "slurm_job"


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run."""

    root: Path

    @classmethod
    def create(cls, output_root: str, name: str, prompt: str) -> RunDirectory:
        """A new, empty run folder named after the prompt and the time.

        Raises:
            UserError: If it cannot be written there; nothing has been computed by then.
        """
        parent = Path(output_root) / name
        stem = f"{prompt_slug(prompt)}@{datetime.now():%Y%m%d-%H%M%S}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            root = _unused(parent, stem)
            run = cls(root)
            run.set_state("running", step=0)
            run.note({"started": datetime.now().isoformat(timespec="seconds"), _JOB: slurm.job()})
        except OSError as error:
            raise UserError(
                f"output_root: cannot write to {parent}: {error.strerror or error}. Choose another folder with output_root=..."
            ) from None
        return run

    @classmethod
    def open(cls, root: Path) -> RunDirectory:
        """An existing run folder.

        Raises:
            UserError: If it is none.
        """
        run = cls(root)
        if not root.is_dir():
            hint = (
                did_you_mean(root.name, [item.name for item in root.parent.glob("*")]) if root.parent.is_dir() else ""
            )
            raise UserError(f"{root}: there is no such run folder.{hint}")
        if not run.config.is_file():
            raise UserError(f"{root}: holds no config.yaml, so it is not a run folder.")
        return run

    def stage(self, name: str) -> RunDirectory:
        """The folder of one stage."""
        return RunDirectory(self.root / name)

    def stages(self) -> list[RunDirectory]:
        """The folders of the stages that have begun, in their order; empty for a run without stages."""
        names = self.state().get("stages", [])
        return [self.stage(name) for name in names if self.stage(name).config.is_file()]

    def result(self) -> RunDirectory:
        """The folder that holds what the run has made: that of the last stage that has begun, else its own."""
        return (self.stages() or [self])[-1]

    def whole(self) -> RunDirectory:
        """The run that this folder is a stage of, else itself."""
        above = RunDirectory(self.root.parent)
        return above if self.root.name in above.state().get("stages", []) else self

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.yaml"

    @property
    def images(self) -> Path:
        """Validation images."""
        return self.root / "images"

    @property
    def mesh(self) -> Path:
        """Exported meshes."""
        return self.root / "mesh"

    @property
    def turntable(self) -> Path:
        """Video of the exported mesh."""
        return self.root / "turntable.mp4"

    @property
    def model(self) -> Path:
        """The exported mesh."""
        return self.mesh / "model.glb"

    def other_particles(self) -> list[Path]:
        """The exported meshes of all particles beside the first, whose mesh is `model`; in their order."""
        found = self.root.glob("particle-*/mesh/model.glb")
        return sorted(found, key=lambda path: int(path.parents[1].name.removeprefix("particle-")))

    @property
    def metrics(self) -> Path:
        """Logged numbers by step."""
        return self.root / "metrics.csv"

    @property
    def scores(self) -> Path:
        """How good the result is, where somebody has judged it."""
        return self.root / "scores.json"

    @property
    def refinement(self) -> Path:
        """How the result differs from the mesh file that it was made of."""
        return self.root / "refinement.json"

    @property
    def refinement_picture(self) -> Path:
        """Both side by side."""
        return self.root / "refinement.png"

    @property
    def report(self) -> Path:
        """One page that shows all of the run."""
        return self.root / "report.html"

    def checkpoint(self, step: int) -> Path:
        """The checkpoint written after `step` training steps."""
        return self.root / "checkpoints" / f"step-{step:06d}.ckpt"

    def exported_at(self, step: int) -> Path:
        """What was exported after `step` training steps, in the middle of training."""
        return self.root / "exports" / f"step-{step:06d}"

    def checkpoints(self) -> list[Path]:
        """Checkpoints on disk, oldest first."""
        return sorted((self.root / "checkpoints").glob("step-*.ckpt"), key=lambda path: (len(path.stem), path.stem))

    def latest_checkpoint(self) -> Path:
        """The newest checkpoint.

        Raises:
            CheckpointError: If there is none.
        """
        found = self.checkpoints()
        if not found:
            raise CheckpointError(f"{self.root / 'checkpoints'}: holds no checkpoint yet.")
        return found[-1]

    def candidates(self) -> list[Path]:
        """Checkpoints to go on from, newest first: an older one stands in for one that is damaged.

        Raises:
            CheckpointError: If there is none.
        """
        self.latest_checkpoint()
        return self.checkpoints()[::-1]

    def remove_empty(self) -> None:
        """Remove the folder of a run that could not begin; one that holds anything of a run stays."""
        if {path.name for path in self.root.iterdir()} <= {_STATE}:
            (self.root / _STATE).unlink(missing_ok=True)
            self.root.rmdir()

    def tidy(self) -> None:
        """Remove the halves of files that a process was writing when it was killed."""
        for folder in (self.root, self.root / "checkpoints", self.images, self.mesh):
            remove_leftovers(folder)

    def set_state(self, state: State, *, step: int, reason: str | None = None) -> None:
        """Record how far the run is, for `resume=last`, and what went wrong if something did."""
        self.note({"state": state, "step": step, "pid": os.getpid(), "reason": reason})

    def note(self, entries: Mapping[str, Any]) -> None:
        """Add entries to what is recorded of the run, by the first process alone; None removes one."""
        if not ranks.is_first():
            return
        record = {key: value for key, value in {**self.state(), **entries}.items() if value is not None}
        write_text(self.root / _STATE, json.dumps(record) + "\n")

    def state(self) -> dict[str, Any]:
        """What `set_state` and `note` recorded; empty where it cannot be read."""
        try:
            record = json.loads((self.root / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}


def resume_target(resume: str, *, output_root: str, name: str, prompt: str) -> tuple[RunDirectory, list[Path]]:
    """The run folder and checkpoints that `resume=` means: a run folder, a checkpoint file, or `last`.

    The first checkpoint is wanted; the others, of a run folder, are those to take where it is damaged. A run that was
    killed before its first one has none, and `last` begins it again.

    Raises:
        UserError: If there is nothing to resume; says where was looked.
    """
    if resume == "last":
        run = _newest_unfinished(Path(output_root) / name, prompt)
        return run, run.checkpoints()[::-1]
    path = Path(resume)
    if path.is_file():
        return RunDirectory.open(path.absolute().parents[1]), [path]
    if path.suffix == ".ckpt":
        raise CheckpointError(f"{path}: there is no such checkpoint.{_beside(path)}")
    run = RunDirectory.open(path).result()
    return run, run.candidates()


def resumed_stages(resume: str, *, output_root: str, name: str, prompt: str) -> RunDirectory:
    """The run folder of several stages that `resume=` means: itself, one of its stages, or `last`.

    Raises:
        UserError: If there is nothing to resume, or it has no stages.
    """
    if resume == "last":
        run = _newest_unfinished(Path(output_root) / name, prompt)
    else:
        run = RunDirectory.open(Path(resume)).whole()
    if "stages" not in run.state() and run.config.is_file():
        raise UserError(f"resume: {run.root} is a run without stages, but this config has some. Start a new run.")
    return run


def run_of_job(config: str, *, output_root: str, name: str, prompt: str) -> RunDirectory | None:
    """The run that this SLURM job began before it was put back into the queue, with the text `config` as its configuration.

    None in a job that was not, or that had not come so far.
    """
    if not slurm.is_restarted():
        return None
    own = [run for run in _runs(Path(output_root) / name, prompt) if run.state().get(_JOB) == slurm.job()]
    same = [run for run in own if run.config.is_file() and run.config.read_text(encoding="utf-8") == config]
    return max(same, key=_start, default=None)


def _beside(path: Path) -> str:
    found = [item.name for item in path.parent.glob("*.ckpt")] if path.parent.is_dir() else []
    return did_you_mean(path.name, found)


def _newest_unfinished(parent: Path, prompt: str) -> RunDirectory:
    unfinished = [run for run in _runs(parent, prompt) if run.state().get("state") != "finished"]
    saved = [run for run in unfinished if _has_checkpoint(run)]
    begun = [run for run in unfinished if run.state()]
    if not saved and not begun:
        raise UserError(
            f"resume=last: {parent} holds no unfinished run of the prompt '{prompt}'. "
            "Name a run folder instead, or leave resume out to start anew."
        )
    return max(saved or begun, key=_start)


def _runs(parent: Path, prompt: str) -> list[RunDirectory]:
    return [RunDirectory(path) for path in parent.glob(f"{prompt_slug(prompt)}@*") if path.is_dir()]


def _has_checkpoint(run: RunDirectory) -> bool:
    return any(folder.checkpoints() for folder in (run, *run.stages()))


def _start(run: RunDirectory) -> list[int]:
    """Day and time at which a run was started, and its number among those of that second."""
    return [int(number) for number in re.findall(r"\d+", run.root.name.rpartition("@")[2])]


def prompt_slug(prompt: str, max_length: int = 60) -> str:
    """The prompt as a safe folder name: lower-case ASCII words joined by dashes."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:max_length].strip("-")
    return slug or "run"


def _unused(parent: Path, stem: str) -> Path:
    for attempt in range(1, 1000):
        root = parent / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            root.mkdir()
        except FileExistsError:
            continue
        return root
    raise OSError(f"too many runs are called {stem}")
