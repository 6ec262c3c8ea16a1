"""Geometries that become others keep their solid and their features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import trimesh
from surfaces import blobs, is_closed, torus
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import DENSITY_BIASES, ENCODINGS, GEOMETRIES, SHAPE_INITIALIZATIONS
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator
from framework.geometry import conversion
from framework.geometry.base import Geometry, SurfaceGeometry
from framework.geometry.conversion import can_convert, conversions_from, convert, converts
from framework.geometry.density_field import DensityField
from framework.geometry.isosurface_grid import IsosurfaceGrid
from framework.geometry.signed_distance_field import SignedDistanceField
from framework.geometry.triangle_mesh import TriangleMesh
from framework.geometry.voxel_grid import VoxelGrid
from framework.ops.mesh_raycasting import RayCaster
from framework.structures.field import Attribute, FieldQuery

STEP = StepInfo(10, 10, mode="export")
THRESHOLD = 5.0
SIDE = 48
Shape = Callable[[Tensor], Tensor]
GRIDS = ["tetrahedral-grid", "flexicubes"]
SURFACES = [*GRIDS, "triangle-mesh"]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Coarser grids, fewer points and shorter fits than in use, so that these tests ask for more than is promised."""
    quicker = {
        "_RESOLUTION": 96,
        "_POINTS": 1 << 14,
        "_BATCH": 1 << 11,
        "_FEATURE_ITERATIONS": 5,
        "_FIELD_ITERATIONS": 150,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quicker.items():
            patch.setattr(conversion, name, value)
        yield


def config(name: str, **settings: Any) -> Any:
    """With a network that is small enough for a test."""
    if name != "voxel-grid":
        encoding = ENCODINGS.find("hash-grid").Config(num_levels=8, log2_table_size=14)
        settings = {"encoding": encoding, **settings}
    return GEOMETRIES.find(name).Config(**settings)


def build(name: str, **settings: Any) -> Any:
    return GEOMETRIES.build(config(name, **settings), generator=named_generator(0, name), backends={})


def become(source: Geometry, name: str, *, threshold: float | None = THRESHOLD, **settings: Any) -> Any:
    generator = named_generator(1, "conversion")
    return convert(source, config(name, **settings), step=STEP, generator=generator, backends={}, threshold=threshold)


def points(count: int = 40_000) -> Tensor:
    return 2.0 * torch.rand(count, 3, generator=named_generator(2, "points")) - 1.0


@torch.no_grad()
def is_inside(geometry: Geometry, positions: Tensor) -> Tensor:
    if isinstance(geometry, SurfaceGeometry):
        mesh = geometry.surface(STEP)
        return RayCaster(mesh.vertices, mesh.faces).inside(positions)
    if Attribute.SIGNED_DISTANCE in geometry.answers:
        sample = geometry.query(FieldQuery(positions, STEP, frozenset({Attribute.SIGNED_DISTANCE})))
        assert sample.signed_distance is not None
        return sample.signed_distance < 0.0
    sample = geometry.query(FieldQuery(positions, STEP, frozenset({Attribute.DENSITY})))
    assert sample.density is not None
    return sample.density > THRESHOLD


@torch.no_grad()
def features(geometry: Geometry, positions: Tensor) -> Tensor:
    sample = geometry.query(FieldQuery(positions, STEP, frozenset({Attribute.FEATURES})))
    assert sample.features is not None
    return sample.features


def overlap(first: Geometry, second: Geometry) -> float:
    a, b = is_inside(first, points()), is_inside(second, points())
    return int((a & b).sum()) / int((a | b).sum())


def voxels(shape: Shape) -> VoxelGrid:
    """Dense where `shape` is negative, with smooth features."""
    bias = DENSITY_BIASES.find("constant").Config(value=Constant(THRESHOLD))
    grid: VoxelGrid = build("voxel-grid", resolution=SIDE, density_bias=bias)
    line, index = torch.linspace(-1.0, 1.0, SIDE), torch.arange(SIDE**3)
    places = torch.stack([line[index % SIDE], line[index // SIDE % SIDE], line[index // SIDE**2]], dim=1)
    with torch.no_grad():
        grid.values[: SIDE**3, 0] = -200.0 * shape(places)
        grid.values[: SIDE**3, 1:] = 2.0 * torch.sin(3.0 * places)
    return grid


@pytest.fixture(scope="module")
def torus_voxels() -> VoxelGrid:
    return voxels(torus)


@pytest.fixture(scope="module")
def blob_field() -> DensityField:
    """A density field that has learnt two blobs and smooth features."""
    field: DensityField = build("density-field")
    generator, wants = named_generator(3, "field"), frozenset({Attribute.DENSITY, Attribute.FEATURES})
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2)
    for iteration in range(150):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1.0 - iteration / 150)
        places = 2.0 * torch.rand(2048, 3, generator=generator) - 1.0
        sample = field.query(FieldQuery(places, STEP, wants))
        assert sample.density is not None and sample.features is not None
        missed = torch.log1p(sample.density) - torch.log1p(F.softplus(THRESHOLD - 100.0 * blobs(places)))
        optimizer.zero_grad()
        (missed.abs().mean() + (sample.features - torch.sin(2.0 * places)).square().mean()).backward()
        optimizer.step()
    inside = is_inside(field, points())
    assert int((inside & (blobs(points()) < 0.0)).sum()) / int((inside | (blobs(points()) < 0.0)).sum()) > 0.9
    return field


@pytest.fixture(scope="module")
def torus_distances(torus_voxels: VoxelGrid) -> SignedDistanceField:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "_FIELD_ITERATIONS", 300)
        distances = become(torus_voxels, "signed-distance-field")
    assert isinstance(distances, SignedDistanceField)
    return distances


@pytest.fixture(scope="module")
def torus_tetrahedra(torus_voxels: VoxelGrid) -> IsosurfaceGrid:
    tetrahedra = become(torus_voxels, "tetrahedral-grid")
    assert isinstance(tetrahedra, IsosurfaceGrid)
    return tetrahedra


@pytest.mark.parametrize("name", GRIDS)
def test_a_voxel_grid_becomes_a_surface_of_the_same_solid(torus_voxels: VoxelGrid, name: str) -> None:
    surface = become(torus_voxels, name)
    assert is_closed(surface.surface(STEP).faces)
    assert overlap(surface, torus_voxels) >= 0.95


def test_a_voxel_grid_becomes_a_triangle_mesh_of_the_same_solid(torus_voxels: VoxelGrid) -> None:
    mesh = become(torus_voxels, "triangle-mesh")
    assert is_closed(mesh.faces) and overlap(mesh, torus_voxels) >= 0.98


def test_a_voxel_grid_becomes_a_signed_distance_field_of_the_same_solid(
    torus_voxels: VoxelGrid, torus_distances: SignedDistanceField
) -> None:
    assert overlap(torus_distances, torus_voxels) >= 0.95
    with torch.no_grad():
        sample = torus_distances.query(FieldQuery(points(), STEP, frozenset({Attribute.SIGNED_DISTANCE})))
    assert sample.signed_distance is not None
    assert float((sample.signed_distance - torus(points())).abs().mean()) < 0.02


@pytest.mark.parametrize("name", [*SURFACES, "signed-distance-field"])
def test_a_density_field_becomes_the_same_solid(blob_field: DensityField, name: str) -> None:
    assert overlap(become(blob_field, name), blob_field) >= 0.95


@pytest.mark.parametrize("name", SURFACES)
def test_a_signed_distance_field_becomes_the_same_solid(torus_distances: SignedDistanceField, name: str) -> None:
    assert overlap(become(torus_distances, name), torus_distances) >= 0.95


@pytest.mark.parametrize("name", ["flexicubes", "signed-distance-field"])
def test_a_tetrahedral_grid_becomes_the_same_solid(torus_tetrahedra: IsosurfaceGrid, name: str) -> None:
    assert overlap(become(torus_tetrahedra, name), torus_tetrahedra) >= 0.95


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_becomes_a_triangle_mesh_with_its_very_surface(name: str) -> None:
    grid = build(name)
    mesh = become(grid, "triangle-mesh").surface(STEP)
    assert torch.equal(mesh.vertices, grid.surface(STEP).vertices) and torch.equal(mesh.faces, grid.surface(STEP).faces)
    assert not mesh.vertices.requires_grad


def test_a_chain_of_conversions_ends_with_the_solid_it_began_with(
    torus_voxels: VoxelGrid, torus_distances: SignedDistanceField
) -> None:
    tetrahedra = become(torus_distances, "tetrahedral-grid")
    mesh = become(tetrahedra, "triangle-mesh")
    assert overlap(mesh, torus_voxels) >= 0.95
    at_surface = mesh.surface(STEP).vertices
    torch.testing.assert_close(features(mesh, at_surface), features(torus_distances, at_surface))


@pytest.mark.parametrize("name", SURFACES)
def test_features_are_inherited_exactly_where_the_layers_are_equal(blob_field: DensityField, name: str) -> None:
    # Equal weights; products of matrices of other widths are rounded differently.
    torch.testing.assert_close(features(become(blob_field, name), points()), features(blob_field, points()))


def test_features_of_predicted_normals_are_left_behind() -> None:
    source = build("signed-distance-field", normals="predicted", num_features=4)
    surface = become(source, "tetrahedral-grid", num_features=4)
    torch.testing.assert_close(features(surface, points()), features(source, points()))


@pytest.mark.parametrize("settings", [{"num_features": 5}, {"num_features": 2, "radius": 1.25}])
def test_features_are_fitted_near_the_surface_where_the_layers_differ(
    torus_voxels: VoxelGrid, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_FEATURE_ITERATIONS", 100)
    surface = become(torus_voxels, "tetrahedral-grid", **settings)
    at_surface = surface.surface(STEP).vertices.detach()
    channels = min(3, surface.config.num_features)
    found, expected = features(surface, at_surface)[:, :channels], features(torus_voxels, at_surface)[:, :channels]
    assert float((found - expected).abs().mean()) < 0.05 * float(expected.std())


def test_features_go_along_into_a_signed_distance_field(
    torus_voxels: VoxelGrid, torus_distances: SignedDistanceField
) -> None:
    at_surface = become(torus_voxels, "triangle-mesh").surface(STEP).vertices
    found, expected = features(torus_distances, at_surface), features(torus_voxels, at_surface)
    assert float((found - expected).abs().mean()) < 0.15 * float(expected.std())


def test_the_source_stays_as_it_is(torus_voxels: VoxelGrid) -> None:
    before, settings = {name: value.clone() for name, value in torus_voxels.state_dict().items()}, torus_voxels.config
    become(torus_voxels, "tetrahedral-grid")
    assert torus_voxels.config is settings
    assert all(torch.equal(before[name], value) for name, value in torus_voxels.state_dict().items())
    assert all(parameter.grad is None for parameter in torus_voxels.parameters())


def test_equal_generators_convert_equally(torus_tetrahedra: IsosurfaceGrid) -> None:
    first, second = (become(torus_tetrahedra, "flexicubes", hidden_dim=8) for _ in range(2))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_what_comes_out_can_be_trained(torus_tetrahedra: IsosurfaceGrid) -> None:
    grid = become(torus_tetrahedra, "flexicubes")
    grid.surface(StepInfo(0, 1)).vertices.square().sum().backward()
    assert grid.signed_distance.grad is not None and bool(grid.signed_distance.grad.any())
    assert all(parameter.requires_grad for parameter in grid.parameters())


@pytest.mark.parametrize("name", GEOMETRIES.names())
def test_a_geometry_becomes_an_equal_one_by_its_state(name: str) -> None:
    if name not in ("density-field", "voxel-grid", "signed-distance-field", *SURFACES):
        pytest.skip("an extension's geometry, whose settings are its own")
    source = build(name)
    copy = become(source, name)
    state = source.state_dict()
    assert copy.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in copy.state_dict().items())


def test_a_density_without_a_threshold_takes_that_of_its_silhouettes(torus_voxels: VoxelGrid) -> None:
    assert overlap(become(torus_voxels, "triangle-mesh", threshold=None), torus_voxels) >= 0.9


def test_a_conversion_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UserError, match="'tetrahedral-grid' cannot be converted to 'voxel-grid'; it can be to 'flexi"):
        become(build("tetrahedral-grid"), "voxel-grid")
    with pytest.raises(UserError, match="to 'density-field' of other settings; it can be to 'flexicubes', 'signed-"):
        become(build("density-field"), "density-field", hidden_dim=7)


