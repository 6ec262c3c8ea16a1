"""A report in a real browser without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from framework.report.page import write_report


def test_a_browser_opens_a_report_offline_without_complaint(make_run: Any, tmp_path: Path) -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: run .ci/install-browser-checks.sh")
    path = write_report(make_run())
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--disable-background-networking",
        "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=2000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in result.stderr.splitlines() if "CONSOLE" in line] == []
    # The script ran: the pictures have become a film that shows the last one.
    assert 'class="film ready"' in result.stdout and 'type="range"' in result.stdout
    assert result.stdout.count('class="tile now"') == 1
