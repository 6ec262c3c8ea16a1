"""Unwrapping and baking."""

from __future__ import annotations

import torch

from framework.export.texturing import bake, unwrap
from framework.export.volume_color import VolumeColor
from framework.structures.mesh import Mesh
from framework.structures.surface import interpolate, sample_texture


def random_points(mesh: Mesh, count: int = 2000):
    """Faces and barycentric coordinates of random points of a mesh."""
    generator = torch.Generator().manual_seed(0)
    face = torch.randint(len(mesh.faces), (count,), generator=generator)
    shares = torch.rand(count, 3, generator=generator)
    return face, shares / shares.sum(dim=1, keepdim=True)


def test_unwrapping_keeps_the_surface_and_puts_its_triangles_side_by_side(cube) -> None:
    mesh = unwrap(cube, texture_size=128, padding=4)
    assert torch.allclose(mesh.face_normals().sort(dim=0).values, cube.face_normals().sort(dim=0).values)
    assert torch.allclose(mesh.vertices[mesh.faces].sum(dim=(0, 1)), torch.zeros(3), atol=1e-5)
    assert mesh.uvs.min() >= 0.0 and mesh.uvs.max() <= 1.0
    a, b, c = mesh.uvs[mesh.faces].unbind(dim=1)
    areas = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs()
    is_covered = bake(mesh, lambda positions, normals: positions.new_ones(len(positions), 3), texture_size=256)
    assert torch.allclose(areas, areas[:1].expand_as(areas), rtol=0.05)  # a cube's triangles are equal
    assert is_covered.texture.min() == 1.0


def test_the_baked_colour_of_any_surface_point_is_that_of_the_function(painted_cube) -> None:
    mesh = painted_cube
    face, barycentric = random_points(mesh)
    baked = sample_texture(mesh.texture, interpolate(mesh.uvs, mesh.faces, face, barycentric))
    positions = interpolate(mesh.vertices, mesh.faces, face, barycentric)
    assert (baked - (0.5 + 0.8 * positions)).abs().max() < 0.02


def test_baking_asks_at_positions_on_the_surface_with_unit_normals(cube) -> None:
    asked = []

    def color(positions, normals):
        asked.append((positions, normals))
        return torch.zeros_like(positions)

    bake(unwrap(cube, texture_size=64, padding=2), color, texture_size=64)
    positions, normals = (torch.cat(part) for part in zip(*asked, strict=True))
    assert torch.allclose(positions.abs().amax(dim=1), torch.tensor(0.5), atol=1e-5)
    assert torch.allclose(normals.norm(dim=1), torch.ones(len(normals)), atol=1e-5)
    assert ((positions * normals).sum(dim=1) > 0.0).all()


def test_texels_beside_a_chart_repeat_it(cube) -> None:
    # Every triangle is white, so a black texel anywhere would be one that a filter could mix in.
    mesh = bake(unwrap(cube, texture_size=64, padding=8), lambda p, n: torch.ones_like(p), texture_size=64)
    assert mesh.texture.min() == 1.0


def test_further_channels_become_textures_of_their_own(shiny_ball) -> None:
    face, barycentric = random_points(shiny_ball)
    uvs = interpolate(shiny_ball.uvs, shiny_ball.faces, face, barycentric)
    positions = interpolate(shiny_ball.vertices, shiny_ball.faces, face, barycentric)
    x, _, z = (0.5 + 0.8 * positions).unbind(dim=1)
    orm = sample_texture(shiny_ball.surface.orm, uvs)
    assert torch.allclose(orm[:, 0], torch.ones(len(orm)))
    assert (orm[:, 1] - (0.2 + 0.6 * z)).abs().max() < 0.02
    assert (orm[:, 2] - (0.1 + 0.8 * x)).abs().max() < 0.02
    normal = 2.0 * shiny_ball.surface.normal - 1.0
    assert torch.allclose(normal.norm(dim=-1), torch.ones(256, 256), atol=1e-4) and (normal[..., 2] > 0.0).all()


def test_a_surface_that_is_not_bent_has_a_flat_normal_texture(cube) -> None:
    def color(positions, normals):
        return torch.zeros(len(positions), 8)

    mesh = bake(unwrap(cube, texture_size=64, padding=4), color, texture_size=64)
    assert torch.allclose(mesh.surface.normal, torch.tensor([0.5, 0.5, 1.0]), atol=1e-5)


def test_a_matte_surface_has_no_further_textures(painted_cube) -> None:
    assert painted_cube.surface is None


def ball_color(make_scene, step, density, albedo):
    scene = make_scene(density, albedo)
    return VolumeColor(scene.geometry, scene.material, step, outside=0.1, inside=0.3, num_samples=8)


def test_an_opaque_volume_shows_the_colour_of_its_surface(make_scene, step) -> None:
    def albedo(positions):
        return torch.where(positions.norm(dim=1, keepdim=True) < 0.45, 0.9, 0.2).expand(-1, 3)

    color = ball_color(make_scene, step, lambda p: 1e4 * (p.norm(dim=1) < 0.5), albedo)
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert torch.allclose(color(0.5 * normals, normals), torch.tensor(0.2), atol=1e-3)


def test_a_thin_veil_shows_mostly_what_lies_behind_it(make_scene, step) -> None:
    def density(positions):
        return torch.where(positions.norm(dim=1) < 0.35, 1e4, 0.5)

    def albedo(positions):
        return torch.where(positions.norm(dim=1, keepdim=True) < 0.35, 0.9, 0.2).expand(-1, 3)

    color = ball_color(make_scene, step, density, albedo)
    normals = torch.tensor([[1.0, 0.0, 0.0]])
    # 0.25 of the march lies in the veil, which hides 1 - exp(-0.125) of the light.
    expected = 0.9 + (0.2 - 0.9) * (1.0 - torch.exp(torch.tensor(-0.125)))
    assert torch.allclose(color(0.5 * normals, normals), expected, atol=1e-3)


def test_where_the_march_meets_nothing_the_colours_are_averaged(make_scene, step) -> None:
    color = ball_color(make_scene, step, lambda p: torch.zeros(len(p)), lambda p: torch.full((len(p), 3), 0.3))
    normals = torch.tensor([[0.0, 0.0, 1.0]])
    assert torch.allclose(color(normals, normals), torch.tensor(0.3), atol=1e-5)
