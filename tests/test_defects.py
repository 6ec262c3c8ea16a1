"""Defects that users of threestudio met, and what keeps each of them out of here.

Some are checked below, the others by the tests that `KEPT_OUT_BY` names, each of which must exist.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.renderers.occupancy import OccupancyGrid

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "framework").rglob("*.py"))

KEPT_OUT_BY = {
    "conditions are paired with the noise of other samples from batch size 2 on": (
        "guidance/test_score_distillation.py::test_a_batch_of_two_is_two_batches_of_one",
        "diffusion/families/test_unet.py::test_each_condition_meets_its_own_sample",
        "diffusion/test_conditions.py::test_indexing_with_a_table_of_prompts_stacks_conditions_before_samples",
        "prompts/test_view_dependent.py::test_each_view_of_a_batch_gets_its_own_words",
    ),
    "two formulas of classifier-free guidance make one scale mean two things": (
        "guidance/test_score_distillation.py::test_the_scale_multiplies_the_difference_to_the_unconditional_prediction",
        "diffusion/test_prediction.py::test_classifier_free_guidance_starts_at_the_unconditional_prediction",
    ),
    "every step decodes an image that nobody looks at": (
        "guidance/test_score_distillation.py::test_nothing_is_decoded_but_for_the_previews_that_are_due",
    ),
    "the density blob is annealed in a place that the density does not read": (
        "geometry/test_density_bias.py::test_a_blob_follows_its_schedules",
    ),
    "the prediction type of a checkpoint is not read": (
        "diffusion/families/test_unet.py::test_the_prediction_type_of_the_scheduler_is_obeyed",
        "guidance/test_score_distillation.py::test_the_gradient_does_not_depend_on_what_the_denoiser_predicts",
        "diffusion/test_prediction.py::test_a_scheduler_states_what_its_model_predicts",
    ),
    "a misspelt setting is found out when it is used": (
        "core/test_config.py::test_a_fault_is_named_with_its_place_and_the_way_out",
    ),
    "a parameter path that matches nothing trains nothing, and nobody is told": (
        "systems/test_optimization.py::test_a_path_that_matches_nothing_is_an_error_with_the_closest",
        "systems/test_optimization.py::test_a_trainable_parameter_in_no_group_is_an_error",
    ),
    "a schedule written with a decimal point counts epochs and never moves": (
        "core/test_schedule.py::test_a_decimal_point_makes_no_epochs_of_steps",
    ),
    "noise depends on what else drew from the global generator": (
        "core/test_step.py::test_draws_neither_read_nor_change_the_global_generator",
        "systems/test_resuming.py::test_resumed_equals_uninterrupted_bit_for_bit",
        "systems/test_resuming.py::test_an_evaluation_in_between_changes_nothing",
    ),
    "the weight called dreamfusion is one minus the root of alpha-bar": (
        "guidance/test_weighting.py::test_weights_are_those_of_the_papers",
    ),
    "an extension that fails to import is skipped, and the run dies of a missing name": (
        "cli/test_extensions.py::test_a_failing_import_stops_the_run_with_its_cause_and_the_way_round_it",
    ),
}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("defect", KEPT_OUT_BY)
def test_the_tests_against_a_defect_exist(defect: str) -> None:
    for place in KEPT_OUT_BY[defect]:
        file, _, name = place.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


def test_classifier_free_guidance_is_written_down_once() -> None:
    formula = re.compile(r"guidance_scale\s*\*\s*\(|\w*scale \* \(\w*cond")
    places = [str(path.relative_to(ROOT)) for path in SOURCES if formula.search(path.read_text(encoding="utf-8"))]
    assert places == ["framework/diffusion/prediction.py"]


def test_what_advances_with_the_steps_does_so_once_a_step(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[StepInfo] = []
    whole = OccupancyGrid.update

    def update(self: OccupancyGrid, geometry: Geometry, step: StepInfo) -> None:
        updates.append(step)
        whole(self, geometry, step)

    monkeypatch.setattr(OccupancyGrid, "update", update)
    second = "system.streams.second={type: random-views, height: 8, width: 8}"
    assert launch.small(second, "system.losses.more={type: sparsity, stream: second}", "trainer.validate_every=3") == 0
    assert [step.step for step in updates if step.is_training] == list(range(10))
    assert not any(step.mode != "train" for step in updates)


DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
DRAWS_IN_PLACE = {
    "uniform_",
    "normal_",
    "random_",
    "bernoulli_",
    "exponential_",
    "cauchy_",
    "log_normal_",
    "geometric_",
}
GLOBAL_ONLY = {"rand_like", "randn_like", "randint_like", "seed", "manual_seed", "dropout"}
INITIALISED_GLOBALLY = {"Linear", "Conv1d", "Conv2d", "Conv3d", "Embedding", "MultiheadAttention"}
# diffusers, and layers of torch, draw initial weights from the global generator, which is put back as it was.
SEEDED_FOR_OTHERS = {("framework/systems/diffusion_training.py", "manual_seed")} | {
    ("framework/toybox/judge/network.py", name) for name in ("manual_seed", "Conv2d", "Linear")
}


def global_draws(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Calls that draw from a global generator, with their lines."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, owner = node.func.attr, ast.unparse(node.func.value)
        is_draw = (owner == "torch" and name in DRAWS) or name in DRAWS_IN_PLACE
        has_generator = any(keyword.arg == "generator" for keyword in node.keywords)
        is_global = owner in ("torch", "F", "nn.functional") and name in GLOBAL_ONLY
        is_layer = owner in ("nn", "torch.nn") and name in INITIALISED_GLOBALLY
        is_seeded = (owner, name) == ("random", "Random") and bool(node.args)  # A generator of its own.
        is_foreign = owner in ("random", "np.random", "numpy.random") and not is_seeded
        if (is_draw and not has_generator) or is_global or is_layer or is_foreign:
            yield name, node.lineno


@pytest.mark.parametrize(
    "call",
    ["torch.rand(3)", "x.normal_()", "torch.randn_like(x)", "nn.Linear(1, 2)", "random.random()", "random.Random()"],
)
def test_a_draw_from_a_global_generator_would_be_found(call: str) -> None:
    assert list(global_draws(ast.parse(call)))
    assert not list(global_draws(ast.parse("torch.rand(3, generator=generator); random.Random(7)")))


def test_every_draw_names_its_generator() -> None:
    faults = [(path.as_posix(), name, line) for path, tree in trees() for name, line in global_draws(tree)]
    assert [fault for fault in faults if fault[:2] not in SEEDED_FOR_OTHERS] == []


PLACEHOLDER = re.compile(r"\{[A-Za-z_][\w.]*(\[[^\]]*\]|\([^)]*\))?(![rsa])?(:[^}]*[a-z])?\}")


def unfilled(source: str) -> list[str]:
    """Plain strings with placeholders, parts of longer messages among them, in what is raised or reported."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _is_report(node.func)):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    # Tokens, as the syntax tree joins a plain string to a formatted one beside it.
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    strings = [token for token in tokens if token.type == tokenize.STRING and token.start[0] in lines]
    plain = [token for token in strings if "f" not in token.string.partition(token.string[-1])[0].lower()]
    return [f"line {token.start[0]}: {token.string}" for token in plain if PLACEHOLDER.search(token.string)]


def _is_report(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"Problem", "fail", "print", "warn", "info", "warning", "error"}


def test_no_message_lacks_the_f_that_would_fill_it_in() -> None:
    assert unfilled("raise ValueError('expected {value!r}, ' f'got {other}')")
    assert not unfilled("raise ValueError(f'expected {value}, such as {{type: linear}}')")
    found = {str(path.relative_to(ROOT)): unfilled(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: strings for name, strings in found.items() if strings} == {}
