"""How far models are verified is stated once; listings and the documentation say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from framework.diffusion.families.names import NAMES
from framework.diffusion.families.support import RECORDS, SUPPORT, is_verified, read_records, record_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "verified-models.md"


def table() -> dict[str, list[str]]:
    """Rows of the page's table of families by their first cell."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header = next(index for index, row in enumerate(rows) if row[-1] == "verified with weights")
    return {row[0]: row[1:] for row in rows[header + 2 :]}


def test_every_short_name_belongs_to_one_family() -> None:
    listed = [model for family in SUPPORT for model in family.models]
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.parametrize("family", SUPPORT, ids=lambda family: family.title)
def test_the_page_says_of_each_family_what_stands_here(family) -> None:
    names, structure, replay, verified = table()[family.title]
    assert tuple(re.findall(r"`([^`]+)`", names)) == family.models
    assert structure == family.structure
    assert replay == family.replay
    records = read_records(ROOT / RECORDS)
    with_weights = [model for model in family.models if is_verified(model, records)]
    expected = (
        "no" if not with_weights else "yes" if len(with_weights) == len(family.models) else ", ".join(with_weights)
    )
    assert verified == expected, f"the records in {RECORDS}/ verify: {expected}"


def test_the_page_claims_no_verification_that_has_no_record() -> None:
    known = {family.title for family in SUPPORT}
    assert {title: row[-1] for title, row in table().items() if title not in known and row[-1] != "no"} == {}


def write(folder: Path, name: str, **record: object) -> None:
    (folder / f"verified-{name}.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_record_belongs_to_a_short_name_and_to_the_repositories_that_it_stands_for(tmp_path: Path) -> None:
    write(tmp_path, "a", model="sdxl", passed=True)
    write(tmp_path, "b", model="black-forest-labs/FLUX.1-dev", repository="black-forest-labs/FLUX.1-dev", passed=False)
    write(tmp_path, "c", model="/home/me/sd3-medium", repository=None, passed=True)
    (tmp_path / "verified-d.json").write_text("{", encoding="utf-8")
    records = read_records(tmp_path)
    assert len(records) == 3
    assert is_verified("sdxl", records)
    assert record_of("flux.1-dev", records) is not None and not is_verified("flux.1-dev", records)
    assert record_of("sd3-medium", records) is None  # A folder of that name may hold anything.


def test_a_record_that_passed_counts_before_one_that_failed(tmp_path: Path) -> None:
    write(tmp_path, "a", model="sdxl", passed=False)
    write(tmp_path, "b", model="stabilityai/stable-diffusion-xl-base-1.0", passed=True)
    assert is_verified("sdxl", read_records(tmp_path))


def test_no_folder_is_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "nowhere") == []


def test_it_is_known_without_torch() -> None:
    code = "import sys, framework.diffusion.families.support; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout == "False\n", result.stdout + result.stderr