def test_the_table_is_asked_by_name_without_building_anything() -> None:
    assert can_convert("density-field", "tetrahedral-grid") and not can_convert("triangle-mesh", "density-field")
    assert set(conversions_from("voxel-grid")) == {"voxel-grid", "signed-distance-field", *SURFACES}
    assert set(conversions_from("triangle-mesh")) == {"signed-distance-field", *SURFACES}


def test_a_conversion_added_later_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_TABLE", list(conversion._TABLE))

    @converts(VoxelGrid, to=TriangleMesh)
    def nothing(found: conversion.Conversion, target: Geometry) -> None:
        assert isinstance(found.source, VoxelGrid)

    mesh = become(build("voxel-grid"), "triangle-mesh")
    assert torch.equal(mesh.vertices, build("triangle-mesh").vertices)


def test_a_vanished_surface_is_an_error() -> None:
    grid = build("tetrahedral-grid")
    grid.take_distances(torch.ones_like(grid.signed_distance))
    with pytest.raises(UserError, match="geometry 'tetrahedral-grid': the surface has vanished"):
        become(grid, "triangle-mesh")


def test_a_shape_between_the_vertices_of_the_new_grid_is_an_error() -> None:
    tiny = SHAPE_INITIALIZATIONS.find("sphere").Config(radius=0.06)
    source = build("flexicubes", shape=tiny)
    with pytest.raises(UserError, match=r"the shape of 'flexicubes' holds none of the grid's vertices. Raise"):
        become(source, "flexicubes", resolution=5)


def test_a_mesh_file_beside_a_conversion_is_refused(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "box.ply")
    with pytest.raises(UserError, match=r"geometry.mesh: .*box.ply is not needed, as the mesh comes from elsewhere"):
        become(build("tetrahedral-grid"), "triangle-mesh", mesh=str(tmp_path / "box.ply"))
