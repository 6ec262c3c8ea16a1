"""Parsing of whole configs: the messages, their places, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.config import dump, load_config, parse
from framework.core.errors import ConfigError
from framework.core.run_config import RunConfig
from framework.core.schedule import Constant
from framework.core.yaml_tree import Tree, load_tree, override

GOOD = """\
name: tiny
prior: {type: analytic, image_size: 8}
system:
  type: distillation
  scene:
    geometry: {type: voxel-grid, resolution: 8}
  streams:
    random: {type: random-views, height: 8, width: 8}
  guidance:
    type: score-distillation
    prompts: plain
    weight: {type: linear, from: 0, to: 1, between: [0, 5.]}
  losses:
    sparsity: {weight: 1e-2}
  optimizer:
    type: adam
    parameters:
      scene.geometry: {learning_rate: 1e-2}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def message(path: Path, *settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, settings)
    return str(caught.value).replace(f"{path.parent}/", "")


def edited(path: Path, old: str, new: str) -> str:
    """The message about the good file with `old` replaced by `new`."""
    assert GOOD.count(old) == 1
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    return message(path)


def test_a_good_file_becomes_frozen_configs_with_their_defaults(good: Path) -> None:
    run, _ = load_config(good, ["seed=3"])
    assert (run.name, run.seed, run.prompt, run.trainer.max_steps) == ("tiny", 3, "a snowman", 1500)
    assert type(run.system.scene.geometry).__qualname__ == "VoxelGrid.Config"
    assert type(run.system.scene.material).__qualname__ == "Lambertian.Config"
    assert list(run.system.guidance) == ["main"] and list(run.system.losses) == ["sparsity"]
    with pytest.raises(AttributeError):
        run.system.scene.geometry.resolution = 9


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "resolution: 8",
            "resolutoin: 8",
            "system.scene.geometry.resolutoin: unknown key 'resolutoin' for VoxelGrid.Config. "
            "Did you mean 'resolution'? (good.yaml:6)",
        ),
        (
            "name: tiny",
            "name: tiny\npromt: a cat",
            "promt: unknown key 'promt' for RunConfig. Did you mean 'prompt'? (good.yaml:2)",
        ),
        (
            "voxel-grid",
            "voxel-gird",
            "system.scene.geometry.type: no geometry is called 'voxel-gird'. Did you mean 'voxel-grid'? (good.yaml:6)",
        ),
        (
            "type: random-views, ",
            "",
            "system.streams.random.type: no stream is called 'random'. Did you mean 'random-views'? (good.yaml:8)",
        ),
        (
            "  type: distillation\n",
            "",
            "system: 'type' is missing. Known: diffusion-training, distillation, judge-training, playground. (good.yaml:3)",
        ),
        (
            "{type: voxel-grid, resolution: 8}",
            "[1]",
            "system.scene.geometry: expected the name of a component of kind 'geometry' or a mapping with its 'type', "
            "got [1]. (good.yaml:6)",
        ),
        (
            "sparsity: {",
            "sparsty: {",
            "system.losses.sparsty.type: no loss is called 'sparsty'. Did you mean 'sparsity'? (good.yaml:14)",
        ),
        (
            "height: 8",
            "height: tall",
            "system.streams.random.height: expected a whole number, got 'tall'. (good.yaml:8)",
        ),
        ("height: 8", "height: 8.5", "system.streams.random.height: expected a whole number, got 8.5. (good.yaml:8)"),
        ("height: 8", "height: true", "system.streams.random.height: expected a whole number, got True. (good.yaml:8)"),
        (
            "height: 8",
            "fov_y_range_deg: [40]",
            "system.streams.random.fov_y_range_deg: expected 2 values, got 1. (good.yaml:8)",
        ),
        (
            "height: 8",
            "fov_y_range_deg: [40, wide]",
            "system.streams.random.fov_y_range_deg.1: expected a number, got 'wide'. (good.yaml:8)",
        ),
        (
            "height: 8",
            "fov_y_range_deg: 40",
            "system.streams.random.fov_y_range_deg: expected a list, got 40. (good.yaml:8)",
        ),
        (
            "prompts: plain",
            "buffer: norml",
            "system.guidance.buffer: 'norml' is not allowed. Did you mean 'normal'? (good.yaml:11)",
        ),
        (
            "prompts: plain",
            "preview_every: null",
            "system.guidance.preview_every: expected a whole number, got None. (good.yaml:11)",
        ),
        (
            "{weight: 1e-2}",
            "{weight: much}",
            "system.losses.sparsity.weight: expected a number or a schedule such as "
            "{type: linear, from: 0, to: 1}, got 'much'. (good.yaml:14)",
        ),
        (
            "type: linear, ",
            "type: liner, ",
            "system.guidance.weight: type: no schedule is called 'liner'. Did you mean 'linear'? (good.yaml:12)",
        ),
        (
            "[0, 5.]",
            "[5, 5]",
            "system.guidance.weight: between: the first number must be below the second, got [5, 5]. (good.yaml:12)",
        ),
        (
            "name: tiny\n",
            "",
            "name: is missing; RunConfig needs it. Name of the run's folder below `output_root`.",
        ),
        (
            " {learning_rate: 1e-2}",
            "",
            "system.optimizer.parameters.scene.geometry: expected keys of ParameterGroup, got None. (good.yaml:18)",
        ),
        (
            "    type: adam\n    parameters:\n      scene.geometry: {learning_rate: 1e-2}\n",
            "    type: adam\n",
            "system.optimizer.parameters: is missing; Adam.Config needs it. "
            "Settings by dotted path, such as scene.geometry. (good.yaml:15)",
        ),
        (
            "  optimizer:\n    type: adam\n    parameters:\n      scene.geometry: {learning_rate: 1e-2}\n",
            "",
            "system.optimizer: is missing; Distillation.Config needs it. "
            "Which parameters are trained, and how fast. (good.yaml:3)",
        ),
        (
            "name: tiny",
            "name: ???",
            "name: is missing; RunConfig needs it. Name of the run's folder below `output_root`. (good.yaml:1)",
        ),
        ("name: tiny", "name: ..", "name: expected a folder name, got '..'. (good.yaml:1)"),
        (
            "name: tiny",
            "name: tiny\ntrainer: {max_steps: 0}",
            "trainer: max_steps must be at least 1, got 0. (good.yaml:2)",
        ),
        (
            "resolution: 8",
            "resolution: 1",
            "system.scene.geometry: resolution must lie in [2, 512], got 1. (good.yaml:6)",
        ),
        (
            "name: tiny",
            "name: tiny\nextensions: {a: b}",
            "extensions: expected a list, got {'a': 'b'}. (good.yaml:2)",
        ),
        (
            "name: tiny",
            "name: tiny\nbackends: {mlp: 3}",
            "backends.mlp: expected text, got 3. (good.yaml:2)",
        ),
        (
            "name: tiny",
            "name: ${nmae}",
            "name: the interpolation cannot be resolved: Interpolation key 'nmae' not found. (good.yaml:1)",
        ),
    ],
)
def test_a_fault_is_named_with_its_place_and_the_way_out(good: Path, old: str, new: str, expected: str) -> None:
    assert edited(good, old, new) == expected


