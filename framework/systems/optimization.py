"""Optimizers and their parameter groups, named by dotted paths of the system's modules.

`scene.geometry` covers all parameters below it, in every scene; where several paths cover a parameter the longest one
has it. A path that covers nothing and a trainable parameter that no path covers are errors.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from framework.core.component import Component
from framework.core.errors import ConfigError, Problem, did_you_mean
from framework.core.registries import OPTIMIZERS
from framework.core.schedule import Schedule
from framework.core.step import StepInfo


@dataclass(kw_only=True, frozen=True)
class ParameterGroup:
    """Settings of the parameters below one path."""

    learning_rate: Schedule
    """Step size, as a number or a schedule."""

    def __post_init__(self) -> None:
        if self.learning_rate.bounds()[0] < 0.0:
            raise ValueError(f"learning_rate must not be negative, got {self.learning_rate.bounds()[0]:g}.")


class Optimizer(Component, ABC):
    """Turns named parameters into a torch optimizer and sets its learning rates by the step."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        parameters: dict[str, ParameterGroup]
        """Settings by dotted path, such as scene.geometry."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def build(self, system: nn.Module) -> torch.optim.Optimizer:
        """The torch optimizer of `system`, one parameter group for each configured path.

        Raises:
            ConfigError: If a path covers nothing or a trainable parameter is in no group.
        """
        groups = group_parameters(system, self.config.parameters)
        return self.create([{"params": parameters, "name": path, "lr": 0.0} for path, parameters in groups.items()])

    @abstractmethod
    def create(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch optimizer of parameter groups."""

    def set_learning_rates(self, optimizer: torch.optim.Optimizer, step: StepInfo) -> dict[str, float]:
        """Set every group's learning rate for `step`; returned by path."""
        rates = {path: group.learning_rate(step) for path, group in self.config.parameters.items()}
        for group in optimizer.param_groups:
            group["lr"] = rates[group["name"]]
        return rates


def config_path(name: str) -> str:
    """How configs call a parameter: `scenes.0.geometry.table` is `scene.geometry.table`."""
    return re.sub(r"^scenes\.\d+\.", "scene.", name)


def freeze(system: nn.Module, paths: Sequence[str]) -> None:
    """Keep the parameters below each of `paths` as they are.

    Raises:
        ConfigError: If a path covers no parameter.
    """
    names = {name: _prefixes(config_path(name)) for name, _ in system.named_parameters()}
    known = frozenset().union(*names.values())
    problems = [
        Problem("freeze", f"'{path}' matches no parameter.{did_you_mean(path, known)}")
        for path in paths
        if path not in known
    ]
    if problems:
        raise ConfigError(problems)
    frozen = set(paths)
    for name, parameter in system.named_parameters():
        if names[name] & frozen:
            parameter.requires_grad_(False)


def check_scene_paths(system: nn.Module, paths: Iterable[str], *, frozen: Iterable[str], terms: Iterable[str]) -> None:
    """Check the paths of an optimizer and of what is `frozen` as soon as there are scenes, before weights are read.

    Args:
        system: What holds the scenes, and nothing else so far.
        paths: The optimizer's.
        frozen: The paths of `freeze`; the parameters below them are frozen.
        terms: Names of the guidances, whose own parameters come later.

    Raises:
        ConfigError: As `freeze` and `group_parameters` do; paths below `terms` are left to them.
    """
    later = {f"guidance.{name}" for name in terms}

    def is_due(path: str) -> bool:
        return path != "guidance" and not _prefixes(path) & later

    freeze(system, [path for path in frozen if is_due(path)])
    group_parameters(system, [path for path in paths if is_due(path)])


def group_parameters(system: nn.Module, paths: Iterable[str]) -> dict[str, list[nn.Parameter]]:
    """Trainable parameters of `system` by the longest of `paths` that covers each.

    Raises:
        ConfigError: If a path covers nothing or a trainable parameter is covered by none.
    """
    groups: dict[str, list[nn.Parameter]] = {path: [] for path in paths}
    covered: set[str] = set()
    uncovered: list[str] = []
    known: set[str] = set()
    for name, parameter in system.named_parameters():
        prefixes = _prefixes(config_path(name))
        matching = [path for path in groups if path in prefixes]
        covered.update(matching)
        if not parameter.requires_grad:  # A path to what is frozen is idle, not wrong.
            continue
        known.update(prefixes)
        if matching:
            groups[max(matching, key=len)].append(parameter)
        else:
            uncovered.append(config_path(name))
    _raise_unmatched(set(groups) - covered, known, uncovered)
    return {path: parameters for path, parameters in groups.items() if parameters}


def _raise_unmatched(unused: set[str], known: set[str], uncovered: list[str]) -> None:
    where = "system.optimizer.parameters"
    problems = [
        Problem(f"{where}.{path}", f"matches no trainable parameter.{did_you_mean(path, known)}")
        for path in sorted(unused)
    ]
    problems += [
        Problem(
            where,
            f"'{name}' would not be trained: no path covers it. Add one, such as '{name.rpartition('.')[0] or name}'.",
        )
        for name in uncovered
    ]
    if problems:
        raise ConfigError(problems)


def _check_moments(betas: tuple[float, float], epsilon: float) -> None:
    if not all(0.0 <= beta < 1.0 for beta in betas):
        raise ValueError(f"betas must lie in [0, 1), got {betas[0]:g} and {betas[1]:g}.")
    if epsilon < 0.0:
        raise ValueError(f"epsilon must not be negative, got {epsilon:g}.")


def _prefixes(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts) + 1)}


@OPTIMIZERS.register("adam")
class Adam(Optimizer):
    """Adam (arXiv:1412.6980) with the small epsilon that hash tables need (Instant-NGP, arXiv:2201.05989)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Optimizer.Config):
        betas: tuple[float, float] = (0.9, 0.99)
        """Decay of the moving averages of the gradient and of its square."""
        epsilon: float = 1e-15
        """Added to the root of the second moment."""

        def __post_init__(self) -> None:
            _check_moments(self.betas, self.epsilon)

    config: Config

    def create(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, betas=self.config.betas, eps=self.config.epsilon, fused=True)


@OPTIMIZERS.register("adamw")
class AdamW(Optimizer):
    """Adam with decoupled weight decay (arXiv:1711.05101)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Optimizer.Config):
        betas: tuple[float, float] = (0.9, 0.99)
        """Decay of the moving averages of the gradient and of its square."""
        epsilon: float = 1e-8
        """Added to the root of the second moment."""
        weight_decay: float = 0.01
        """Share of a weight that is taken off per unit of learning rate."""

        def __post_init__(self) -> None:
            _check_moments(self.betas, self.epsilon)
            if self.weight_decay < 0.0:
                raise ValueError(f"weight_decay must not be negative, got {self.weight_decay:g}.")

    config: Config

    def create(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        options = self.config
        return torch.optim.AdamW(
            groups, betas=options.betas, eps=options.epsilon, weight_decay=options.weight_decay, fused=True
        )
