"""YAML as trees with origins: scalars, faults with their place, `extends`, merging, and settings of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.core.errors import ConfigError
from framework.core.yaml_tree import Tree, load_tree, merge, override


def written(folder: Path, text: str, name: str = "a.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Tree:
    return load_tree(written(folder, text))


def message(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-2", 0.01),
        ("1.0e-2", 0.01),
        ("-3E4", -3e4),
        (".5", 0.5),
        ("5.", 5.0),
        ("12", 12),
        ("-7", -7),
        ("007", "007"),
        ("12:30", "12:30"),
        ("2026-13-45", "2026-13-45"),
        ("on", "on"),
        ("no", "no"),
        ("true", True),
        ("~", None),
        ("'1e-2'", "1e-2"),
        ("[1e-2, a]", [0.01, "a"]),
    ],
)
def test_scalars_are_what_they_look_like(tmp_path: Path, text: str, value: Any) -> None:
    for read in (load(tmp_path, f"key: {text}").data["key"], override(Tree(), [f"key={text}"]).data["key"]):
        assert read == value and type(read) is type(value)


def test_an_empty_file_is_an_empty_tree(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing\n").data == {}


def test_every_value_knows_its_file_and_line(tmp_path: Path) -> None:
    tree = load(tmp_path, "name: a\nsystem:\n  type: x\n  sizes:\n    - 1\n    - 2\n")
    assert tree.origin(("system", "type")) == f"{tmp_path}/a.yaml:3"
    assert tree.origin(("system", "sizes", "1")) == f"{tmp_path}/a.yaml:6"
    assert tree.origin(("system", "unset")) == f"{tmp_path}/a.yaml:2"
    assert tree.origin(("unset",)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "name: a\nsystem: {type: x\nseed: 1\n",
            "a.yaml:3:5: not valid YAML: expected ',' or '}', but got ':'.",
        ),
        ("name: a\n\tseed: 1\n", "a.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token."),
        ("a: &x 1\nb: *y\n", "a.yaml:2:4: not valid YAML: found undefined alias 'y'."),
        (
            "a: !!python/name:os.system\n",
            "a.yaml:1:4: not valid YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'.",
        ),
        ("a: !!int x\n", "a.yaml: not valid YAML: invalid literal for int() with base 10: 'x'."),
        ("- a\n- b\n", "a.yaml: expected keys and values, got list."),
        ("1.5: a\n", "a.yaml:1: keys must be words or whole numbers, got 1.5."),
        (
            "system:\n  seed: 1\n  name: b\n  seed: 2\n",
            "system.seed: is given twice, first in line 2. (a.yaml:4)",
        ),
        ("extends: 3\n", "extends: expected a file name or a list of them, got 3. (a.yaml:1)"),
    ],
)
def test_a_file_that_does_not_parse_is_refused_with_the_place(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


def test_a_file_that_has_no_end_is_refused(tmp_path: Path) -> None:
    endless = "a.yaml: is nested too deeply, or contains itself by an alias."
    assert message(tmp_path, "a: &x {b: [*x]}\n") == endless
    assert message(tmp_path, f"a: {'[' * 3000}{']' * 3000}\n") == endless
    lines = ["a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcde", "bcdef", strict=True)]
    assert message(tmp_path, "\n".join(lines)) == (
        "a.yaml:1: more than 20,000 values, those that aliases repeat included."
    )
    assert load(tmp_path, "a: &x [1, 2]\nb: [*x, *x]\n").data["b"] == [[1, 2], [1, 2]]


def test_a_file_of_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_tree(path)


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    written(tmp_path, "name: a", "dreamfusion.yaml")
    with pytest.raises(ConfigError, match=r"there is no such file. Did you mean 'dreamfusion.yaml'\?"):
        load_tree(tmp_path / "dreamfusoin.yaml")
    with pytest.raises(ConfigError, match=r"The folder .*nowhere does not exist either"):
        load_tree(tmp_path / "nowhere" / "a.yaml")


def test_a_file_lies_on_those_it_extends_and_keeps_their_origins(tmp_path: Path) -> None:
    written(tmp_path, "seed: 1\ntrainer: {max_steps: 5, log_every: 2}\n", "base.yaml")
    written(tmp_path, "seed: 2\nname: middle\n", "middle.yaml")
    tree = load(tmp_path, "extends: [base.yaml, middle.yaml]\ntrainer: {max_steps: 7}\n")
    assert tree.data == {"seed": 2, "trainer": {"max_steps": 7, "log_every": 2}, "name": "middle"}
    assert tree.origin(("seed",)) == f"{tmp_path}/middle.yaml:1"
    assert tree.origin(("trainer", "log_every")) == f"{tmp_path}/base.yaml:2"
    assert tree.origin(("trainer", "max_steps")) == f"{tmp_path}/a.yaml:2"


def test_extends_is_relative_to_the_file_that_says_it(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    written(tmp_path / "parts", "extends: leaf.yaml\n", "middle.yaml")
    written(tmp_path / "parts", "seed: 3\n", "leaf.yaml")
    assert load(tmp_path, "extends: parts/middle.yaml\n").data == {"seed": 3}


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    written(tmp_path, "name: b\nextends: a.yaml\n", "b.yaml")
    assert message(tmp_path, "extends: b.yaml\n") == (
        "extends: the files extend each other: a.yaml -> b.yaml -> a.yaml. (b.yaml:2)"
    )
    assert message(tmp_path, "extends: a.yaml\n") == (
        "extends: the files extend each other: a.yaml -> a.yaml. (a.yaml:1)"
    )


def test_extending_a_missing_file_names_the_line_that_asks_for_it(tmp_path: Path) -> None:
    written(tmp_path, "", "base.yaml")
    expected = "extends: there is no file bass.yaml. Did you mean 'base.yaml'? (a.yaml:2)"
    assert message(tmp_path, "seed: 1\nextends: bass.yaml\n") == expected


def test_merging_replaces_a_component_of_another_type_whole() -> None:
    base = Tree({"geometry": {"type": "field", "radius": 2, "encoding": {"type": "grid", "levels": 3}}})
    other = merge(base, Tree({"geometry": {"type": "voxels", "resolution": 8}}))
    assert other.data == {"geometry": {"type": "voxels", "resolution": 8}}
    same = merge(base, Tree({"geometry": {"type": "field", "encoding": {"levels": 4}}}))
    assert same.data == {"geometry": {"type": "field", "radius": 2, "encoding": {"type": "grid", "levels": 4}}}


def test_settings_of_a_component_given_by_name_alone_are_added_to_it(tmp_path: Path) -> None:
    tree = override(load(tmp_path, "prompts: plain\n"), ["prompts.suffix=x"])
    assert tree.data == {"prompts": {"type": "plain", "suffix": "x"}}
    assert tree.origins[("prompts", "type")] == f"{tmp_path}/a.yaml:1"


def test_merging_lists_and_numbers_replaces_them() -> None:
    base = Tree({"range": [1, 2], "weight": {"type": "linear", "from": 0, "to": 1}})
    assert merge(base, Tree({"range": [3], "weight": 2})).data == {"range": [3], "weight": 2}


def test_merging_changes_neither_of_the_two() -> None:
    base, over = Tree({"a": {"b": 1}}), Tree({"a": {"c": 2}})
    merge(base, over)
    assert (base.data, over.data) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_a_setting_is_from_the_command_line_and_what_surrounds_it_is_not(tmp_path: Path) -> None:
    tree = override(load(tmp_path, "trainer:\n  max_steps: 5\n"), ["trainer.max_steps=20", "losses.sparsity.weight=1"])
    assert tree.data == {"trainer": {"max_steps": 20}, "losses": {"sparsity": {"weight": 1}}}
    assert tree.origin(("trainer", "max_steps")) == "command line"
    assert tree.origin(("trainer", "log_every")) == f"{tmp_path}/a.yaml:1"
    assert tree.origin(("losses", "sparsity", "stream")) == "command line"


def test_replaced_values_lose_their_lines(tmp_path: Path) -> None:
    tree = override(load(tmp_path, "geometry:\n  type: field\n  radius: 2\n"), ["geometry={type: voxels}"])
    assert tree.data == {"geometry": {"type": "voxels"}}
    assert tree.origin(("geometry", "radius")) == "command line"


@pytest.mark.parametrize("prompt", ["a duck: yellow", "{a}", "[1, 2", "12", "a = b", "# a", "null", ""])
def test_the_prompt_is_plain_text_whatever_it_looks_like(prompt: str) -> None:
    assert override(Tree(), [f"prompt={prompt}"]).data == {"prompt": prompt}


def test_other_settings_are_yaml_if_they_can_be() -> None:
    words = ["a.b=[1, 2]", "c={type: x}", "d=key: value", "e=[broken", "f=", "g=folder/run@1"]
    assert override(Tree(), words).data == {
        "a": {"b": [1, 2]},
        "c": {"type": "x"},
        "d": "key: value",
        "e": "[broken",
        "f": None,
        "g": "folder/run@1",
    }


def test_a_setting_finds_keys_with_dots_in_them() -> None:
    base = Tree({"parameters": {"scene.geometry": {"rate": 1}, "scene.geometry.encoding": {"rate": 2}}})
    tree = override(base, ["parameters.scene.geometry.rate=3", "parameters.scene.geometry.encoding.rate=4"])
    assert tree.data == {"parameters": {"scene.geometry": {"rate": 3}, "scene.geometry.encoding": {"rate": 4}}}


@pytest.mark.parametrize("word", ["seed", "=1", "--seed=1", "a..b=1", ".a=1"])
def test_a_word_that_is_no_setting_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"'{word}' is neither an option nor a setting such as seed=1"):
        override(Tree(), [word])


VARIED = """\
seed: 0
guidance: {type: a, scale: 3}
variants:
  paper:
    guidance: {type: b, scale: 7.5}
    steps: 100