def test_all_faults_of_a_file_and_its_settings_come_in_one_list(good: Path) -> None:
    good.write_text(GOOD.replace("height: 8", "hieght: 8").replace("voxel-grid", "voxels"), encoding="utf-8")
    assert message(good, "trainer.max_steps=many", "seeed=1").splitlines() == [
        "seeed: unknown key 'seeed' for RunConfig. Did you mean 'seed'? (command line)",
        "trainer.max_steps: expected a whole number, got 'many'. (command line)",
        "system.scene.geometry.type: no geometry is called 'voxels'. Did you mean 'voxel-grid'? (good.yaml:6)",
        "system.streams.random.hieght: unknown key 'hieght' for RandomViews.Config. "
        "Did you mean 'height'? (good.yaml:8)",
    ]


def test_values_out_of_range_come_in_one_list_at_the_lines_that_set_them(good: Path) -> None:
    faults = ["trainer.max_steps=0", "system.scene.geometry.resolution=1", "system.optimizer.betas=[0.9, 1]"]
    assert message(good, *faults).splitlines() == [
        "trainer: max_steps must be at least 1, got 0. (command line)",
        "system.optimizer: betas must lie in [0, 1), got 0.9 and 1. (command line)",
        "system.scene.geometry: resolution must lie in [2, 512], got 1. (command line)",
    ]


def test_a_config_whose_parts_are_out_of_range_is_not_checked_itself(good: Path) -> None:
    # DiffusionTraining looks at the number of its model's channels, which are not there.
    text = "name: a\nsystem: {type: diffusion-training, model: {channels: [64, 0]}, optimizer: {type: adam, parameters: {}}}"
    good.write_text(text, encoding="utf-8")
    expected = "system.model: channels must not be empty, and every number of the model must be positive. (good.yaml:2)"
    assert message(good) == expected


