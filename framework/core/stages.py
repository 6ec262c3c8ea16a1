"""Several trainings in one file: each entry under `stages:` is a config of its own, laid on what stands beside `stages`.

A setting from the command line wins over what a stage says of the same key, except that `trainer.max_steps` beside
`stages` is the most that any stage may take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from framework.core.config import parse
from framework.core.errors import ConfigError, Problem, did_you_mean
from framework.core.run_config import RunConfig
from framework.core.yaml_tree import COMMAND_LINE, Path_, Tree, commanded, load_tree, merge, override

STAGES = "stages"
_LIMIT = ("trainer", "max_steps")


def load_stages(path: Path, overrides: Iterable[str] = ()) -> dict[str, RunConfig]:
    """What a YAML file and command-line overrides describe: a config for each stage, one called '' where there are none.

    Raises:
        ConfigError: With every problem of the file and the overrides.
    """
    return parse_stages(override(load_tree(path), overrides))


def parse_stages(tree: Tree) -> dict[str, RunConfig]:
    """The configs of a tree by stage, in the order in which they are trained; one called '' for a tree without stages.

    Raises:
        ConfigError: With every problem of every stage.
    """
    if STAGES not in tree.data:
        return {"": parse(RunConfig, tree)}
    configs, problems = {}, []
    for name, stage in stage_trees(tree).items():
        try:
            configs[name] = parse(RunConfig, stage)
        except ConfigError as error:
            problems += within(name, error)
    problems += [] if problems else start_problems(configs)
    if problems:
        # What stands beside `stages` is in every stage, and so is what is wrong with it.
        once = {(problem.message, problem.location): problem for problem in problems}
        raise ConfigError(once.values()).located(tree.origin)
    return configs


def stage_trees(tree: Tree) -> dict[str, Tree]:
    """The whole tree of each stage of a tree that has stages.

    Raises:
        ConfigError: If `stages` names none, or a name cannot be that of a folder.
    """
    stages = tree.data[STAGES]
    if not isinstance(stages, Mapping) or not stages:
        raise ConfigError([_problem(tree, (STAGES,), f"expected names with their settings, got {stages!r}.")])
    base = tree.without(STAGES)
    trees: dict[str, Tree] = {}
    for name, data in stages.items():
        path: Path_ = (STAGES, str(name))
        if not isinstance(name, str) or "/" in name or not name.strip("."):
            raise ConfigError([_problem(tree, path, f"expected a folder name, got {name!r}.")])
        if not isinstance(data, Mapping):
            raise ConfigError([_problem(tree, path, f"expected the settings of a stage, got {data!r}.")])
        trees[name] = _laid(base, tree.below(path, data), is_first=not trees)
    for path in _commanded(base):
        if not any(_holds(stage.data, path) for stage in trees.values()):
            raise ConfigError([_problem(tree, path, "no stage uses it: all of them replace the component it is of.")])
    return trees


def start_problems(stages: Mapping[str, RunConfig]) -> list[Problem]:
    """Stages that start from one which comes after them, or from nothing that there is."""
    problems: list[Problem] = []
    before: list[str] = []
    for name, config in stages.items():
        start = config.start_from
        if start is not None and start not in before and (start in stages or not Path(start).exists()):
            where = f"{STAGES}.{name}.start_from"
            if start in stages:
                problems.append(Problem(where, f"stage '{start}' does not come before '{name}'."))
            else:
                hint = did_you_mean(start, before)
                problems.append(Problem(where, f"there is no stage, run folder or mesh file '{start}'.{hint}"))
        before.append(name)
    return problems


def _laid(base: Tree, own: Tree, *, is_first: bool) -> Tree:
    """A stage's own tree laid on the common one."""
    if not is_first:
        # Where the whole run starts from concerns its first stage; the others start from one another.
        base = base.without("start_from")
    limit, wish = _value(base.data, _LIMIT), _value(own.data, _LIMIT)
    merged = merge(base, own)
    for path in _commanded(base):
        if path != _LIMIT and _holds(own.data, path):
            merged = commanded(merged, path, _value(base.data, path))
    if isinstance(limit, (int, float)) and isinstance(wish, (int, float)) and limit < wish:
        merged = merge(merged, Tree({"trainer": {"max_steps": limit}}, {_LIMIT: base.origin(_LIMIT) or COMMAND_LINE}))
    return merged


def _commanded(tree: Tree) -> list[Path_]:
    """Paths of the values that were set on the command line."""
    paths = [path for path, origin in tree.origins.items() if origin == COMMAND_LINE]
    return [path for path in paths if not isinstance(_value(tree.data, path), Mapping)]


def _holds(data: Any, path: Path_) -> bool:
    """Whether there is a value at `path`, which may be null."""
    above = _value(data, path[:-1])
    return isinstance(above, Mapping) and path[-1] in above


def _value(data: Any, path: Path_) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def within(stage: str, error: ConfigError) -> list[Problem]:
    """The problems of one stage's config, by their paths in the whole file."""
    return [replace(item, path=f"{STAGES}.{stage}.{item.path}".rstrip(".")) for item in error.problems]


def _problem(tree: Tree, path: Path_, message: str) -> Problem:
    return Problem(".".join(path), message, tree.origin(path))
