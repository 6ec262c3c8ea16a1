"""Damaged checkpoints: each must be refused by one error that names it, the one before taken, and nothing of it run."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from framework.bench.processes import ROOT
from framework.bench.rows import BenchError, Measure
from framework.bench.small import small_settings
from framework.bench.suite import SEED, Case, Outcome, Suite
from framework.cli.main import main
from framework.core.checkpoint import FORMAT, load_checkpoint, load_newest, seal
from framework.core.errors import CheckpointError
from framework.core.run_directory import RunDirectory

DAMAGES = 200
_CONFIG = ROOT / "configs" / "debug" / "analytic.yaml"


@dataclass(frozen=True)
class Refusal:
    """What became of a damaged checkpoint.

    Attributes:
        damage: What was done to it.
        is_clear: Whether it was refused in one line that names it.
        is_replaced: Whether the checkpoint before it was taken, with one warning that names both.
        ran_code: Whether code in it was run.
        was_unpickled: Whether Python's own unpickler, which can do that, looked anything up.
    """

    damage: str
    is_clear: bool
    is_replaced: bool
    ran_code: bool
    was_unpickled: bool


def suite() -> Suite:
    """One row."""
    return Suite([Case(f"{DAMAGES} damaged checkpoints of a run", partial(_damage_all, DAMAGES))])


def _damage_all(count: int, pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        results = list(refusals(trained(Path(folder) / "outputs"), count, Path(folder) / "damaged", seed=SEED))
    for item in results:
        if not item.is_clear or not item.is_replaced or item.ran_code or item.was_unpickled:
            print(f"    {item}", flush=True)
    return Outcome(
        measures=(
            Measure(name="refused by one clear error", value=sum(item.is_clear for item in results), at_least=count),
            Measure(name="the one before taken", value=sum(item.is_replaced for item in results), at_least=count),
            Measure(name="code run", value=sum(item.ran_code for item in results), at_most=0),
            Measure(name="unpickled", value=sum(item.was_unpickled for item in results), at_most=0),
        ),
        note="Damaged in one of these ways, in turn: " + ", ".join(name for name, _ in DAMAGE) + ".",
    )


def trained(output_root: Path) -> list[Path]:
    """The two checkpoints of a small run, the older one first.

    Raises:
        BenchError: If the run fails.
    """
    settings = [*small_settings(_CONFIG, max_steps=4), "export=null", "trainer.checkpoint_every=2"]
    status = main(["--config", str(_CONFIG), *settings, "trainer.validate_every=0", f"output_root={output_root}"])
    runs = [RunDirectory(path.parent) for path in output_root.glob("*/*/run.json")]
    if status or len(runs) != 1 or len(runs[0].checkpoints()) != 2:
        raise BenchError(f"The run for checkpoints ended with status {status} and {len(runs)} folders.")
    return runs[0].checkpoints()


def refusals(whole: list[Path], count: int, folder: Path, *, seed: int) -> Iterator[Refusal]:
    """What becomes of `count` damaged copies of the newer one of two checkpoints, each kind of damage in turn.

    Args:
        whole: The older and the newer checkpoint.
        count: Number of copies.
        folder: Where they are put.
        seed: Source of the damages.
    """
    folder.mkdir(parents=True)
    content = whole[1].read_bytes()
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        path, trace = folder / f"step-{number + 100:06d}.ckpt", folder / f"trace-{number}"
        name, make = DAMAGE[number % len(DAMAGE)]
        while (damaged := make(content, draw, Code(str(trace)))) == content:
            pass  # Zeros over zeros are no damage.
        path.write_bytes(damaged)
        yield _refusal(name, path, whole[0], trace)


class Code:
    """Unpickling this makes a folder, by which one sees that it was."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (self.trace,)


def _refusal(damage: str, path: Path, before: Path, trace: Path) -> Refusal:
    with _watched() as watch:
        try:
            load_checkpoint(path)
            message = ""
        except CheckpointError as error:
            message = str(error)
        _, taken = load_newest([path, before])
    told = [text for text in watch.warnings if str(path) in text and before.name in text]
    return Refusal(
        damage,
        is_clear=message.startswith(f"{path}: ") and "\n" not in message,
        is_replaced=taken == before and len(watch.warnings) == len(told) == 1,
        ran_code=trace.exists(),
        was_unpickled=bool(watch.lookups),
    )


