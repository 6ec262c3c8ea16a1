from __future__ import annotations

import json
import shutil

import pytest
import torch

from framework.core.errors import UserError
from framework.diffusion.toybox import ToyboxPrior, words_of

CPU = torch.device("cpu")


@pytest.fixture
def folder(pixel_folder, tmp_path):
    """Weights of the kind that come with the package, with a card."""
    copy = shutil.copytree(pixel_folder, tmp_path / "prior")
    (copy / "card.json").write_text(json.dumps({"vocabulary": ["a", "red", "cube"]}))
    return copy


def _load(folder):
    return ToyboxPrior(ToyboxPrior.Config(folder=str(folder)), device=CPU)


def test_weights_with_their_card_load(folder):
    prior = _load(folder)
    assert prior.card["vocabulary"] == ["a", "red", "cube"]
    assert prior.takes_camera
    assert prior.sample_shape == (3, 16, 16)


def test_unknown_words_are_listed_once_in_order(folder):
    assert _load(folder).unknown_words("A Zebra, a red zebra on a CUBE.") == ["zebra", "on"]
    assert words_of("A red cube, front view.") == ["a", "red", "cube", "front", "view"]


def test_missing_weights_say_how_to_get_them_or_do_without(tmp_path):
    with pytest.raises(UserError, match=r"configs/toybox/prior.yaml.*'prior: oracle'"):
        _load(tmp_path)


def test_missing_or_broken_cards_are_reported(folder):
    (folder / "card.json").write_text("{}")
    with pytest.raises(UserError, match="does not list the vocabulary"):
        _load(folder)
    (folder / "card.json").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        _load(folder)
