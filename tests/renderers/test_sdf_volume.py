"""Rendering of signed distances against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.core.registries import ENCODINGS, SHAPE_INITIALIZATIONS
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator
from framework.renderers.base import Scene
from framework.renderers.sdf_volume import SdfVolume, annealed_fall, distances_at_ends
from framework.renderers.volume import Volume
from framework.structures.field import FieldSample
from framework.structures.rays import RaySamples
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

TORCH = {"hash-encoding": "torch", "mlp": "torch", "ray-sampling": "torch", "compositing": "torch"}
EVALUATE = StepInfo(0, 100, mode="test")
Make = Callable[..., Scene]


def look(size: int = 24) -> Views:
    one = torch.ones(1)
    return Views.orbit(0.5 * one, 0.3 * one, 3.0 * one, 0.6 * one, height=size, width=size)


def ball(make_scene: Make, *, sharpness: float = 200.0, cells: int = 1) -> Scene:
    shape = SHAPE_INITIALIZATIONS.find("sphere").Config(radius=0.6)
    return make_scene("signed-distance-field", cells=cells, initial_shape=shape, sharpness=Constant(sharpness))


def draw(scene: Scene, views: Views, **settings: object) -> RenderOutput:
    renderer = SdfVolume(SdfVolume.Config(**settings), backends=TORCH)  # type: ignore[arg-type]
    return renderer.render(views, scene, renderer.provides, EVALUATE)


def exact_depth(views: Views, radius: float) -> Tensor:
    """Distance at which rays meet a ball about the origin, as an image; NaN where they miss it."""
    rays = views.cameras.rays()
    toward = -(rays.origins * rays.directions).sum(dim=1)
    depth = toward - (toward.square() - rays.origins.square().sum(dim=1) + radius**2).sqrt()
    return depth.view(1, views.cameras.height, views.cameras.width, 1)


def packed(starts: list[float], ends: list[float], ray: list[int]) -> RaySamples:
    counts = torch.bincount(torch.tensor(ray), minlength=max(ray) + 1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    return RaySamples(torch.tensor(ray), torch.tensor(starts), torch.tensor(ends), offsets)


@pytest.mark.parametrize("samples", [64, 256])
def test_depth_is_that_of_the_surface_far_within_one_step(make_scene: Make, samples: int) -> None:
    views = look()
    image, exact = draw(ball(make_scene), views, samples_per_ray=samples), exact_depth(views, 0.6)
    is_inner = exact_depth(views, 0.5).isfinite()
    assert is_inner.sum() > 100 and image.opacity[is_inner].min() > 0.999
    error = (image.depth - exact)[is_inner]
    step_length = 2.0 * 3.0**0.5 / samples
    assert error.abs().mean() < 0.3 * step_length and error.mean().abs() < 0.05 * step_length


def test_rays_that_pass_by_see_nothing(make_scene: Make) -> None:
    views = look()
    is_outside = exact_depth(views, 0.65).isnan()
    assert draw(ball(make_scene), views).opacity[is_outside].max() < 1e-3


def test_a_ray_gathers_what_lies_between_its_ends_however_it_is_cut() -> None:
    # f falls linearly from 0.3 to -0.5: opacity 1 - Phi(-0.5 s) / Phi(0.3 s), whatever the intervals.
    edges = torch.tensor([0.0, 0.1, 0.15, 0.4, 0.45, 0.8], dtype=torch.float64)
    distance = 0.3 - 0.5 * (edges[1:] + edges[:-1])
    samples = RaySamples(torch.zeros(5, dtype=torch.long), edges[:-1], edges[1:], torch.tensor([0, 5]))
    for sharpness in (5.0, 40.0):
        before, after = distances_at_ends(distance, samples)
        depth = optical_depth(before, after, samples, sharpness)
        expected = 1.0 - torch.sigmoid(torch.tensor(-0.5 * sharpness)) / torch.sigmoid(torch.tensor(0.3 * sharpness))
        assert 1.0 - torch.exp(-depth.sum()).item() == pytest.approx(expected.item(), rel=1e-5)


def optical_depth(before: Tensor, after: Tensor, samples: RaySamples, sharpness: float) -> Tensor:
    """The renderer's own, of given distances at the ends."""
    alpha = (torch.sigmoid(sharpness * before) - torch.sigmoid(sharpness * after)) / torch.sigmoid(sharpness * before)
    assert bool((alpha >= 0.0).all())
    return -torch.log1p(-alpha)


def test_density_is_the_formula_of_neus(make_scene: Make) -> None:
    scene = ball(make_scene, sharpness=30.0)
    generator = named_generator(0, "distances")
    distance = 0.2 * torch.randn(40, generator=generator)
    edges = torch.rand(41, generator=generator).cumsum(0) * 0.02
    samples = RaySamples(torch.zeros(40, dtype=torch.long), edges[:-1], edges[1:], torch.tensor([0, 40]))
    renderer = SdfVolume(SdfVolume.Config(), backends=TORCH)
    density = renderer.density(FieldSample(signed_distance=distance), samples, scene, EVALUATE)
    f, g = (torch.sigmoid(30.0 * ends.double()) for ends in distances_at_ends(distance, samples))
    alpha = ((f - g) / f).clamp(min=0.0)
    torch.testing.assert_close(1.0 - torch.exp(-density * samples.lengths), alpha.float(), atol=1e-5, rtol=1e-4)


