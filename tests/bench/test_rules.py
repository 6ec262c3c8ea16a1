"""The benchmark of rules, without its runs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import trimesh

from framework.bench.rules import MODELS, PROMPTS, RULES, chroma, diversity, mean_color, suite
from framework.core.config import load_config
from framework.structures.mesh import Mesh
from framework.systems.distillation import Distillation

ROOT = Path(__file__).resolve().parents[2]


def cube(side: float, color: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> Mesh:
    box = trimesh.creation.box(extents=(side,) * 3)
    mesh = Mesh(torch.from_numpy(box.vertices).float(), torch.from_numpy(box.faces).long())
    texture = torch.tensor(color).expand(2, 2, 3).contiguous()
    return dataclasses.replace(mesh, normals=mesh.vertex_normals(), uvs=torch.full((8, 2), 0.5), texture=texture)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_what_is_launched_is_a_config_whose_parts_fit(rule, model):
    _, config, *settings = model.launch(rule)
    run, _ = load_config(ROOT / config, settings)
    assert Distillation.check(run.system, run) == []
    assert model.name == "network" or run.system.guidance["main"].guidance_scale.bounds() == (1.0, 1.0)


def test_every_rule_meets_every_prompt_with_every_model():
    names = [case.name for case in suite().cases]
    assert len(names) == len(set(names)) == len(RULES) * len(MODELS) * len(PROMPTS) + 2
    assert len(suite().summaries) == len(RULES) * len(MODELS)


def test_colours_are_those_of_the_surface():
    color = mean_color(cube(1.0, (1.0, 0.0, 0.0)))
    torch.testing.assert_close(color, torch.tensor([1.0, 0.0, 0.0]))
    assert chroma(color) == pytest.approx(math.hypot(80.09, 67.20), abs=0.1)  # CIELAB of sRGB's red
    assert chroma(torch.tensor([0.3, 0.3, 0.3])) == pytest.approx(0.0, abs=0.01)


def test_solids_differ_by_what_they_do_not_share():
    assert diversity([cube(1.0), cube(1.0)]) == 0.0
    assert diversity([cube(1.0), cube(0.5), cube(0.5)]) == pytest.approx(2 / 3 * (1 - 1 / 8), abs=0.01)
