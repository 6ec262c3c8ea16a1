"""Runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from framework.report.comparison import write_comparison
from framework.report.page import write_report


def test_a_comparison_shows_each_run_and_links_its_report(make_run: Any, page: Any, tmp_path: Path) -> None:
    solid = make_run()
    solid.scores.write_text('{"shape_score": 0.857, "views": {"front": 27.2}}')
    flat = make_run(prompt="<i>flat</i>", name="odd #1? 100%@20260102-030406", mesh=False)
    bare = make_run(prompt="bare", name="bare@20260102-030407", mesh=False)
    bare.set_state("failed", step=3, reason="it broke.")
    for path in bare.images.iterdir():
        path.unlink()
    write_report(solid), write_report(flat)

    target = tmp_path / "pages" / "all.html"
    assert write_comparison([solid, flat, bare], target, title="Three runs") == target
    shown = page(target)
    assert shown.texts["h1"] == ["Three runs"]
    assert shown.texts["a"] == ["a red cube", "<i>flat</i>"] and shown.texts["h2"] == ["bare"]
    links = [link["href"] for link in shown.all("a")]
    assert [(target.parent / unquote(link)).resolve() for link in links] == [solid.report, flat.report]
    assert [item for item in shown.references() if not item.startswith("data:")] == links
    assert [image["alt"] for image in shown.all("img")] == [
        "a red cube, front, colour", "a red cube, back, colour", "<i>flat</i>, step 100"
    ]  # fmt: skip
    assert shown.texts["dd"][:2] == ["0.857", "1 min 23 s"] and "27.2" not in shown.texts["dd"]
    assert "it broke." in shown.texts["p"] and "no pictures" in shown.texts["p"]


def test_nothing_to_compare_is_said(page: Any, tmp_path: Path) -> None:
    assert "There are no runs to show." in page(write_comparison([], tmp_path / "none.html")).texts["p"]
