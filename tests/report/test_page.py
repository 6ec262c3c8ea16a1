"""The report of a run: complete, self-contained, safe, small, and possible of any folder."""

from __future__ import annotations

import base64
import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.run_directory import RunDirectory
from framework.export.png import decode_png, encode_png
from framework.report.page import LIMIT, write_report


def embedded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_report_tells_what_the_run_was_and_how_it_ended(make_run: Any, page: Any) -> None:
    path = write_report(make_run())
    shown = page(path)
    assert path.name == "report.html" and list(path.parent.glob(".report*")) == []
    assert shown.texts["h1"] == ["a red cube"] and shown.texts["title"][0] == "a red cube - tiny"
    assert shown.texts["span"][0] == "finished"
    details = dict(zip(shown.texts["dt"], shown.texts["dd"], strict=True))
    assert details["Steps"] == "100 of 100" and details["Time"] == "1 min 23 s" and details["Seed"] == "7"
    assert details["Begun"] == "02 January 2026, 03:04"
    assert {"abc123", "an abacus", "3.11"} <= set(shown.texts["td"])
    assert "max_fraction: {type: linear" in shown.texts["pre"][0]


def test_a_report_holds_all_pictures_and_points_to_nothing_outside(make_run: Any, page: Any) -> None:
    run = make_run()
    text = write_report(run).read_text()
    for path in (*run.images.iterdir(), run.turntable):
        assert embedded(path.read_bytes()) in text
    shown = page(run.report)
    assert [item for item in shown.references() if not item.startswith(("data:", "#"))] == []
    assert not {"iframe", "object", "embed", "form", "base"} & {tag for tag, _ in shown.tags}
    assert "url(http" not in text and "@import" not in text
    # Four sides of the mesh in colour and as normals, and three pictures of the validation in the order of steps.
    labels = [image["alt"] for image in shown.all("img")]
    assert len(labels) == 11 and labels[-3:] == ["views, step 20", "views, step 40", "views, step 100"]
    assert {"front, colour", "side, colour", "back, normals", "top, normals"} <= set(labels)


def test_the_views_of_the_mesh_are_renders_of_the_file(make_run: Any, page: Any) -> None:
    shown = page(write_report(make_run()))
    source = next(image["src"] for image in shown.all("img") if image["alt"] == "top, normals")
    image = decode_png(base64.b64decode(source.partition(",")[2]))
    # From above the top face looks up, blue in the picture, on white.
    assert image[160, 160, 2] > 0.95 and image[160, 160, :2].max() < 0.65
    assert torch.equal(image[0, 0], torch.ones(3))


def test_a_prompt_is_text_whatever_it_contains(make_run: Any, page: Any) -> None:
    nasty = "<script>alert('x')</script> & \"quotes\" {{ 7 * 7 }}"
    shown = page(write_report(make_run(prompt=nasty)))
    assert shown.texts["h1"] == [nasty]
    assert len(shown.all("script")) == 1 and "alert" not in shown.texts["script"][0]


def test_the_only_script_that_may_run_is_the_page_s_own(make_run: Any, page: Any) -> None:
    path = write_report(make_run(mesh=False))
    script = path.read_text().partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in page(path).all("meta") if "http-equiv" in meta]
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_each_meaningful_series_is_one_polyline(make_run: Any, page: Any) -> None:
    shown = page(write_report(make_run(mesh=False)))
    # Gradient norm, sparsity, learning rate, timestep; then the two schedules. Neither the surrogate nor the total.
    assert len(shown.all("polyline")) == 6
    titles = shown.texts["h3"]
    assert titles == [
        "Gradient norm", "Losses, unweighted", "Learning rate", "Timesteps drawn",
        "guidance.main.timesteps", "losses.sparsity",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "reason", "sentence"),
    [
        ("failed", "step 9: the loss of x is not finite.", "step 9: the loss of x is not finite."),
        ("finished", "the field is empty.", "Training is done, but the export failed: the field is empty."),
        ("interrupted", None, "Stopped by the user and saved. Go on with: resume="),
    ],
)
def test_what_went_wrong_is_told(make_run: Any, page: Any, state: Any, reason: str | None, sentence: str) -> None:
    run = make_run(mesh=False)
    run.set_state(state, step=9, reason=reason)
    shown = page(write_report(run))
    assert shown.texts["span"][0] == state and any(text.startswith(sentence) for text in shown.texts["p"])


