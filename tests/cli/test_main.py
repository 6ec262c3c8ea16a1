"""What `launch.py` answers at once, without importing torch, and the exit status of every kind of fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from framework.cli.main import _with_viewer_port, build_parser, main

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = str(ROOT / "configs" / "dreamfusion.yaml")
REFINE = str(ROOT / "configs" / "refine.yaml")
HEAVY = ("torch", "numpy", "diffusers", "pytorch_lightning", "rich")
LIGHT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from framework.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
print("imported:", [name for name in {HEAVY} if name in sys.modules])
sys.exit(status)
"""


def light(*arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of a command that must import none of `HEAVY`."""
    result = subprocess.run([sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, timeout=60)
    output, _, imported = result.stdout.rpartition("imported: ")
    assert imported == "[]\n", result.stdout + result.stderr
    return result.returncode, output, result.stderr


def test_help_is_shown_without_torch() -> None:
    status, output, _ = light("--help")
    assert status == 0
    for word in (
        "--train",
        "--validate",
        "--test",
        "--export",
        "--report",
        "--verify-prior",
        "--list",
        "--describe",
        "--print-config",
        "--doctor",
    ):
        assert word in output
    for name in ("prompt", "prior", "seed", "output_root", "resume", "trainer.max_steps"):
        assert f"{name}=" in output


def test_listings_and_descriptions_are_shown_without_torch() -> None:
    status, output, _ = light("--list", "geometry")
    assert status == 0 and "density-field" in output and "lambertian" not in output
    status, output, _ = light("--describe", "system/distillation")
    assert status == 0 and "occupancy: settings; default OccupancySettings()" in output


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ([], "name: [a\nseed: 1\n", "error: a.yaml:2:5: not valid YAML: expected ',' or ']', but got ':'.\n"),
        (["sed=1"], None, "error: sed: unknown key 'sed' for RunConfig. Did you mean 'seed'? (command line)\n"),
        (
            ["prior=toybocks"],
            None,
            "error: prior.type: no prior is called 'toybocks'. Did you mean 'toybox'? (command line)\n",
        ),
        (
            ["trainer.max_steps=soon", "seed=x"],
            None,
            "2 problems:\n  seed: expected a whole number, got 'x'. (command line)\n"
            "  trainer.max_steps: expected a whole number, got 'soon'. (command line)\n",
        ),
    ],
)
def test_a_faulty_config_is_one_message_without_torch_and_status_2(
    tmp_path: Path, settings: list[str], text: str | None, expected: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text or "")
    status, output, errors = light("--config", DEFAULT if text is None else str(path), *settings)
    assert (status, output, errors.replace(f"{tmp_path}/", "")) == (2, "", expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "error: --config is missing: name a YAML file, such as --config configs/dreamfusion.yaml."),
        (["--config", "nowhere/a.yaml"], "nowhere/a.yaml: there is no such file."),
        (["--config", DEFAULT, "seed"], "error: 'seed' is neither an option nor a setting such as seed=1. See --help."),
        (["--list", "geometrie"], "error: --list: there is no kind 'geometrie'. Did you mean 'geometry'?"),
        (["--describe", "geometri/x"], "error: --describe: there is no kind 'geometri'. Did you mean 'geometry'?"),
        (["--describe", "prior/toy"], "error: no prior is called 'toy'. Did you mean 'toybox'?"),
        (["--export"], "error: --run is missing"),
        (["--config", DEFAULT, "--run", "x"], "error: --run needs --validate, --test, --export or --report."),
        (["--export", "--run", "nowhere"], "error: nowhere: there is no such run folder."),
        (
            ["--config", DEFAULT, "--from", "a.glb", "mesh=b.glb"],
            "error: --from, mesh= and start_from= mean the same, but name 'a.glb' and 'b.glb'. Give one of them.",
        ),
        (
            ["--config", DEFAULT, "--viewer", "trainer.devices=2"],
            "error: --viewer: what several processes train cannot be watched. Leave it out, or train with one.",
        ),
        (["--config", REFINE, "mesh=nowhere.glb"], "error: start_from: there is no mesh file nowhere.glb."),
        (["--config", DEFAULT, "--without", "x"], "error: --without: neither custom/ nor an installed package"),
        (["--config", DEFAULT, "extensions=[x]"], "error: extensions: neither custom/ nor an installed package"),
        (
            ["--config", DEFAULT, "extensions=x"],
            "error: extensions: expected a list of names, such as [x], got 'x'. (command line)",
        ),
    ],
)
def test_a_fault_of_the_command_line_is_one_message_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert expected in errors and errors.count("error:") == 1 and "Traceback" not in errors


def test_two_actions_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--train", "--export"])
    assert stop.value.code == 2 and "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["mesh=a.glb"], ["--from", "a.glb"], ["start_from=a.glb"], ["mesh=a.glb", "--from", "a.glb"]]
)
def test_what_a_run_starts_from_can_be_named_in_three_ways(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["--config", DEFAULT, "--print-config", *words]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("start_from")]
    assert "a.glb" in line and "command line" in line


def test_settings_may_stand_between_options() -> None:
    assert main(["seed=1", "--config", DEFAULT, "prompt=a b", "--print-config", "trainer.max_steps=3"]) == 0


@pytest.mark.parametrize(
    ("words", "port"),
    [
        ([], None),
        (["--viewer"], 8080),
        (["--viewer", "8090"], 8090),
        (["--viewer=7"], 7),
        (["--viewer", "seed=3"], 8080),
    ],
)
def test_a_viewer_has_a_port_of_its_own_unless_one_is_named(words: list[str], port: int | None) -> None:
    options = build_parser().parse_intermixed_args(_with_viewer_port(["--config", "a.yaml", *words]))
    assert options.viewer == port and options.settings == [word for word in words if "seed" in word]


@pytest.mark.parametrize("words", [["--viewer=70000"], ["--viewer=here"]])
def test_a_port_that_is_none_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--config", "configs/debug/analytic.yaml", *words])
    assert "expected the number of a port, below 65536" in capsys.readouterr().err


def test_a_viewer_without_a_training_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "--run", "nowhere", "--viewer"]) == 2
    assert capsys.readouterr().err == "error: --viewer shows a training, and there is none here. Leave it out.\n"


def test_verbose_shows_where_an_error_comes_from() -> None:
    with pytest.raises(Exception, match="there is no such file"):
        main(["--verbose", "--config", "nowhere/a.yaml"])


def test_every_kind_is_described_by_its_own_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--describe", "prior/toybox"]) == 0
    text = capsys.readouterr().out
    for word in ("snowman", "mushroom", "red", "overhead"):
        assert word in text.split("vocabulary: ")[1]


def test_the_doctor_names_every_operation_and_what_it_will_use(capsys: pytest.CaptureFixture[str]) -> None:
    from framework.ops.backends import IMPLEMENTATIONS

    assert main(["--doctor"]) in (0, 1)
    output = capsys.readouterr().out
    assert all(operation in output for operation in IMPLEMENTATIONS)
    assert "torch" in output and "Operations on 'c" in output