def test_nothing_overflows_far_from_the_surface(make_scene: Make) -> None:
    scene = ball(make_scene, sharpness=1e4)
    distance = torch.tensor([3.0, 1.0, -1.0, -3.0], requires_grad=True)
    samples = packed([0.0, 2.0, 4.0, 6.0], [2.0, 4.0, 6.0, 8.0], [0, 0, 0, 0])
    density = SdfVolume(SdfVolume.Config(), backends=TORCH).density(
        FieldSample(signed_distance=distance), samples, scene, EVALUATE
    )
    density.sum().backward()
    assert bool(density.isfinite().all()) and distance.grad is not None and bool(distance.grad.isfinite().all())


def test_neighbours_agree_where_they_touch_and_go_on_where_they_do_not() -> None:
    samples = packed([0.0, 1.0, 5.0, 6.0, 9.0, 0.0], [1.0, 3.0, 6.0, 7.0, 10.0, 1.0], [0, 0, 0, 0, 0, 1])
    distance = torch.tensor([3.0, 1.5, 4.0, 3.0, 7.0, 9.0])
    before, after = distances_at_ends(distance, samples)
    assert before.tolist() == pytest.approx([3.5, 2.5, 4.5, 3.5, 7.0, 9.0])
    assert after.tolist() == pytest.approx([2.5, 0.5, 3.5, 2.5, 7.0, 9.0])


def test_the_anneal_begins_with_a_fall_on_every_ray_and_ends_with_the_true_one() -> None:
    before, after = torch.tensor([0.2, 0.0, 0.0, 0.5]), torch.tensor([0.0, 0.2, 0.5, 0.0])
    lengths = torch.tensor([0.2, 0.2, 0.2, 0.5])
    assert annealed_fall(before, after, lengths, 1.0).tolist() == pytest.approx([0.2, 0.0, 0.0, 0.5])
    assert annealed_fall(before, after, lengths, 0.0).tolist() == pytest.approx([0.2, 0.0, 0.0, 0.5])
    along = torch.tensor([0.3])
    assert annealed_fall(along, along, torch.tensor([0.2]), 0.0).tolist() == pytest.approx([0.1])
    assert annealed_fall(along, along, torch.tensor([0.2]), 0.75).tolist() == pytest.approx([0.025])


def test_the_volume_renderer_sees_the_same_ball(make_scene: Make) -> None:
    scene, views = ball(make_scene), look()
    as_volume = Volume(Volume.Config(samples_per_ray=256), backends=TORCH).render(views, scene, frozenset(), EVALUATE)
    as_surface = draw(scene, views, samples_per_ray=256)
    assert (as_volume.opacity - as_surface.opacity).abs().mean() < 0.02
    assert as_surface.renderer == "sdf-volume" and as_volume.renderer == "volume"


def test_occupancy_leaves_the_image_as_it_is(make_scene: Make) -> None:
    views, scene = look(), ball(make_scene, sharpness=60.0, cells=16)
    whole = draw(scene, views)
    for update in range(8):  # Each looks at one random point of a cell.
        scene.occupancy.update(scene.geometry, StepInfo(16 * update, 1000))
    assert scene.occupancy.occupied_share() < 0.5
    pruned = draw(scene, views)
    assert whole.volume is not None and pruned.volume is not None
    assert len(pruned.volume.weights) < 0.6 * len(whole.volume.weights)
    torch.testing.assert_close(pruned.rgb, whole.rgb, atol=0.03, rtol=0.0)


def test_normals_are_those_of_the_ball(make_scene: Make) -> None:
    views = look()
    image, depth = draw(ball(make_scene), views), exact_depth(views, 0.6)
    rays = views.cameras.rays()
    surface = (rays.origins + depth.view(-1, 1) * rays.directions).view(1, 24, 24, 3) / 0.6
    is_inner = exact_depth(views, 0.5).isfinite()[..., 0]
    assert image.normal is not None
    torch.testing.assert_close(image.normal[is_inner], surface[is_inner], atol=0.06, rtol=0.0)


def test_gradients_of_an_image_equal_differences(make_scene: Make) -> None:
    encoding = ENCODINGS.find("hash-grid").Config(num_levels=2, log2_table_size=6, base_resolution=4)
    scene = make_scene("signed-distance-field", encoding=encoding, hidden_dim=4, initial_sharpness=10.0).double()
    views = look(size=3)
    renderer = SdfVolume(SdfVolume.Config(samples_per_ray=24, min_weight=0.0, cos_anneal=Constant(0.5)), backends=TORCH)
    parameters = dict(scene.geometry.named_parameters())
    for name, parameter in parameters.items():  # So large that differences step over no kink of the perceptron.
        if name != "log_sharpness":
            parameter.data.uniform_(-0.3, 0.3, generator=named_generator(0, name))

    def total(*values: Tensor) -> Tensor:
        replaced = {f"scene.geometry.{name}": value for name, value in zip(parameters, values, strict=True)}
        image = torch.func.functional_call(Rendering(scene, renderer), replaced, (views,))
        return image.square().sum()

    values = tuple(value.detach().clone().requires_grad_() for value in parameters.values())
    assert torch.autograd.gradcheck(total, values, fast_mode=True)


class Rendering(torch.nn.Module):
    """A scene whose call is its image, so that its parameters can be handed in."""

    def __init__(self, scene: Scene, renderer: SdfVolume) -> None:
        super().__init__()
        self.scene, self.renderer = scene, renderer

    def forward(self, views: Views) -> Tensor:
        return self.renderer.render(views, self.scene, frozenset({Buffer.RGB}), EVALUATE).rgb


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_impossible_settings_are_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="cos_anneal must stay in"):
        SdfVolume.Config(cos_anneal=Constant(value))
