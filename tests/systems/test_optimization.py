"""Parameter groups by path, and learning rates by step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from framework.core.errors import ConfigError
from framework.core.schedule import Constant, parse_schedule
from framework.core.step import StepInfo
from framework.systems.optimization import (
    Adam,
    ParameterGroup,
    check_scene_paths,
    config_path,
    freeze,
    group_parameters,
)


def a_system(scenes: int = 1) -> nn.Module:
    """Modules named as in a distillation."""

    def scene() -> nn.Module:
        geometry = nn.ModuleDict({"encoding": nn.Linear(1, 1, bias=False), "mlp": nn.Linear(1, 1, bias=False)})
        return nn.ModuleDict({"geometry": geometry, "background": nn.Linear(1, 1, bias=False)})

    system = nn.Module()
    system.scenes = nn.ModuleList([scene() for _ in range(scenes)])
    return system


def names(system: nn.Module, *paths: str) -> dict[str, list[str]]:
    known = {id(parameter): name for name, parameter in system.named_parameters()}
    groups = group_parameters(system, paths)
    return {path: [known[id(parameter)] for parameter in group] for path, group in groups.items()}


def message(*paths: str) -> str:
    with pytest.raises(ConfigError) as caught:
        group_parameters(a_system(), paths)
    return str(caught.value)


def test_a_path_covers_all_below_it_in_every_scene() -> None:
    assert names(a_system(2), "scene.geometry", "scene.background") == {
        "scene.geometry": [
            "scenes.0.geometry.encoding.weight",
            "scenes.0.geometry.mlp.weight",
            "scenes.1.geometry.encoding.weight",
            "scenes.1.geometry.mlp.weight",
        ],
        "scene.background": ["scenes.0.background.weight", "scenes.1.background.weight"],
    }


def test_of_several_paths_the_longest_has_the_parameter() -> None:
    assert names(a_system(), "scene", "scene.geometry.mlp", "scene.geometry") == {
        "scene": ["scenes.0.background.weight"],
        "scene.geometry.mlp": ["scenes.0.geometry.mlp.weight"],
        "scene.geometry": ["scenes.0.geometry.encoding.weight"],
    }


def test_a_path_matches_whole_names_only() -> None:
    assert "system.optimizer.parameters.scene.geo: matches no trainable parameter." in message("scene.geo", "scene")


def test_a_path_that_matches_nothing_is_an_error_with_the_closest() -> None:
    assert message("scene", "scene.geometri") == (
        "system.optimizer.parameters.scene.geometri: matches no trainable parameter. Did you mean 'scene.geometry'?"
    )


def test_a_trainable_parameter_in_no_group_is_an_error() -> None:
    assert message("scene.geometry") == (
        "system.optimizer.parameters: 'scene.background.weight' would not be trained: no path covers it. "
        "Add one, such as 'scene.background'."
    )


def test_frozen_parameters_need_no_group() -> None:
    system = a_system()
    system.scenes[0]["background"].requires_grad_(False)
    assert list(names(system, "scene.geometry")) == ["scene.geometry"]


def test_a_group_of_frozen_parameters_is_idle() -> None:
    system = a_system(scenes=2)
    freeze(system, ["scene.background", "scene.geometry.mlp"])

    groups = names(system, "scene.geometry", "scene.background")

    assert groups == {"scene.geometry": ["scenes.0.geometry.encoding.weight", "scenes.1.geometry.encoding.weight"]}


def test_freezing_what_is_not_there_is_an_error_with_the_closest() -> None:
    with pytest.raises(ConfigError) as caught:
        freeze(a_system(), ["scene.geometry", "scene.backgroud"])
    assert str(caught.value) == "freeze: 'scene.backgroud' matches no parameter. Did you mean 'scene.background'?"


def test_configs_call_the_parameters_of_all_scenes_by_one_name() -> None:
    assert config_path("scenes.12.geometry.table") == "scene.geometry.table"
    assert config_path("guidance.main.scenes.0.x") == "guidance.main.scenes.0.x"


def test_learning_rates_follow_their_schedules() -> None:
    schedule = parse_schedule({"type": "linear", "from": 0, "to": 1, "between": [0, 10]})
    groups = {
        "scene.geometry": ParameterGroup(learning_rate=schedule),
        "scene.background": ParameterGroup(learning_rate=Constant(0.5)),
    }
    settings = Adam(Adam.Config(parameters=groups, betas=(0.5, 0.6), epsilon=1e-3))
    optimizer = settings.build(a_system())
    for step, rate in ((0, 0.0), (5, 0.5), (20, 1.0)):
        rates = settings.set_learning_rates(optimizer, StepInfo(step, 100))
        assert rates == {"scene.geometry": rate, "scene.background": 0.5}
        assert {group["name"]: group["lr"] for group in optimizer.param_groups} == rates
    assert isinstance(optimizer, torch.optim.Adam)
    assert {(group["betas"], group["eps"]) for group in optimizer.param_groups} == {((0.5, 0.6), 1e-3)}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("betas", (0.9, 1.0), "betas must lie in [0, 1), got 0.9 and 1."),
        ("epsilon", -1.0, "epsilon must not be negative, got -1."),
    ],
)
def test_values_that_no_optimizer_takes_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Adam.Config(parameters={}, **{field: value})
    assert str(caught.value) == message


def test_a_negative_learning_rate_is_refused_wherever_the_schedule_reaches_it() -> None:
    with pytest.raises(ValueError, match=r"learning_rate must not be negative, got -0.1"):
        ParameterGroup(learning_rate=parse_schedule({"type": "linear", "from": 1, "to": -0.1}))


@pytest.mark.parametrize(
    ("paths", "frozen", "problem"),
    [
        (["scene.geometry", "scene.background", "guidance.main"], [], None),
        (["scene.geometry"], ["scene.background", "guidance.main.adapter"], None),
        (["scene.geometry"], [], "'scene.background.weight' would not be trained"),
        (["scene", "guidance.min"], [], "system.optimizer.parameters.guidance.min: matches no trainable parameter."),
        (["scene", "scene.geometri"], [], "Did you mean 'scene.geometry'?"),
        (["scene"], ["scene.geometri"], "freeze: 'scene.geometri' matches no parameter."),
    ],
)
def test_paths_of_scenes_are_checked_before_there_are_guidances(
    paths: list[str], frozen: list[str], problem: str | None
) -> None:
    system = a_system()
    if problem is None:
        check_scene_paths(system, paths, frozen=frozen, terms=["main"])
        assert [not p.requires_grad for p in system.parameters()] == [False, False, bool(frozen)]
        return
    with pytest.raises(ConfigError) as caught:
        check_scene_paths(system, paths, frozen=frozen, terms=["main"])
    assert problem in str(caught.value)
