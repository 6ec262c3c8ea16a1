"""Rasterized surfaces against closed forms and invariants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from meshes import icosphere
from torch import Tensor, nn

from framework.core.errors import BrokenSurface
from framework.core.step import StepInfo, named_generator
from framework.geometry.base import Geometry, SurfaceGeometry
from framework.renderers.base import Scene
from framework.renderers.rasterizer import Rasterizer
from framework.structures.field import FieldQuery, FieldSample
from framework.structures.mesh import Mesh
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Lights, Views

EVALUATE, TRAIN = StepInfo(0, 100, mode="test"), StepInfo(0, 100)
EVERYTHING = Rasterizer.provides
Make = Callable[..., Scene]
DISTANCE, FOV_Y, RADIUS = 3.0, 0.7, 0.6


class Ball(SurfaceGeometry):
    """A ball whose features are its positions."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Geometry.Config):
        subdivisions: int = 4
        """Of the icosahedron."""
        stretch: float = 1.0
        """Along x."""

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        vertices, self.faces = icosphere(config.subdivisions, RADIUS)
        vertices[:, 0] *= config.stretch
        self.vertices = nn.Parameter(vertices)

    def surface(self, step: StepInfo) -> Mesh:
        return Mesh(self.vertices, self.faces)

    def query(self, query: FieldQuery) -> FieldSample:
        return FieldSample(features=query.positions)


@pytest.fixture
def make_ball(assemble: Callable[..., Scene]) -> Make:
    """A scene of one `Ball` before white."""

    def make(*, material: str = "radiance", **settings: Any) -> Scene:
        return assemble(Ball(Ball.Config(**settings), generator=named_generator(0, "ball"), backends={}), material)

    return make


def look(*azimuth_deg: float, size: int = 32, diffuse: float = 0.0, elevation: float = 0.3) -> Views:
    """Views of the origin from a distance of 3, lit from one side."""
    azimuth = torch.deg2rad(torch.tensor(azimuth_deg))
    one = torch.ones_like(azimuth)
    light = torch.tensor([2.0, 2.0, 3.0]).expand(len(azimuth), 3)
    lights = Lights(light, (1.0 - diffuse) * one, diffuse * one, torch.zeros_like(one, dtype=torch.bool))
    return Views.orbit(azimuth, elevation * one, DISTANCE * one, FOV_Y * one, height=size, width=size, lights=lights)


def draw(
    scene: Scene, views: Views, *, needs: frozenset[Buffer] = EVERYTHING, step: StepInfo = EVALUATE, **settings: Any
) -> RenderOutput:
    return Rasterizer(Rasterizer.Config(**settings), backends={}).render(views, scene, needs, step)


def surface_points(views: Views, image: RenderOutput) -> tuple[Tensor, Tensor]:
    """The points seen in pixels that the ball fills, and which pixels these are."""
    is_full = (image.opacity > 0.999).flatten()
    rays = views.cameras.rays()[is_full]
    return rays.origins + rays.directions * image.depth.view(-1, 1)[is_full], is_full


def test_a_ball_covers_the_disc_of_its_outline(make_ball: Make) -> None:
    views = look(20.0, size=48)
    image = draw(make_ball(), views)
    sine = RADIUS / DISTANCE  # of the cone of rays that touch the ball
    radius = 0.5 * 48 / math.tan(0.5 * FOV_Y) * sine / math.sqrt(1.0 - sine**2)
    assert abs(float(image.opacity.detach().sum()) / (math.pi * radius**2) - 1.0) < 0.01


def test_depth_is_the_distance_to_the_surface_weighted_by_opacity(make_ball: Make) -> None:
    views = look(20.0, size=33)
    image = draw(make_ball(), views)
    assert abs(float(image.depth.detach()[0, 16, 16]) - (DISTANCE - RADIUS)) < 2e-3
    points, _ = surface_points(views, image)
    torch.testing.assert_close(points.norm(dim=1), torch.full((len(points),), RADIUS), atol=3e-3, rtol=0.0)
    is_partial = (image.opacity > 0.05) & (image.opacity < 0.95)
    nearest, farthest = DISTANCE - RADIUS, math.sqrt(DISTANCE**2 - RADIUS**2)
    distance = (image.depth / image.opacity)[is_partial]
    assert is_partial.sum() > 20 and distance.min() > nearest and distance.max() < farthest


