"""Launching Warp kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("warp", reason="Warp is not installed")

ENCODE = """
import torch
from framework.ops.hash_encoding import HashGridLayout, hash_encoding
layout = HashGridLayout(num_levels=1, features_per_level=1, log2_table_size=8, base_resolution=4)
print(hash_encoding(torch.zeros(1, 3), torch.ones(layout.num_entries, 1), layout, backend="warp").item())
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter's output."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_nothing_but_the_answer_is_printed() -> None:
    finished = run(ENCODE)
    assert finished.stdout == "1.0\n" and finished.stderr == ""


def test_a_cache_folder_that_cannot_be_made_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finished = run(ENCODE, WARP_CACHE_PATH=str(tmp_path / "file"))
    assert finished.stdout == "1.0\n", finished.stderr
