"""`--verify-prior` and what `--list prior` makes of its records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from framework.cli.inspect import list_components
from framework.cli.main import main
from framework.diffusion.toybox import bundled_folder
from framework.systems import verification


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled prior that may be damaged."""
    return shutil.copytree(bundled_folder(), tmp_path / "prior")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of distillation and one noise level, for tests that look at something else."""
    monkeypatch.setattr(verification, "NUM_STEPS", 2)
    monkeypatch.setattr(verification, "FRACTIONS", (0.7,))


def verify(output: Path, *settings: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the record."""
    status = main(["--verify-prior", "toybox", f"output={output}", *settings])
    return status, json.loads((output / "verified-toybox.json").read_text(encoding="utf-8"))


def change_weights(folder: Path, change: Any) -> None:
    (path,) = (folder / "unet").glob("*.safetensors")
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_the_bundled_prior_passes_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, record = verify(tmp_path / "out")
    assert status == 0 and record["passed"] and record["model"] == "toybox"
    assert list(record["checks"]) == list(verification.CHECKS)
    assert all(check["passed"] and check["seconds"] > 0.0 for check in record["checks"].values())
    assert record["made_by"]["versions"]["diffusers"] and record["made_by"]["machine"] and record["device"]
    figures = {name: check["figures"] for name, check in record["checks"].items()}
    assert figures["weights"]["unet"]["tensors"] > 100
    assert figures["sampling"]["max_abs_difference"] < 1e-3
    assert figures["captions"]["right"] < figures["captions"]["wrong"] < 1.0
    assert figures["distillation"]["end"]["evidence"] > figures["distillation"]["start"]["evidence"]
    with Image.open(tmp_path / "out" / figures["distillation"]["picture"]) as picture:
        assert picture.size == (64, 64) and len(picture.getcolors(64 * 64) or []) > 100
    output = capsys.readouterr().out
    assert "Verification of toybox" in output and "verified-toybox.json" in output and "failed" not in output
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_missing_weight_fails_by_name(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_weights(folder, lambda tensors: tensors.pop("conv_in.weight"))
    status, record = verify(tmp_path / "out", f"folder={folder}")
    assert status == 1 and not record["passed"]
    checks = record["checks"]
    assert checks["weights"]["summary"] == "unet: 1 missing (conv_in.weight)"
    assert checks["captions"]["passed"] is False
    assert "the model cannot be loaded" in checks["captions"]["summary"]
    assert "weights: unet: 1 missing (conv_in.weight)" in capsys.readouterr().out


def test_a_weight_too_many_fails_by_name_and_the_other_checks_are_made(
    folder: Path, tmp_path: Path, short: None
) -> None:
    change_weights(folder, lambda tensors: tensors.update({"adapter.weight": torch.zeros(2)}))
    status, record = verify(tmp_path / "out", f"folder={folder}")
    assert status == 1
    assert record["checks"]["weights"]["summary"] == "unet: 1 left over (adapter.weight)"
    assert record["checks"]["sampling"]["passed"] and record["checks"]["captions"]["passed"]


def test_a_scheduler_of_another_model_fails_by_what_the_model_knows_of_pictures(
    folder: Path, tmp_path: Path, short: None
) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "epsilon"}))
    status, record = verify(tmp_path / "out", f"folder={folder}")
    assert status == 1
    captions = record["checks"]["captions"]
    assert captions["passed"] is False and captions["figures"]["right"] > 1.0
    assert "the output does not mean what the scheduler's config says" in captions["summary"]
    assert record["checks"]["weights"]["passed"]


def test_an_error_of_a_library_is_a_check_that_failed(
    tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*positional: Any, **named: Any) -> None:
        raise RuntimeError("something\ninside")

    monkeypatch.setattr(verification, "reference_sample", fail)
    monkeypatch.setattr(verification, "check_captions", lambda prior, seed: verification.Check("captions", True, ""))
    status, record = verify(tmp_path / "out")
    assert status == 1
    assert record["checks"]["sampling"]["summary"] == "RuntimeError: something inside"
    assert record["checks"]["captions"]["passed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toybx"], "there is no prior, no folder and no short name 'toybx'. Did you mean 'toybox'?"),
        (["sdxll"], "Did you mean 'sdxl'?"),
        (["oracle"], "--verify-prior oracle: names no weights. Name a folder, a hub id, toybox, or one of"),
        (["/nowhere/model"], "There is no model folder at '/nowhere/model'."),
        (["toybox", "dtyp=float16"], "prior.dtyp: unknown key 'dtyp'"),
        (["toybox", "folder=nowhere"], "There is no model folder at 'nowhere'"),
    ],
)
def test_what_cannot_be_verified_is_one_message(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--verify-prior", *arguments, f"output={tmp_path}"]) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("error:") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_written_is_told_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--verify-prior", "toybox", f"output={tmp_path}/file"]) == 2
    assert "error: output: cannot write to" in capsys.readouterr().err


def test_the_list_says_how_far_each_model_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, passed in (("sdxl", True), ("flux.1-dev", False)):
        record = {"model": name, "passed": passed, "date": "2026-01-02"}
        (tmp_path / f"verified-{name}.json").write_text(json.dumps(record))
    assert list_components("prior", records=tmp_path) == 0
    lines = {line.split()[0]: line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")}
    assert lines["sdxl"].endswith("structure checked; replay checked; verified with weights, 2026-01-02")
    assert lines["flux.1-dev"].endswith("replay checked; weights failed verification, 2026-01-02")
    assert lines["sd3-medium"].endswith("structure checked; replay checked; not verified with weights")
    assert "structure checked to the published 4.3 billion" in lines["deepfloyd-if"]


def test_a_model_that_some_checks_do_not_apply_to_is_not_verified_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [verification.Check("weights", True, ""), verification.Check("sampling", None, "not applicable")]
    monkeypatch.setattr(verification, "verify", lambda *positional, **named: checks)
    status, record = verify(tmp_path / "out")
    assert status == 0 and record["passed"] is None
