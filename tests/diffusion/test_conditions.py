from __future__ import annotations

import pytest
import torch

from framework.diffusion.conditions import Conditions, PromptIndex
from framework.diffusion.families.text import HiddenStates


def test_indexing_with_a_table_of_prompts_stacks_conditions_before_samples():
    embedding = HiddenStates(torch.arange(3.0)[:, None, None].expand(3, 2, 4))
    stacked = embedding[torch.tensor([[0, 1], [2, 2]])]
    assert stacked.states.shape == (2, 2, 2, 4)
    assert stacked.states[:, :, 0, 0].tolist() == [[0.0, 1.0], [2.0, 2.0]]
    assert stacked.flatten().states[:, 0, 0].tolist() == [0.0, 1.0, 2.0, 2.0]


def test_lerp_goes_from_the_first_embedding_to_the_other():
    first, other = HiddenStates(torch.zeros(2, 3, 1)), HiddenStates(torch.ones(2, 3, 1))
    assert first.lerp(other, torch.tensor([0.0, 0.25])).states[:, 0, 0].tolist() == [0.0, 0.25]


def test_there_is_nothing_between_two_numbers_of_prompts():
    index = PromptIndex(torch.tensor([0]))
    with pytest.raises(ValueError, match="'index' cannot be interpolated"):
        index.lerp(index, torch.tensor([0.5]))


def test_rows_select_conditions_and_their_cameras(views):
    text = PromptIndex(torch.tensor([[0, 1], [2, 2]]))
    present = torch.tensor([[True, True], [False, False]])
    conditions = Conditions(text, torch.ones(2, 2), views, present)
    chosen = conditions.rows([1])
    assert chosen.num_conditions == 1
    assert chosen.text.index.tolist() == [[2, 2]]
    assert not chosen.camera_present.any()


def test_conditions_refuse_cameras_without_views_and_views_of_other_samples(views):
    text = PromptIndex(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="need the views"):
        Conditions(text, torch.ones(1, 3), None, torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="3 samples came with 2 views"):
        Conditions(text, torch.ones(1, 3), views)


def test_images_belong_to_the_samples_and_are_shown_in_all_rows_but_those_that_hide_them():
    text, image = PromptIndex(torch.tensor([[0, 1], [2, 2]])), torch.full((2, 4, 4, 3), 0.5)
    conditions = Conditions(text, torch.ones(2, 2)).showing(image, image[:, :2])
    assert conditions.image is image and conditions.image_present is None and conditions.control.shape == (2, 2, 4, 3)
    assert conditions.rows([1]).image is image and conditions.rows([1]).control is conditions.control
    hidden = conditions.rows([0, 1, 1]).hiding_image([2])
    assert hidden.image_present.tolist() == [[True, True], [True, True], [False, False]]
    assert hidden.rows([2, 0]).image_present[:, 0].tolist() == [False, True]
    others = Conditions(text[[1]], torch.ones(1, 2))
    assert hidden.joined(others).image_present[:, 1].tolist() == [True, True, False, True]
    assert conditions.joined(others).image is image and conditions.joined(others).image_present is None
    assert others.hiding_image([0]).image_present is None


def test_conditions_refuse_images_of_other_samples():
    text, image = PromptIndex(torch.zeros(1, 3, dtype=torch.long)), torch.full((2, 4, 4, 3), 0.5)
    for name, settings in (("images to edit", {"image": image}), ("control images", {"control": image})):
        with pytest.raises(ValueError, match=f"3 samples came with 2 {name}"):
            Conditions(text, torch.ones(1, 3), **settings)
    with pytest.raises(ValueError, match="need the image"):
        Conditions(text, torch.ones(1, 3), image_present=torch.ones(1, 3, dtype=torch.bool))