def test_missing_pieces_are_left_out_with_a_sentence_each(tmp_path: Path, page: Any) -> None:
    empty = RunDirectory(tmp_path / "some" / "thing@20260102-030405")
    empty.root.mkdir(parents=True)
    shown = page(write_report(empty))
    assert shown.texts["h1"] == ["thing@20260102-030405"] and shown.texts["span"] == ["unknown"]
    assert "02 January 2026, 03:04" in shown.texts["dd"]
    assert len(shown.texts["li"]) == 7 and "There are no validation pictures." in shown.texts["li"]
    assert not shown.all("svg") and not shown.all("img") and not shown.all("video")


def test_damaged_files_are_named_and_the_rest_is_shown(
    make_run: Any, page: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run()
    run.metrics.write_bytes(b"\xff\xfe broken")
    run.scores.write_text("{not json")
    run.model.write_bytes(b"glTF")
    (run.images / "views-000040.png").write_bytes(b"\x89PNG cut")
    with caplog.at_level("WARNING"):
        shown = page(write_report(run))
    sentences = " ".join(shown.texts["li"])
    assert "metrics.csv cannot be read" in sentences and "scores.json cannot be read" in sentences
    assert "The mesh cannot be shown" in sentences
    assert "views-000040.png cannot be read and is left out." in shown.texts["p"]
    assert [image["alt"] for image in shown.all("img")] == ["views, step 20", "views, step 100"]
    assert len(caplog.records) == 2 and "metrics.csv" in caplog.text


def test_scores_are_shown_whatever_their_form(make_run: Any, page: Any) -> None:
    run = make_run(mesh=False)
    run.scores.write_text(
        '{"shape_score": 0.857, "views": {"front": {"psnr": 27.25}}, "is_right": true, "name": "<b>"}'
    )
    shown = page(write_report(run))
    assert shown.texts["th"][:4] == ["shape score", "views / front / psnr", "is right", "name"]
    assert shown.texts["td"][:4] == ["0.857", "27.25", "yes", "<b>"]


def noise(side: int, seed: int) -> bytes:
    return encode_png(torch.rand(side, side, 3, generator=torch.Generator().manual_seed(seed)))


def test_large_pictures_are_scaled_to_keep_the_page_small(make_run: Any, page: Any) -> None:
    run = make_run(mesh=False)
    for step in range(3):
        (run.images / f"big-{step:06d}.png").write_bytes(noise(600, step))
    limit = 2_500_000
    assert sum(path.stat().st_size for path in run.images.iterdir()) > limit
    path = write_report(run, limit=limit)
    assert path.stat().st_size <= limit < LIMIT
    shown = page(path)
    assert len(shown.all("img")) == 6 and "encoded as JPEG" in " ".join(shown.texts["p"])


def test_what_is_still_too_large_loses_frames_evenly_but_neither_end(make_run: Any, page: Any) -> None:
    run = make_run(mesh=False)
    for path in run.images.iterdir():
        path.unlink()
    for step in range(12):
        (run.images / f"big-{step:06d}.png").write_bytes(noise(400, step))
    path = write_report(run, limit=900_000)
    assert path.stat().st_size <= 900_000
    shown = page(path)
    steps = [int(image["alt"].rpartition(" ")[2]) for image in shown.all("img")]
    assert 2 < len(steps) < 12 and steps[0] == 0 and steps[-1] == 11
    gaps = [after - before for before, after in pairwise(steps)]
    assert max(gaps) - min(gaps) <= 1
    assert f"{len(steps)} of 12 pictures are shown." in shown.texts["p"]


def test_a_turntable_that_is_too_large_is_named_instead(make_run: Any, page: Any) -> None:
    run = make_run()
    run.turntable.write_bytes(bytes(1_000_000))
    path = write_report(run, limit=900_000)
    assert path.stat().st_size <= 900_000
    assert "turntable.mp4 is too large to stand here (1.0 MB)." in page(path).texts["li"]


def test_a_report_can_be_written_again(make_run: Any) -> None:
    run = make_run(mesh=False)
    assert write_report(run).read_bytes() == write_report(run).read_bytes()
