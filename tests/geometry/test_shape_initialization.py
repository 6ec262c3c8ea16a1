"""Shapes to start from, against their closed forms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import SHAPE_INITIALIZATIONS
from framework.geometry.shape_initialization import ShapeInitialization


def build(name: str, **settings: object) -> ShapeInitialization:
    config = SHAPE_INITIALIZATIONS.find(name).Config(**settings)
    return SHAPE_INITIALIZATIONS.build(config, backends={})


def points(count: int = 400, dtype: torch.dtype = torch.float64) -> Tensor:
    uniform = torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return 2.0 * uniform - 1.0


def slope(shape: ShapeInitialization, positions: Tensor) -> Tensor:
    leaf = positions.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(shape.signed_distance(leaf).sum(), leaf)
    return gradient


def test_an_ellipsoid_with_equal_radii_is_a_sphere() -> None:
    expected = build("sphere", radius=0.4).signed_distance(points())
    found = build("ellipsoid", radii=(0.4, 0.4, 0.4)).signed_distance(points())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)


def test_distance_to_an_ellipsoid_is_recovered_from_its_surface_along_the_normals() -> None:
    radii = torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64)
    on_surface = radii * torch.nn.functional.normalize(points(), dim=1)
    normals = torch.nn.functional.normalize(on_surface / radii.square(), dim=1)
    # Inwards the nearest point stays the same up to the smallest radius of curvature, 0.3^2 / 0.8.
    for offset in (-0.1, 0.0, 0.02, 0.7):
        found = build("ellipsoid", radii=(0.3, 0.5, 0.8)).signed_distance(on_surface + offset * normals)
        torch.testing.assert_close(found, torch.full_like(found, offset), atol=1e-5, rtol=0.0)


def test_distance_to_an_ellipsoid_on_its_axes_and_in_its_middle() -> None:
    places = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, 0.9], [0.0, 0.6, 0.0], [0.0, 0.0, 0.8]])
    found = build("ellipsoid", radii=(0.3, 0.5, 0.8)).signed_distance(places)
    torch.testing.assert_close(found, torch.tensor([-0.3, 0.6, 0.1, 0.1, 0.0]), atol=1e-4, rtol=0.0)


@pytest.mark.parametrize(("name", "settings"), [("sphere", {}), ("ellipsoid", {"radii": (0.3, 0.5, 0.8)})])
def test_the_slope_of_a_distance_is_a_unit_vector_also_on_the_surface(name: str, settings: dict[str, object]) -> None:
    shape = build(name, **settings)
    outside = points()
    on_surface = outside - shape.signed_distance(outside)[:, None] * slope(shape, outside)
    for places in (outside, on_surface):
        gradient = slope(shape, places)
        torch.testing.assert_close(gradient.norm(dim=1), torch.ones(len(places), dtype=torch.float64))
        moved = shape.signed_distance(places + 1e-4 * gradient) - shape.signed_distance(places)
        torch.testing.assert_close(moved, torch.full_like(moved, 1e-4), atol=1e-6, rtol=0.0)


@pytest.fixture
def cube_file(tmp_path: Path) -> Path:
    trimesh.creation.box(extents=(2.0, 2.0, 2.0)).export(tmp_path / "cube.ply")
    return tmp_path / "cube.ply"


def test_a_mesh_has_the_distance_of_its_solid(cube_file: Path) -> None:
    places = points(dtype=torch.float32)
    half = 0.6
    beyond = places.abs() - half
    expected = beyond.clamp_min(0.0).norm(dim=1) + beyond.amax(dim=1).clamp_max(0.0)
    shape = build("mesh", path=str(cube_file), size=2.0 * half)
    torch.testing.assert_close(shape.signed_distance(places), expected, atol=1e-5, rtol=0.0)
    gradient = slope(shape, places)
    torch.testing.assert_close(gradient.norm(dim=1), torch.ones(len(places)), atol=1e-4, rtol=0.0)
    moved = shape.signed_distance(places + 1e-3 * gradient) - shape.signed_distance(places)
    assert float((moved - 1e-3).abs().median()) < 1e-5


def test_a_mesh_that_is_turned_inside_out_is_refused(tmp_path: Path) -> None:
    inverted = trimesh.creation.icosphere(subdivisions=1)
    inverted.invert()
    inverted.export(tmp_path / "inverted.ply")
    with pytest.raises(UserError, match="encloses no solid: its signed volume is -"):
        build("mesh", path=str(tmp_path / "inverted.ply"))


def test_an_open_mesh_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=2)
    sphere.update_faces([index != 0 for index in range(len(sphere.faces))])
    sphere.export(tmp_path / "open.ply")
    shape = build("mesh", path=str(tmp_path / "open.ply"), size=1.0)
    assert "3 edges have one face" in caplog.text
    assert float(shape.signed_distance(torch.zeros(1, 3))[0]) == pytest.approx(-0.5, abs=0.03)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("sphere", {"radius": 0.0}), ("ellipsoid", {"radii": (0.5, -0.1, 0.5)}), ("mesh", {"path": "x", "size": 0.0})],
)
def test_impossible_settings_are_refused_by_name(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=list(settings)[-1]):
        SHAPE_INITIALIZATIONS.find(name).Config(**settings)
