"""Reconstruction: what the right render costs, what others cost, and that a field is drawn towards it without a prior."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.config import load_config
from framework.core.errors import UserError
from framework.core.registries import LOSSES, SYSTEMS
from framework.core.step import StepInfo
from framework.losses.base import Loss
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput
from framework.structures.views import Lights, Views
from framework.systems.distillation import Distillation
from framework.toybox.captions import parse_scene
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import build
from framework.toybox.tracing import Lights as ToyLights

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "debug" / "reconstruction.yaml"
SIZE = 16
SMALL = (
    "prior={type: toybox, folder: nowhere}",
    "system.scene.geometry={type: voxel-grid, resolution: 12}",
    "system.scene.occupancy={resolution: 8}",
    "system.renderer.samples_per_ray=24",
    f"system.streams.random={{height: {SIZE}, width: {SIZE}, batch_size: 2}}",
    "system.optimizer.parameters.scene.geometry.learning_rate=0.1",
)
STEP = StepInfo(3, 10)


def built(*settings: str) -> Distillation:
    run, _ = load_config(CONFIG, (*SMALL, *settings))
    system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
    assert isinstance(system, Distillation)
    return system


def loss_of(prompt: str) -> Loss:
    loss = LOSSES.build(LOSSES.find("true-views").Config(), prompt=prompt)
    assert isinstance(loss, Loss)
    return loss


def some_views(*, is_textureless: bool = False) -> Views:
    angles = torch.tensor([0.3, 2.0])
    positions = torch.tensor([[2.0, 1.0, 3.0], [-3.0, 1.0, 2.0]])
    ambient = torch.tensor([0.4, 0.6])
    lights = Lights(positions, ambient, 1.0 - ambient, torch.tensor([False, is_textureless]))
    distance, fov_y = torch.full((2,), 2.7), torch.full((2,), 0.8)
    return Views.orbit(angles, 0.2 * angles, distance, fov_y, height=SIZE, width=SIZE, lights=lights)


def true_images(prompt: str, views: Views, background: Float[Tensor, "B 3"]) -> Float[Tensor, "B H W 3"]:
    """As the toybox itself puts a scene before a background."""
    spec = parse_scene(prompt)
    pack = ScenePack.from_scenes([build(spec, [0.5] * spec.num_nuisances)])[[0, 0]]
    lights = ToyLights(views.lights.positions, views.lights.ambient)
    return render(pack, cameras=views.cameras, lights=lights, background=background).rgb


def frame_of(rgb: Float[Tensor, "B H W 3"], system: Distillation, views: Views) -> Frame:
    one = torch.ones_like(rgb[..., :1])
    return Frame(system.scene, views, RenderOutput(rgb=rgb, opacity=one, depth=one, renderer="test"), STEP)


def background_of(system: Distillation, views: Views) -> Float[Tensor, "B 3"]:
    """The colour that this step draws for each view."""
    directions = views.cameras.rays().directions.view(len(views), -1, 3)
    return system.scene.background.color(directions, STEP)[:, 0].contiguous()


def test_the_true_image_before_the_background_of_the_step_costs_nothing() -> None:
    system, views = built(), some_views()
    background = background_of(system, views)
    assert not torch.equal(background[0], background[1])
    images = true_images("a snowman", views, background)
    value = loss_of("a snowman")(frame_of(images, system, views)).losses["true-views"]
    assert value.item() == pytest.approx(0.0, abs=1e-10)


def test_other_images_cost_their_mean_square_error() -> None:
    system, views = built(), some_views()
    background = background_of(system, views)
    images, others = (true_images(prompt, views, background) for prompt in ("a red cube", "a blue cone"))
    value = loss_of("a red cube")(frame_of(others, system, views)).losses["true-views"]
    torch.testing.assert_close(value, (images - others).square().mean())
    assert value > 0.01


def test_a_view_without_texture_is_to_be_white_and_shaded() -> None:
    system = built("system.scene.background={type: solid-color, color: [0, 0, 1], random_probability: 0}")
    views = some_views(is_textureless=True)
    loss = loss_of("a red cube")
    target = loss.target(frame_of(torch.zeros(2, SIZE, SIZE, 3), system, views))  # type: ignore[attr-defined]
    colored, white = target[:, SIZE // 2, SIZE // 2]
    assert colored[0] > 2.0 * colored[1]
    assert white[0] == white[1] == white[2] and 0.3 < white[0] <= 1.0


def test_a_prompt_that_names_no_scene_is_refused() -> None:
    with pytest.raises(UserError, match=r"^loss 'true-views': .*It takes prompts such as 'a red car'\."):
        loss_of("a photo of a corgi")


def test_a_short_fit_comes_closer_and_loads_no_prior() -> None:
    system = built("prompt=a red cube")
    assert not system.guidance
    settings = system.optimizer()
    optimizer = settings.build(system)
    values = []
    for number in range(40):
        step = StepInfo(number, 40, mode="train")
        system.before_step(step)
        terms = system.training_step(step)
        optimizer.zero_grad()
        terms.total().backward()
        settings.set_learning_rates(optimizer, step)
        optimizer.step()
        values.append(float(terms.logs()["loss/losses.true-views"]))
    assert sum(values[-5:]) < 0.4 * sum(values[:5])
