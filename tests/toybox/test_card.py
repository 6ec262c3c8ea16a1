"""The shipped weights belong to the scenes, views and captions as they are now."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from framework.core.registries import CONDITIONERS, STREAMS
from framework.diffusion.toybox import bundled_folder, read_card
from framework.toybox.batches import CaptionDistribution
from framework.toybox.captions import BACK_AZIMUTH_DEG, FRONT_AZIMUTH_DEG, OVERHEAD_ELEVATION_DEG, VOCABULARY
from framework.toybox.reference import reference_digest
from framework.toybox.views import ViewDistribution

MIB = 2**20


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return read_card(bundled_folder())


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


def test_scenes_look_as_they_did_when_the_weights_were_trained(card: dict[str, Any]) -> None:
    assert card["reference_renders"] == reference_digest()


def test_views_captions_and_words_are_those_of_the_training(card: dict[str, Any]) -> None:
    assert card["views"] == plain(asdict(ViewDistribution()))
    assert card["captions"] == plain(asdict(CaptionDistribution()))
    assert card["vocabulary"] == list(VOCABULARY)
    assert card["view_words"] == {
        "front_deg": FRONT_AZIMUTH_DEG,
        "back_deg": BACK_AZIMUTH_DEG,
        "overhead_deg": OVERHEAD_ELEVATION_DEG,
    }


def test_random_views_and_view_words_default_to_those_of_the_card(card: dict[str, Any]) -> None:
    stream = STREAMS.find("random-views").Config()
    same = ("azimuth_range_deg", "elevation_range_deg", "framing_range", "fov_y_range_deg", "light_spread")
    for name in (*same, "light_distance_range", "ambient_range"):
        assert plain(getattr(stream, name)) == card["views"][name], name
    assert stream.ambient_only_probability.bounds() == (card["views"]["albedo_share"],) * 2

    words = CONDITIONERS.find("view-dependent").Config()
    thresholds = words.front_threshold_deg, words.back_threshold_deg, words.overhead_threshold_deg
    assert thresholds == tuple(card["view_words"][name] for name in ("front_deg", "back_deg", "overhead_deg"))


def test_the_card_tells_how_often_samples_show_the_right_object(card: dict[str, Any]) -> None:
    assert card["quality"]["prompts"] == 200 and 0.0 <= card["quality"]["right"] <= 1.0
    assert card["made_by"]["machine"] and card["recipe"]["system"]["type"] == "diffusion-training"


def test_the_weights_stay_small_and_free_of_pickles() -> None:
    files = [path for path in bundled_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16 * MIB
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}
