from __future__ import annotations

import re
import shutil

import huggingface_hub
import pytest
import torch
from httpx import Request, Response
from huggingface_hub.errors import GatedRepoError

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.names import NAMES, HubModel, repositories
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")
SD15 = "stable-diffusion-1.5"


class Hub:
    """Stands for the hub: holds one model, in some repositories."""

    def __init__(self, folder, held=()):
        self.folder = folder
        self.held = held
        self.asked = []

    def snapshot_download(self, model, *, revision, allow_patterns, ignore_patterns, local_files_only):
        self.asked.append((model, revision, local_files_only))
        if model not in self.held:
            raise OSError(f"nothing at {model}\nmore lines")
        return str(self.folder)


@pytest.fixture
def hub(latent_folder, monkeypatch):
    stand_in = Hub(latent_folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in.snapshot_download)
    return stand_in


def _load(model, **options):
    return PretrainedPrior(PretrainedPrior.Config(model=model, **options), device=CPU)


def test_names_look_like_no_path_and_repositories_like_hub_ids():
    for name, known in NAMES.items():
        assert re.fullmatch(r"[a-z0-9.-]+", name)
        assert known
        for repository in known:
            assert repository.id.count("/") == 1
            assert repository.revision is None or re.fullmatch(r"[0-9a-f]{40}", repository.revision)


def test_no_repository_is_one_that_is_gone():
    ids = [repository.id for known in NAMES.values() for repository in known]
    assert len(ids) == len(set(ids))
    assert not [name for name in ids if name.startswith(("stabilityai/stable-diffusion-2", "runwayml/"))]


def test_what_is_no_name_is_a_hub_id():
    assert repositories("someone/model", revision="v2") == (HubModel("someone/model", "v2"),)


def test_a_stated_revision_takes_the_place_of_the_pinned_one():
    assert {entry.revision for entry in repositories(SD15, revision="fp16")} == {"fp16"}


def test_the_first_repository_is_asked_alone_if_it_answers(hub):
    hub.held = [entry.id for entry in NAMES[SD15]]
    assert _load(SD15).sample_shape == (4, 8, 8)
    assert hub.asked == [(NAMES[SD15][0].id, NAMES[SD15][0].revision, False)]


def test_the_next_is_asked_if_it_does_not_and_that_is_told(hub, caplog):
    first, second = NAMES[SD15]
    hub.held = [second.id]
    folder = ModelFolder.open(SD15)
    assert folder.repository == second.id
    assert [model for model, _, _ in hub.asked] == [first.id, second.id]
    assert f"could not be had from {first.id}; {second.id} is used instead" in caplog.text


def test_if_none_answers_the_error_names_all_of_them_and_the_alternatives(hub):
    first, second = (re.escape(entry.id) for entry in NAMES[SD15])
    message = rf"{first}: nothing at {first}; {second}: nothing at {second}.*flux.1-schnell.*prior: toybox"
    with pytest.raises(UserError, match=message):
        _load(SD15)


def test_a_gated_model_says_where_its_terms_are(monkeypatch):
    def refuse(model, **options):
        response = Response(403, request=Request("GET", "https://huggingface.co"))
        raise GatedRepoError("403 Client Error", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=r"it is gated. .*huggingface.co/black-forest-labs/FLUX.1-dev and .*hf auth"):
        _load("flux.1-dev")


def test_files_on_this_machine_are_asked_for_alone_where_that_is_wanted(hub):
    with pytest.raises(UserError, match="'someone/model' was not downloaded to this machine before"):
        _load("someone/model", local_files_only=True)
    assert hub.asked == [("someone/model", None, True)]


def test_a_name_means_the_same_where_a_folder_is_called_so(hub, latent_folder, tmp_path, monkeypatch):
    shutil.copytree(latent_folder, tmp_path / "sdxl")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nothing at stabilityai"):
        _load("sdxl")
    assert ModelFolder.open("./sdxl").repository is None


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(UserError, match=r"no model folder at 'sd15'.*stable-diffusion-1.5, stable-diffusion-2.1-base"):
        _load("sd15")