def test_smooth_normals_of_a_ball_are_radial_and_as_long_as_it_is_opaque(make_ball: Make) -> None:
    views = look(20.0)
    image = draw(make_ball(), views)
    assert image.normal is not None
    points, is_full = surface_points(views, image)
    torch.testing.assert_close(image.normal.view(-1, 3)[is_full], points / RADIUS, atol=0.01, rtol=0.0)
    torch.testing.assert_close(image.normal.norm(dim=-1, keepdim=True), image.opacity, atol=1e-3, rtol=0.0)


def test_normals_are_as_long_as_their_pixels_are_opaque_where_one_surface_hides_another(make_ball: Make) -> None:
    scene = make_ball(subdivisions=3)
    geometry = scene.geometry
    with torch.no_grad():
        small = 0.5 * geometry.vertices + 1.2 * torch.nn.functional.normalize(look(20.0).cameras.positions, dim=1)
        geometry.vertices = nn.Parameter(torch.cat([geometry.vertices, small]))
    geometry.faces = torch.cat([geometry.faces, geometry.faces + len(small)])
    image = draw(scene, look(26.0))
    assert image.normal is not None
    torch.testing.assert_close(image.normal.norm(dim=-1, keepdim=True), image.opacity, atol=1e-3, rtol=0.0)


def test_flat_normals_are_those_of_the_faces(make_ball: Make) -> None:
    scene = make_ball(subdivisions=1)
    image = draw(scene, look(20.0), normals="flat")
    assert image.normal is not None and image.mesh is not None
    seen = image.normal.view(-1, 3)[(image.opacity > 0.999).flatten()]
    closest = (seen @ image.mesh.face_normals().T).amax(dim=1)
    torch.testing.assert_close(closest, torch.ones_like(closest))


def test_a_lit_ball_has_the_shade_of_the_cosine(make_ball: Make) -> None:
    scene, views = make_ball(material="lambertian"), look(20.0, diffuse=0.6)
    image = draw(scene, views)
    points, is_full = surface_points(views, image)
    to_light = torch.nn.functional.normalize(views.lights.positions - points, dim=1)
    cosine = (points / RADIUS * to_light).sum(dim=1).clamp(min=0.0)
    albedo = scene.material.surface(points, EVALUATE).base_color
    expected = albedo * (0.4 + 0.6 * cosine)[:, None]
    torch.testing.assert_close(image.rgb.view(-1, 3)[is_full], expected, atol=5e-3, rtol=0.0)


def test_colors_are_mixed_with_the_background_by_opacity(make_ball: Make) -> None:
    scene = make_ball()
    with torch.no_grad():
        for parameter in scene.material.parameters():
            parameter.zero_()
    scene.geometry.query = lambda query: FieldSample(features=torch.full_like(query.positions, -20.0))  # black
    image = draw(scene, look(20.0))
    torch.testing.assert_close(image.rgb, (1.0 - image.opacity).expand_as(image.rgb), atol=1e-5, rtol=0.0)


def test_turning_surface_camera_and_light_together_changes_nothing(make_ball: Make) -> None:
    turn, c, s = 1.1, math.cos(1.1), math.sin(1.1)
    rotation = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    scene, turned = (make_ball(material="lambertian", stretch=0.7) for _ in range(2))
    views = look(20.0, diffuse=0.6)
    with torch.no_grad():
        turned.geometry.vertices.copy_(turned.geometry.vertices @ rotation.T)
    turned.geometry.query = lambda query: FieldSample(features=query.positions @ rotation)
    lights = replace(views.lights, positions=views.lights.positions @ rotation.T)
    moved = look(20.0 + math.degrees(turn))
    first, second = draw(scene, views), draw(turned, replace(moved, lights=lights))
    assert first.rgb.std() > 0.05
    torch.testing.assert_close(second.rgb, first.rgb, atol=5e-3, rtol=0.0)
    torch.testing.assert_close(second.depth, first.depth, atol=1e-2, rtol=0.0)
    assert first.normal is not None and second.normal is not None
    torch.testing.assert_close(second.normal, first.normal @ rotation.T, atol=1e-2, rtol=0.0)


def test_a_batch_of_two_equals_two_batches_of_one(make_ball: Make) -> None:
    scene, views = make_ball(material="lambertian"), look(0.0, 130.0, diffuse=0.6)
    both = draw(scene, views)
    for index in range(2):
        alone = draw(scene, views[index])
        for image, one in ((both.rgb, alone.rgb), (both.depth, alone.depth), (both.normal, alone.normal)):
            assert image is not None and one is not None
            torch.testing.assert_close(image[index], one[0], atol=1e-5, rtol=0.0)