def test_a_missing_value_of_a_merged_mapping_is_placed_in_the_file_that_began_it(good: Path) -> None:
    rest, _, _ = GOOD.partition("    parameters:")
    good.write_text(rest, encoding="utf-8")
    text = message(good, "system.optimizer.epsilon=1")
    assert text.startswith("system.optimizer.parameters: is missing") and text.endswith("(good.yaml:15)")


def test_what_is_dumped_parses_into_the_same_config(good: Path) -> None:
    run, _ = load_config(good)
    again = parse(RunConfig, Tree(dump(run)))
    assert again == run
    assert dump(again) == dump(run)


def test_a_dump_names_every_component_and_default(good: Path) -> None:
    tree = dump(load_config(good)[0])
    assert tree["prior"]["type"] == "analytic" and tree["prior"]["radius"] == 0.6
    assert tree["system"]["guidance"]["main"]["weight"] == {"type": "linear", "from": 0.0, "to": 1.0, "between": [0, 5]}
    assert tree["system"]["losses"]["sparsity"]["type"] == "sparsity"
    assert tree["export"]["type"] == "mesh"


def test_numbers_may_be_written_in_any_form_that_has_the_value(good: Path) -> None:
    run, _ = load_config(good, ["trainer.max_steps=5e2", "seed=3.", "system.scene.geometry.radius=1"])
    assert (run.trainer.max_steps, run.seed, run.system.scene.geometry.radius) == (500, 3, 1.0)
    assert isinstance(run.trainer.max_steps, int) and isinstance(run.system.scene.geometry.radius, float)


def test_a_well_known_model_is_called_by_its_short_name(good: Path) -> None:
    run, _ = load_config(good, ["prior=sdxl"])
    assert (type(run.prior).__qualname__, run.prior.model) == ("PretrainedPrior.Config", "sdxl")
    with pytest.raises(ConfigError, match=r"no prior is called 'sdxll'\. Did you mean 'sdxl'\?"):
        load_config(good, ["prior=sdxll"])


def test_a_prior_with_a_slash_is_a_folder_or_hub_id(good: Path) -> None:
    run, _ = load_config(good, ["prior=runs/x"])
    assert (type(run.prior).__qualname__, run.prior.model) == ("PretrainedPrior.Config", "runs/x")
    run, _ = load_config(good, ["prior=runs/x", "prior.dtype=float32"])
    assert (run.prior.model, run.prior.dtype) == ("runs/x", "float32")


def test_settings_without_a_type_are_of_the_default_one(good: Path) -> None:
    run, _ = load_config(good, ["system.renderer.near=0.5", "system.scene.material={}"])
    assert type(run.system.renderer).__qualname__ == "Volume.Config" and run.system.renderer.near == 0.5
    assert type(run.system.scene.material).__qualname__ == "Lambertian.Config"


def test_null_takes_away_what_may_be_missing(good: Path) -> None:
    run, _ = load_config(good, ["export=null", "system.losses.sparsity=null", "trainer.gradient_clip=null"])
    assert run.export is None and run.system.losses == {} and run.trainer.gradient_clip is None
    assert load_config(good, ["system.guidance=null"])[0].system.guidance == {}
    assert message(good, "system.renderer=null").startswith("system.renderer: expected the name of a component")


def test_several_guidances_are_named_and_one_alone_is_called_main(good: Path) -> None:
    assert list(load_config(good)[0].system.guidance) == ["main"]
    first, _, rest = GOOD.partition("  guidance:\n")
    several = "  guidance:\n    a: {type: score-distillation}\n    b: {type: score-distillation, weight: 2}\n"
    good.write_text(first + several + rest[rest.index("  losses:") :], encoding="utf-8")
    run, _ = load_config(good)
    assert {name: item.weight for name, item in run.system.guidance.items()} == {"a": Constant(1.0), "b": Constant(2.0)}


def test_values_may_refer_to_others(good: Path) -> None:
    good.write_text(GOOD.replace("height: 8, width: 8", "height: '${prior.image_size}', width: 4"), encoding="utf-8")
    run, _ = load_config(good, ["prior.image_size=16"])
    assert (run.system.streams["random"].height, run.system.streams["random"].width) == (16, 4)


def test_parsing_leaves_the_tree_as_it_was(good: Path) -> None:
    tree = override(load_tree(good), ["seed=1"])
    before = repr(tree)
    parse(RunConfig, tree)
    assert repr(tree) == before
