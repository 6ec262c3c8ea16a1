from __future__ import annotations

import gc
import weakref

import torch

from framework.diffusion.analytic import AnalyticPrior
from framework.diffusion.prior import load_prior

CPU = torch.device("cpu")


def test_equal_configs_share_one_prior_and_others_do_not():
    first = load_prior(AnalyticPrior.Config(radius=0.51), CPU)
    assert load_prior(AnalyticPrior.Config(radius=0.51), CPU) is first
    assert load_prior(AnalyticPrior.Config(radius=0.52), CPU) is not first


def test_a_prior_that_nobody_uses_is_freed():
    prior = load_prior(AnalyticPrior.Config(radius=0.53), CPU)
    alive = weakref.ref(prior)
    del prior
    gc.collect()
    assert alive() is None


def test_a_prior_held_by_a_module_is_no_part_of_its_state():
    module = torch.nn.Module()
    module.prior = load_prior(AnalyticPrior.Config(), CPU)
    assert not module.state_dict()
    assert not list(module.parameters())


def test_the_null_condition_is_one_row_without_a_camera():
    conditions = load_prior(AnalyticPrior.Config(), CPU).null_conditions(3)
    assert conditions.weights.shape == (1, 3)
    assert conditions.camera_present is None
