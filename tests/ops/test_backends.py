"""Selection of implementations."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from framework.ops import backends
from framework.ops.backends import IMPLEMENTATIONS, BackendUnavailable, choices, load, select

ENTRY_POINTS = {
    "hash-encoding": ["hash_encoding"],
    "mlp": ["mlp"],
    "ray-sampling": ["sample_occupied"],
    "compositing": ["render_weights", "accumulate"],
    "importance-sampling": ["refine"],
    "mesh-raycasting": ["RayCaster"],
    "rasterization": ["rasterize", "interpolate"],
}


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda package: False)


def test_the_table_is_read_without_importing_torch_or_warp() -> None:
    code = "import sys, framework.ops.backends; sys.exit(bool({'torch', 'warp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("operation", IMPLEMENTATIONS)
def test_every_operation_has_a_torch_implementation_for_any_device(operation: str) -> None:
    assert select(operation, "cpu", "torch").name == "torch"
    assert select(operation, "mps").name == "torch"


@pytest.mark.parametrize("operation", IMPLEMENTATIONS)
def test_every_implementation_offers_the_same_entry_points(operation: str) -> None:
    for implementation in IMPLEMENTATIONS[operation]:
        if implementation.name == "warp":
            pytest.importorskip("warp", reason="Warp is not installed")
        module = load(operation, torch.device("cpu"), implementation.name)
        assert all(callable(getattr(module, name)) for name in ENTRY_POINTS[operation])


@pytest.mark.usefixtures("nothing_installed")
def test_auto_falls_back_to_torch_and_says_why() -> None:
    rows = {row.operation: row for row in choices("cpu", {})}
    assert {row.chosen for row in rows.values()} == {"torch"}
    assert rows["hash-encoding"].passed_over == ("warp: it is not installed (pip install warp-lang)",)


@pytest.mark.usefixtures("nothing_installed")
def test_a_request_that_cannot_be_met_names_what_to_install() -> None:
    with pytest.raises(BackendUnavailable, match=r"hash-encoding: 'warp' .* not installed \(pip install warp-lang\)"):
        select("hash-encoding", torch.device("cpu"), "warp")


def test_a_request_for_a_device_that_the_implementation_does_not_know_is_refused() -> None:
    with pytest.raises(BackendUnavailable, match="does not run on 'mps'"):
        select("compositing", "mps", "warp")


def test_auto_does_not_take_warp_on_cuda_where_it_sees_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_is_installed", lambda package: True)
    monkeypatch.setattr(backends, "_warp_sees_cuda", lambda: False)
    assert select("hash-encoding", torch.device("cuda", 0)).name == "torch"


def test_a_requested_implementation_is_chosen_without_excuses() -> None:
    rows = {row.operation: row for row in choices("cpu", {"compositing": "torch"})}
    assert rows["compositing"].chosen == "torch" and rows["compositing"].passed_over == ()


def test_unknown_names_suggest_the_closest() -> None:
    with pytest.raises(ValueError, match=r"'wrap' is not one of auto, warp, torch\. Did you mean 'warp'\?"):
        select("compositing", "cpu", "wrap")
    with pytest.raises(ValueError, match=r"no operation is called 'hash-encodings'\. Did you mean 'hash-encoding'\?"):
        choices("cpu", {"hash-encodings": "torch"})
