"""Renders of meshes against closed forms."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from shiny import shiny

from framework.export.mesh_rendering import MeshRenderer, render_mesh
from framework.materials.base import SurfaceProperties
from framework.materials.surroundings import Surroundings
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.views import Lights, Views


def orbit(azimuth, elevation, *, size=32, lights=None, distance=3.0, fov_deg=40.0):
    azimuth, elevation = torch.tensor(azimuth), torch.tensor(elevation)
    fill = torch.ones_like(azimuth)
    return Views.orbit(
        azimuth, elevation, distance * fill, math.radians(fov_deg) * fill, height=size, width=size, lights=lights
    )


def test_each_side_of_the_painted_cube_shows_its_own_colours(painted_cube) -> None:
    quarter = math.pi / 2.0
    views = orbit([0.0, quarter, 2.0 * quarter, 3.0 * quarter, 0.0], [0.0, 0.0, 0.0, 0.0, quarter], size=33)
    centres = render_mesh(painted_cube, views, supersampling=1).rgb[:, 16, 16]
    front, left, back, right, top = [0.9, 0.5, 0.5], [0.5, 0.9, 0.5], [0.1, 0.5, 0.5], [0.5, 0.1, 0.5], [0.5, 0.5, 0.9]
    assert torch.allclose(centres, torch.tensor([front, left, back, right, top]), atol=0.02)


def test_up_in_the_world_is_up_in_the_image_and_the_left_side_of_the_object_is_right_in_it(painted_cube) -> None:
    rgb = render_mesh(painted_cube, orbit([0.0], [0.0])).rgb[0]
    _, green, blue = rgb.unbind(dim=-1)
    assert blue[10, 16] > blue[22, 16] + 0.2  # blue grows with z
    assert green[16, 22] > green[16, 10] + 0.2  # green grows with y, which is to the right seen from +x


def test_opacity_depth_and_normal_of_the_front_face(cube) -> None:
    flat = Mesh(cube.vertices, cube.faces)
    render = render_mesh(flat, orbit([0.0], [0.0], size=33), supersampling=1)
    assert render.opacity[0, 16, 16] == 1.0 and render.opacity[0, 0, 0] == 0.0
    assert math.isclose(render.depth[0, 16, 16].item(), 2.5, rel_tol=1e-5)
    assert torch.allclose(render.normal[0, 16, 16], torch.tensor([1.0, 0.0, 0.0]))
    coverage = render_mesh(flat, orbit([0.0], [0.0], size=33), supersampling=8).opacity.mean().item()
    # The front face spans 1 at a distance of 2.5, of an image that spans 5 tan(20 deg) there.
    share = (1.0 / (5.0 * math.tan(math.radians(20.0)))) ** 2
    assert math.isclose(coverage, share, rel_tol=0.02)


def test_light_is_ambient_plus_the_cosine_to_the_light(cube) -> None:
    flat = Mesh(cube.vertices, cube.faces, colors=torch.full((8, 3), 0.5))
    lights = Lights(
        positions=torch.tensor([[100.0, 0.0, 100.0]]),
        ambient=torch.tensor([0.2]),
        diffuse=torch.tensor([0.6]),
        is_textureless=torch.tensor([False]),
    )
    views = orbit([0.0], [0.0], size=33, lights=lights)
    shown = render_mesh(flat, views, supersampling=1).rgb[0, 16, 16]
    to_light = torch.nn.functional.normalize(torch.tensor([99.5, 0.0, 100.0]), dim=0)
    assert torch.allclose(shown, torch.full((3,), 0.5 * (0.2 + 0.6 * to_light[0].item())), atol=1e-4)
    bare = dataclasses.replace(lights, is_textureless=torch.tensor([True]))
    shown = render_mesh(flat, dataclasses.replace(views, lights=bare), supersampling=1).rgb[0, 16, 16]
    assert torch.allclose(shown, torch.full((3,), 0.2 + 0.6 * to_light[0].item()), atol=1e-4)


def test_faces_turned_away_from_the_light_show_ambient_light_only(cube) -> None:
    one = torch.ones(1)
    behind = Lights(torch.tensor([[-9.0, 0.0, 0.0]]), 0.3 * one, 0.7 * one, torch.tensor([False]))
    shown = render_mesh(Mesh(cube.vertices, cube.faces), orbit([0.0], [0.0], lights=behind)).rgb[0, 16, 16]
    assert torch.allclose(shown, torch.full((3,), 0.3))


def test_pixels_at_the_edge_are_blended_with_the_background_by_coverage(cube) -> None:
    background = torch.tensor([0.0, 0.2, 1.0])
    render = render_mesh(Mesh(cube.vertices, cube.faces), orbit([0.1], [0.2]), background=background, supersampling=4)
    expected = render.opacity + (1.0 - render.opacity) * background
    assert torch.allclose(render.rgb, expected, atol=1e-5)
    assert ((render.opacity > 0.01) & (render.opacity < 0.99)).any()


def test_a_background_of_images_shows_behind_the_mesh(cube) -> None:
    background = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    rgb = render_mesh(cube, orbit([0.0, 1.0], [0.0, 0.3]), background=background).rgb
    assert torch.allclose(rgb[:, 0], background[:, 0])


def test_a_batch_of_views_equals_the_views_one_by_one(painted_cube) -> None:
    renderer, views = MeshRenderer(painted_cube), orbit([0.3, 2.0], [0.1, -0.4])
    together = renderer.render(views)
    for i in range(2):
        assert torch.equal(together.rgb[i], renderer.render(views[i]).rgb[0])


@pytest.fixture
def lit_views():
    """Three views of which the middle one is in plain ambient light."""
    views = orbit([0.3, 0.3, 2.0], [0.1, 0.1, -0.4], size=24)
    lights = dataclasses.replace(views.lights, diffuse=torch.tensor([0.5, 0.0, 0.5]))
    return dataclasses.replace(views, lights=lights)


def test_in_surroundings_a_mesh_shows_its_further_textures_but_in_plain_ambient_light(shiny_ball, lit_views) -> None:
    surroundings = Surroundings.load("sky", rows=32)
    shown = render_mesh(shiny_ball, lit_views, surroundings=surroundings, supersampling=1)
    matte = render_mesh(shiny_ball, lit_views, supersampling=1)
    assert torch.equal(shown.rgb[1], matte.rgb[1])
    assert torch.equal(shown.normal, matte.normal) and torch.equal(shown.depth, matte.depth)
    # Every pixel of the ball from its own position: base colour, roughness, metallic and normal as they were baked.
    view = lit_views[2]
    rays, is_hit = view.cameras.rays(), shown.opacity[2].reshape(-1) > 0.0
    directions = rays.directions[is_hit]
    positions = rays.origins[is_hit] + directions * shown.depth[2].reshape(-1, 1)[is_hit]
    normals = torch.nn.functional.normalize(positions, dim=1)
    values = shiny(positions, normals)
    expected = surroundings.color(
        SurfaceProperties(values[:, :3], values[:, 3], values[:, 4], values[:, 5:]), normals, -directions
    )
    error = (shown.rgb[2].reshape(-1, 3)[is_hit] - expected).abs()
    assert error.mean() < 0.01 and error.max() < 0.15


def test_in_surroundings_a_matte_mesh_is_lit_as_ever(painted_cube, lit_views) -> None:
    shown = render_mesh(painted_cube, lit_views, surroundings=Surroundings.load("sky", rows=32))
    assert torch.equal(shown.rgb, render_mesh(painted_cube, lit_views).rgb)


def test_in_surroundings_a_textureless_view_shows_a_white_matte_mesh(shiny_ball, lit_views) -> None:
    surroundings = Surroundings.load("sky", rows=32)
    lights = dataclasses.replace(lit_views.lights, is_textureless=torch.ones(3, dtype=torch.bool))
    bare = dataclasses.replace(lit_views, lights=lights)
    white = dataclasses.replace(
        shiny_ball,
        texture=torch.ones_like(shiny_ball.texture),
        surface=SurfaceTextures(torch.tensor([1.0, 1.0, 0.0]).expand(4, 4, 3)),
    )
    shown = render_mesh(shiny_ball, bare, surroundings=surroundings).rgb[0]
    assert torch.allclose(shown, render_mesh(white, lit_views, surroundings=surroundings).rgb[0], atol=1e-4)


def test_a_mesh_without_faces_is_refused(cube) -> None:
    with pytest.raises(ValueError, match="no faces"):
        MeshRenderer(dataclasses.replace(cube, faces=cube.faces[:0]))