def test_views_drawn_apart_in_evaluation_make_the_same_images(make_ball: Make) -> None:
    scene, views = make_ball(material="lambertian"), look(0.0, 130.0, 200.0, diffuse=0.6)
    apart, together = (draw(scene, views, evaluation_views=count) for count in (2, 3))
    torch.testing.assert_close(apart.rgb, together.rgb, atol=1e-6, rtol=0.0)
    torch.testing.assert_close(apart.normal, together.normal, atol=1e-6, rtol=0.0)


def test_gradients_of_opacity_are_differences_of_the_outline(make_ball: Make) -> None:
    scene, views = make_ball(subdivisions=3), look(20.0)
    opacity = draw(scene, views, step=TRAIN).opacity
    (gradient,) = torch.autograd.grad(opacity.sum(), scene.geometry.vertices)
    outward = float((gradient * scene.geometry.vertices.detach()).sum())  # d / d log(radius)
    sine = RADIUS / DISTANCE
    area = float(opacity.detach().sum())
    assert abs(outward / (2.0 * area / (1.0 - sine**2)) - 1.0) < 0.03


def test_colors_and_normals_pull_at_the_vertices_inside_the_outline(make_ball: Make) -> None:
    scene, views = make_ball(subdivisions=2), look(20.0)
    image = draw(scene, views, step=TRAIN)
    assert image.normal is not None
    middle = slice(12, 20)
    for pixels in (image.rgb, image.normal, image.depth):
        (gradient,) = torch.autograd.grad(
            pixels[0, middle, middle].square().sum(), scene.geometry.vertices, retain_graph=True
        )
        assert bool(gradient.isfinite().all()) and bool(gradient.any())


def test_only_needed_buffers_are_there(make_ball: Make) -> None:
    scene, views = make_ball(), look(20.0)
    plain = draw(scene, views, needs=frozenset())
    assert plain.normal is None and plain.mesh is None and plain.volume is None
    full = draw(scene, views)
    assert full.require_mesh("a test").vertices.requires_grad
    assert torch.equal(plain.rgb, full.rgb) and torch.equal(plain.opacity, full.opacity)


def test_a_surface_without_faces_shows_the_background(make_ball: Make) -> None:
    scene = make_ball()
    scene.geometry.faces = scene.geometry.faces[:0]
    image = draw(scene, look(20.0, 90.0), step=EVALUATE)
    assert torch.equal(image.rgb, torch.ones(2, 32, 32, 3))
    assert image.normal is not None and image.normal.shape == (2, 32, 32, 3)
    assert not image.opacity.any() and not image.depth.any() and not image.normal.any()
    assert len(image.require_mesh("a test").faces) == 0


def test_a_surface_that_has_vanished_ends_the_training(make_ball: Make) -> None:
    scene = make_ball()
    scene.geometry.faces = scene.geometry.faces[:0]
    with pytest.raises(BrokenSurface, match=r"the surface has no faces any more\. Lower the learning rate"):
        draw(scene, look(20.0), step=TRAIN)


def test_a_surface_out_of_sight_shows_the_background_and_stays_differentiable(make_ball: Make) -> None:
    scene, views = make_ball(material="lambertian"), look(20.0, diffuse=0.5)
    with torch.no_grad():
        scene.geometry.vertices += torch.tensor([0.0, 0.0, 8.0])
    image = draw(scene, views, step=TRAIN)
    assert torch.equal(image.rgb, torch.ones_like(image.rgb)) and not image.opacity.any()
    (gradient,) = torch.autograd.grad(image.rgb.sum() + image.opacity.sum(), scene.geometry.vertices)
    assert not gradient.any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "2 of 42 vertices of the surface are not finite. Lower the learning rate"),
        (12.0, "the surface reaches 12 from the origin, far beyond its cube, which ends at 1. Lower the learning rate"),
    ],
)
@pytest.mark.parametrize("step", [EVALUATE, TRAIN])
def test_a_surface_that_exploded_is_refused(make_ball: Make, step: StepInfo, value: float, message: str) -> None:
    scene = make_ball(subdivisions=1)
    with torch.no_grad():
        scene.geometry.vertices[3:5, 1] = value
    with pytest.raises(BrokenSurface, match=message):
        draw(scene, look(20.0), step=step)


def test_views_drawn_at_once_must_be_some() -> None:
    with pytest.raises(ValueError, match="evaluation_views"):
        Rasterizer.Config(evaluation_views=0)