class _Watch(logging.Handler):
    """Takes down warnings of the package, and names that Python's unpickler looks up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.is_on = True
        self.warnings: list[str] = []
        self.lookups: list[str] = []
        sys.addaudithook(self.hear)  # For good: an audit hook cannot be removed.

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage())

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take down an event of the interpreter."""
        if self.is_on and event == "pickle.find_class":
            self.lookups.append(".".join(str(item) for item in arguments))


@contextmanager
def _watched() -> Iterator[_Watch]:
    log, watch = logging.getLogger("framework"), _Watch()
    log.addHandler(watch)
    try:
        yield watch
    finally:
        watch.is_on = False
        log.removeHandler(watch)


def _cut(content: bytes, draw: random.Random, code: Code) -> bytes:
    return content[: draw.randrange(len(content))]


def _bit(content: bytes, draw: random.Random, code: Code) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :]


def _zeros(content: bytes, draw: random.Random, code: Code) -> bytes:
    """A block that never reached the disk."""
    at = draw.randrange(len(content) - 64)
    length = draw.randint(64, min(4096, len(content) - at))
    return content[:at] + bytes(length) + content[at + length :]


def _repeated(content: bytes, draw: random.Random, code: Code) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[max(0, at - draw.randint(1, 999)) :]


def _lost(content: bytes, draw: random.Random, code: Code) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[at + draw.randint(1, 999) :]


def _followed(content: bytes, draw: random.Random, code: Code) -> bytes:
    return content + draw.randbytes(draw.randint(1, 999))


def _noise(content: bytes, draw: random.Random, code: Code) -> bytes:
    return draw.randbytes(draw.randint(0, 9999))


def _page(content: bytes, draw: random.Random, code: Code) -> bytes:
    """What a proxy says instead of a file."""
    return f"<html><body>Error {draw.randint(400, 599)}</body></html>".encode()


def _unsealed(content: bytes, draw: random.Random, code: Code) -> bytes:
    return _archive({**_content(content), "state": {"system": code}}, is_sealed=False)


def _pickled(content: bytes, draw: random.Random, code: Code) -> bytes:
    """Code in the format that torch wrote before archives, with a right checksum."""
    text = pickle.dumps({**_content(content), "state": code}, protocol=2)
    return text + hashlib.sha256(text).hexdigest().encode()


def _with_code(content: bytes, draw: random.Random, code: Code) -> bytes:
    part = draw.choice(("config", "step", "state", "format", "more"))
    return _archive({**_content(content), part: code})


def _of_wrong_kind(content: bytes, draw: random.Random, code: Code) -> bytes:
    wrong: tuple[Any, ...] = (None, [], "three", -1, torch.zeros(2))
    return _archive({**_content(content), draw.choice(list(_content(content))): draw.choice(wrong)})


def _incomplete(content: bytes, draw: random.Random, code: Code) -> bytes:
    lost = draw.choice(list(_content(content)))
    return _archive({key: value for key, value in _content(content).items() if key != lost})


def _foreign(content: bytes, draw: random.Random, code: Code) -> bytes:
    return _archive(draw.choice(([1, 2], {"state_dict": {}}, "text", torch.zeros(3), {"format": FORMAT + 1})))


DAMAGE: tuple[tuple[str, Callable[[bytes, random.Random, Code], bytes]], ...] = (
    ("cut short", _cut),
    ("a bit flipped", _bit),
    ("a block of zeros", _zeros),
    ("a piece lost", _lost),
    ("a piece repeated", _repeated),
    ("something behind its end", _followed),
    ("noise", _noise),
    ("a page of HTML", _page),
    ("code without a checksum", _unsealed),
    ("a pickle of code", _pickled),
    ("code in an archive", _with_code),
    ("a part of the wrong kind", _of_wrong_kind),
    ("a part missing", _incomplete),
    ("another program's archive", _foreign),
)
"""What is done to checkpoints; the last five have right checksums."""


def _content(content: bytes) -> dict[str, Any]:
    return dict(torch.load(io.BytesIO(content), weights_only=True))


def _archive(content: Any, *, is_sealed: bool = True) -> bytes:
    """An archive as torch writes it, with the checksum at its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive.ckpt"
        torch.save(content, path)
        if is_sealed:
            seal(path)
        return path.read_bytes()
