"""What is known of a prior without its weights is what its weights turn out to be."""

from __future__ import annotations

import shutil

import pytest
import torch

from framework.core.registries import PRIORS
from framework.diffusion.families.names import NAMES, traits_of_name
from framework.diffusion.pretrained import PretrainedPrior
from framework.diffusion.traits import Traits

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["analytic", "oracle", "toybox"])
def test_the_bundled_priors_say_what_they_are_before_they_are_built(name):
    kind = PRIORS.find(name)
    known = kind.traits_of(kind.Config())
    assert known == PRIORS.build(kind.Config(), device=CPU).traits
    assert known.takes_camera and known.has_unet == (name == "toybox")


def test_a_folder_is_judged_by_its_configuration_alone(latent_folder, tmp_path):
    config = PretrainedPrior.Config(model=str(latent_folder))
    loaded = PRIORS.build(config, device=CPU).traits
    assert loaded == Traits(space="latent", has_unet=True)
    without_weights = shutil.copytree(latent_folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors"))
    assert PretrainedPrior.traits_of(PretrainedPrior.Config(model=str(without_weights))) == loaded


def test_short_names_are_known_and_hub_ids_are_not():
    assert all(traits_of_name(name) is not None for name in NAMES)
    assert traits_of_name("deepfloyd-if").space == "pixel" and traits_of_name("sdxl").space == "latent"
    assert [name for name in NAMES if traits_of_name(name).takes_image] == ["instruct-pix2pix"]
    assert PretrainedPrior.traits_of(PretrainedPrior.Config(model="somebody/something")) is None
