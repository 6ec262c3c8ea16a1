"""The network's answers, and the opinion that is made of them."""

from __future__ import annotations

import torch

from framework.toybox.captions import parse_scene
from framework.toybox.judge.labels import CHOICES, answers
from framework.toybox.judge.network import Judge, Opinion


def opinion_of(prompt: str | None) -> Opinion:
    """Of a judge who sees exactly this."""
    right = answers(None if prompt is None else parse_scene(prompt))
    values = {}
    for question, options in CHOICES.items():
        probability = torch.full((len(options),), 0.01)
        probability[options.index(right[question]) if question in right else 0] = 0.9
        values[question] = probability.log()
    return Opinion(values)


def test_the_network_gives_log_probabilities_for_every_question() -> None:
    judge = Judge((8, 8, 16, 16))
    answers_of = judge(torch.rand(3, 64, 64, 3))
    assert {name: tuple(value.shape) for name, value in answers_of.items()} == {
        name: (3, len(options)) for name, options in CHOICES.items()
    }
    for value in answers_of.values():
        torch.testing.assert_close(value.exp().sum(dim=-1), torch.ones(3))


def test_an_opinion_averages_log_probabilities_over_views() -> None:
    judge, views = Judge((8, 8, 16, 16)), torch.rand(2, 64, 64, 3)
    expected = {name: value.mean(dim=0) for name, value in judge(views).items()}
    for name, value in judge.opinion(views).log_probabilities.items():
        torch.testing.assert_close(value, expected[name])


def test_an_opinion_names_what_it_saw() -> None:
    for prompt in ("a red cube", "a snowman", "a red cone on top of a blue cube"):
        assert opinion_of(prompt).seen == parse_scene(prompt)
    assert opinion_of(None).seen is None and opinion_of(None).is_rejected


def test_objects_their_order_and_colors_must_all_be_right() -> None:
    opinion = opinion_of("a red cone on top of a blue cube")
    assert opinion.has_objects_of(parse_scene("a red cone on top of a blue cube, front view"))
    assert opinion.has_colors_of(parse_scene("a cone on top of a cube"))
    for wrong in ("a cone", "a cube on top of a cube", "a cone next to a cube", "a cone on top of a sphere"):
        assert not opinion.has_objects_of(parse_scene(wrong)), wrong
    assert not opinion.has_colors_of(parse_scene("a blue cone on top of a red cube"))
    assert not opinion.has_colors_of(parse_scene("a red cone on top of a red cube"))


def test_a_rejected_object_is_nothing() -> None:
    opinion = opinion_of(None)
    assert not opinion.has_objects_of(parse_scene("a red cube"))
    assert not opinion.has_objects_of(parse_scene("a car"))


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = (Judge((8, 8, 16, 16), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["body.0.weight"], other["body.0.weight"])


def test_each_question_looks_where_its_own_weights_say() -> None:
    judge, images = Judge((8, 8, 16, 16)), torch.rand(2, 64, 64, 3)
    everywhere = judge(images)
    features = judge.body((2.0 * images - 1.0).permute(0, 3, 1, 2))
    mean = judge.heads["first"](features.mean(dim=(2, 3))).log_softmax(dim=-1)
    torch.testing.assert_close(everywhere["first"], mean)

    with torch.no_grad():
        judge.gaze.weight[list(CHOICES).index("second")] = torch.randn(16, 1, 1)
    elsewhere = judge(images)
    changed = [name for name in CHOICES if not torch.allclose(elsewhere[name], everywhere[name])]
    assert changed == ["second"]