"""


def test_without_a_name_variants_are_not_there(tmp_path: Path) -> None:
    tree = override(load(tmp_path, VARIED), ["seed=1"])
    assert tree.data == {"seed": 1, "guidance": {"type": "a", "scale": 3}}
    assert not any(path[:1] == ("variants",) for path in tree.origins)


def test_a_variant_is_laid_on_the_rest_and_the_command_line_on_it(tmp_path: Path) -> None:
    tree = override(load(tmp_path, VARIED), ["steps=5", "variant=paper"])
    assert tree.data == {"seed": 0, "guidance": {"type": "b", "scale": 7.5}, "steps": 5}
    assert tree.origin(("guidance", "scale")) == f"{tmp_path}/a.yaml:5"
    assert tree.origin(("steps",)) == "command line"


def test_variants_of_extended_files_merge(tmp_path: Path) -> None:
    written(tmp_path, VARIED, "base.yaml")
    tree = load(tmp_path, "extends: base.yaml\nvariants: {paper: {guidance: {scale: 9}}, other: {seed: 4}}")
    assert override(tree, ["variant=paper"]).data["guidance"] == {"type": "b", "scale": 9}
    assert override(tree, ["variant=other"]).data["seed"] == 4


@pytest.mark.parametrize(
    ("text", "hint"), [(VARIED, "Did you mean 'paper'"), ("seed: 0", "It has none"), ("variants: 3", "It has none")]
)
def test_a_variant_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"this config has no variant 'papre'.*{hint}"):
        override(load(tmp_path, text), ["variant=papre"])
