"""Meshes of what fields enclose."""

from __future__ import annotations

import math

import pytest
import torch
from surfaces import euler_characteristic, is_closed, sphere, torus, torus_volume
from torch import Tensor, nn

from framework.core.errors import UserError
from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.geometry.level_set import density_mesh, distance_mesh, silhouette_threshold
from framework.geometry.mesh_file import signed_volume
from framework.structures.field import Attribute, FieldQuery, FieldSample

STEP = StepInfo(0, 1, mode="export")
RESOLUTION = 48


class Known(Geometry):
    """A field that is given as a function."""

    answers = frozenset({Attribute.DENSITY, Attribute.SIGNED_DISTANCE})

    def __init__(self, function: object, radius: float = 1.0) -> None:
        super().__init__(Geometry.Config(radius=radius), generator=torch.Generator(), backends={})
        self.function, self.nothing = function, nn.Parameter(torch.zeros(()))

    def query(self, query: FieldQuery) -> FieldSample:
        values: Tensor = self.function(query.positions)  # type: ignore[operator]
        is_density = Attribute.DENSITY in query.wants
        return FieldSample(density=values) if is_density else FieldSample(signed_distance=values)


def test_the_surface_of_a_distance_is_where_it_is_zero() -> None:
    mesh = distance_mesh(Known(torus), step=STEP, resolution=RESOLUTION)
    assert is_closed(mesh.faces) and euler_characteristic(mesh.faces) == 0
    assert signed_volume(mesh) == pytest.approx(torus_volume(), rel=0.03)
    assert float(torus(mesh.vertices).abs().max()) < 0.005


def test_the_surface_of_a_steep_density_is_where_it_has_the_threshold() -> None:
    for threshold in (0.5, 5.0, 50.0):
        steep = Known(lambda at: torch.exp(-40.0 * sphere(at, 0.5)))
        mesh = density_mesh(steep, step=STEP, threshold=threshold, resolution=RESOLUTION)
        expected = 0.5 - math.log(threshold) / 40.0
        assert float((mesh.vertices.norm(dim=1) - expected).abs().max()) < 0.006


def test_the_surface_grows_with_the_cube() -> None:
    mesh = distance_mesh(Known(lambda at: sphere(at, 1.2), radius=2.0), step=STEP, resolution=RESOLUTION)
    assert float((mesh.vertices.norm(dim=1) - 1.2).abs().max()) < 0.01


def test_what_would_stick_out_of_the_cube_is_closed() -> None:
    mesh = distance_mesh(Known(lambda at: sphere(at, 1.2)), step=STEP, resolution=RESOLUTION)
    assert is_closed(mesh.faces) and float(mesh.vertices.abs().max()) <= 1.0


def test_hollow_densities_are_filled_and_specks_are_dropped() -> None:
    def shell_and_speck(at: Tensor) -> Tensor:
        speck = (at - at.new_tensor([0.8, 0.8, 0.8])).norm(dim=1) < 0.07
        return 100.0 * ((sphere(at, 0.5).abs() < 0.1) | speck)

    mesh = density_mesh(Known(shell_and_speck), step=STEP, threshold=50.0, resolution=RESOLUTION)
    assert euler_characteristic(mesh.faces) == 2
    assert signed_volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 0.6**3, rel=0.1)


def grid(side: int = 64) -> Tensor:
    line = torch.linspace(-1.0, 1.0, side)
    return torch.cartesian_prod(line, line, line)


def test_the_threshold_separates_a_dense_ball_from_the_fog_around_it() -> None:
    density = torch.where(sphere(grid(), 0.6) < 0.0, 20.0, 0.05).view(64, 64, 64)
    assert 0.05 < silhouette_threshold(density, 1.0) < 20.0


def test_the_threshold_scales_with_the_density_where_everything_stays_opaque() -> None:
    density = torch.exp(-30.0 * sphere(grid(), 0.6)).clamp_max(1e3).view(64, 64, 64)
    first = silhouette_threshold(density, 1.0)
    # The opacity of a ray is one half about where 2 sqrt(r / 30) times its highest density is ln 2.
    assert first == pytest.approx(math.log(2.0) / math.sqrt(2.0 * math.pi * 0.6 / 30.0), rel=0.2)


def test_a_field_without_a_surface_says_how_far_it_is_from_one() -> None:
    with pytest.raises(UserError, match=r"too thin to have a surface: its most opaque ray has an opacity of 0.2"):
        density_mesh(Known(lambda at: 0.12 + 0.0 * at[:, 0]), step=STEP, threshold=None, resolution=RESOLUTION)
    with pytest.raises(UserError, match="density lies between 3 and 3, never above 7"):
        density_mesh(Known(lambda at: 3.0 + 0.0 * at[:, 0]), step=STEP, threshold=7.0, resolution=RESOLUTION)
    with pytest.raises(UserError, match="signed distance lies between 1 and 1, never below 0"):
        distance_mesh(Known(lambda at: 1.0 + 0.0 * at[:, 0]), step=STEP, resolution=RESOLUTION)


def test_numbers_that_are_not_finite_are_reported_by_their_share() -> None:
    broken = Known(lambda at: torch.where(at[:, 0] < 0.0, torch.nan, 1.0))
    with pytest.raises(UserError, match=r"density is not a finite number at 50.0% of the grid"):
        density_mesh(broken, step=STEP, threshold=1.0, resolution=RESOLUTION)
