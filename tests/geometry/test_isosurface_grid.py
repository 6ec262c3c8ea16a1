"""What both grids of signed distances promise: closed surfaces, gradients, initial shapes, clear errors."""

from __future__ import annotations

import pytest
import torch
from surfaces import euler_characteristic, is_closed, torus
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import GEOMETRIES, SHAPE_INITIALIZATIONS
from framework.core.step import StepInfo, named_generator
from framework.geometry.isosurface_grid import IsosurfaceGrid
from framework.geometry.mesh_file import signed_volume

TRAIN, EXPORT = StepInfo(0, 10), StepInfo(10, 10, mode="export")
NAMES = ["tetrahedral-grid", "flexicubes"]
every_grid = pytest.mark.parametrize("name", NAMES)


def build(name: str, **settings: object) -> IsosurfaceGrid:
    settings = {"resolution": 12, **settings}
    config = GEOMETRIES.find(name).Config(**settings)
    return GEOMETRIES.build(config, generator=named_generator(0, "grid"), backends={})


def randomized(grid: IsosurfaceGrid) -> IsosurfaceGrid:
    generator = named_generator(1, "grid")
    for name, parameter in grid.named_parameters():
        if name in ("signed_distance", "deformation", "weights"):
            parameter.data.normal_(generator=generator)
    return grid


@every_grid
@pytest.mark.parametrize("step", [TRAIN, EXPORT], ids=["train", "export"])
def test_any_parameters_give_a_closed_surface_within_the_cube(name: str, step: StepInfo) -> None:
    mesh = randomized(build(name, radius=1.5)).surface(step)
    assert is_closed(mesh.faces) and float(mesh.vertices.detach().abs().max()) <= 1.5


@every_grid
def test_a_shape_that_fills_the_cube_is_closed_by_its_faces(name: str) -> None:
    grid = build(name)
    grid.take_distances(torch.full_like(grid.signed_distance, -1.0))
    mesh = grid.surface(EXPORT)
    assert is_closed(mesh.faces) and euler_characteristic(mesh.faces) == 2
    assert signed_volume(mesh) == pytest.approx(8.0, rel=0.2 if name == "flexicubes" else 0.02)


@every_grid
def test_the_initial_shape_is_the_one_that_was_asked_for(name: str) -> None:
    shape = SHAPE_INITIALIZATIONS.find("ellipsoid").Config(radii=(0.4, 0.6, 0.8))
    mesh = build(name, shape=shape, resolution=20).surface(EXPORT)
    reach = mesh.vertices.detach().amax(dim=0)
    torch.testing.assert_close(reach, torch.tensor([0.4, 0.6, 0.8]), atol=0.02, rtol=0.0)


@every_grid
def test_every_parameter_of_the_shape_moves_the_surface(name: str) -> None:
    grid = build(name)
    mesh = grid.surface(TRAIN)
    probe = torch.rand(mesh.vertices.shape, generator=named_generator(2, "probe"))
    (mesh.vertices * probe).sum().backward()
    for part, parameter in grid.named_parameters():
        if not part.startswith(("encoding", "mlp")):
            assert parameter.grad is not None and bool(parameter.grad.any()), part
            assert bool(parameter.grad.isfinite().all()), part


@every_grid
def test_a_grid_learns_a_torus_from_its_distance(name: str) -> None:
    """A sphere that fills the hole opens it."""
    grid = build(name, resolution=16, shape=SHAPE_INITIALIZATIONS.find("sphere").Config(radius=0.75))
    optimizer = torch.optim.Adam([grid.signed_distance], lr=0.03)
    for iteration in range(120):
        optimizer.param_groups[0]["lr"] = 0.03 * (1.0 - iteration / 120)
        optimizer.zero_grad()
        (grid.distances() - torus(grid.positions())).abs().mean().backward()
        optimizer.step()
    mesh = grid.surface(EXPORT)
    assert is_closed(mesh.faces) and euler_characteristic(mesh.faces) == 0
    assert float(torus(mesh.vertices.detach()).abs().mean()) < 0.02


@every_grid
def test_a_surface_is_fitted_to_points_by_its_own_gradients(name: str) -> None:
    """A small sphere grows into a larger one: only the vertices of the extracted surface are looked at."""
    grid = build(name, resolution=12, shape=SHAPE_INITIALIZATIONS.find("sphere").Config(radius=0.4))
    parameters = [value for part, value in grid.named_parameters() if not part.startswith(("encoding", "mlp"))]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        (grid.surface(TRAIN).vertices.norm(dim=1) - 0.65).square().mean().backward()
        optimizer.step()
    mesh = grid.surface(EXPORT)
    assert is_closed(mesh.faces)
    assert float((mesh.vertices.detach().norm(dim=1) - 0.65).abs().mean()) < 0.01


def box(positions: Tensor) -> Tensor:
    """Signed distance to a cube of side 1 that is turned against the grid."""
    first, second = torch.tensor(0.4), torch.tensor(0.3)
    about_x = torch.tensor([[1, 0, 0], [0, first.cos(), -first.sin()], [0, first.sin(), first.cos()]])
    about_z = torch.tensor([[second.cos(), -second.sin(), 0], [second.sin(), second.cos(), 0], [0, 0, 1]])
    beyond = (positions @ about_x @ about_z).abs() - 0.5
    return beyond.clamp_min(0.0).norm(dim=1) + beyond.amax(dim=1).clamp_max(0.0)


@pytest.mark.parametrize(("parts", "least", "most"), [(["weights"], 0.0, 0.003), (["signed_distance"], 0.008, 0.02)])
def test_weights_let_flexicubes_follow_edges_that_distances_alone_cannot(
    parts: list[str], least: float, most: float
) -> None:
    grid = build("flexicubes")
    grid.take_distances(box(grid.rest_positions))
    named = dict(grid.named_parameters())
    optimizer = torch.optim.Adam([named["signed_distance"]], lr=3e-3)
    optimizer.add_param_group({"params": [named[part] for part in parts if part != "signed_distance"], "lr": 0.05})
    for _ in range(60):
        optimizer.zero_grad()
        mesh = grid.surface(TRAIN)
        at_surface = torch.cat([mesh.vertices, mesh.vertices[mesh.faces].mean(dim=1)])
        box(at_surface).abs().mean().backward()
        optimizer.step()
    mesh = grid.surface(EXPORT)
    at_surface = torch.cat([mesh.vertices, mesh.vertices[mesh.faces].mean(dim=1)]).detach()
    assert is_closed(mesh.faces) and least < float(box(at_surface).abs().mean()) < most


@every_grid
def test_crossings_are_the_distances_at_both_ends_of_crossed_edges(name: str) -> None:
    mesh = randomized(build(name)).surface(EXPORT)
    assert mesh.crossings is not None and len(mesh.crossings) > 0
    assert bool((mesh.crossings.amin(dim=1) < 0.0).all()) and bool((mesh.crossings.amax(dim=1) >= 0.0).all())
    assert mesh.crossings.requires_grad


def test_only_flexicubes_have_a_deviation() -> None:
    assert build("tetrahedral-grid").surface(TRAIN).deviation is None
    deviation = build("flexicubes").surface(TRAIN).deviation
    assert deviation is not None and deviation.requires_grad and float(deviation.detach().min()) >= 0.0


def test_flexicubes_cut_quads_in_four_only_in_training() -> None:
    grid = build("flexicubes")
    assert len(grid.surface(TRAIN).faces) == 2 * len(grid.surface(EXPORT).faces)


@every_grid
def test_vertices_move_by_at_most_half_a_cell_and_those_on_the_border_not_at_all(name: str) -> None:
    grid = build(name)
    assert grid.deformation is not None
    grid.deformation.data.fill_(50.0)
    moved = (grid.positions() - grid.rest_positions).detach()
    border = grid.rest_positions.abs().amax(dim=1) >= 1.0
    assert not bool(moved[border].any())
    torch.testing.assert_close(moved[~border], torch.full_like(moved[~border], 1.0 / 12))
    assert build(name, deformable=False).deformation is None


@every_grid
@pytest.mark.parametrize("part", ["signed_distance", "deformation"])
def test_numbers_that_are_not_finite_stop_with_their_count(name: str, part: str) -> None:
    grid = build(name)
    inner = int((grid.rest_positions.abs().amax(dim=1) < 0.3).nonzero()[0])
    getattr(grid, part).data[inner] = torch.nan
    with pytest.raises(UserError, match=f"geometry '{name}': signed distance or position is not a finite .* at 1 of"):
        grid.surface(TRAIN)


def test_an_initial_shape_between_grid_vertices_is_refused() -> None:
    shape = SHAPE_INITIALIZATIONS.find("sphere").Config(radius=0.1)
    with pytest.raises(UserError, match=r"'sphere' holds none of the grid's vertices, which are 0.182 apart"):
        build("flexicubes", shape=shape, resolution=11)


@every_grid
@pytest.mark.parametrize("settings", [{"resolution": 3}, {"radius": 0.0}, {"num_features": 0}, {"hidden_dim": 0}])
def test_impossible_settings_are_refused_by_name(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        GEOMETRIES.find(name).Config(**settings)


def test_the_range_of_weights_must_keep_them_positive() -> None:
    with pytest.raises(ValueError, match="weight_range"):
        GEOMETRIES.find("flexicubes").Config(weight_range=1.0)
    grid = randomized(build("flexicubes"))
    grid.weights.data.mul_(100.0)  # type: ignore[operator, union-attr]
    assert all(float(part.detach().min()) > 0.05 for part in vars(grid.cube_weights()).values())  # type: ignore[operator]


def state(grid: IsosurfaceGrid) -> dict[str, Tensor]:
    return grid.state_dict()


@every_grid
def test_a_state_holds_parameters_alone_and_brings_the_surface_back(name: str) -> None:
    grid, other = randomized(build(name)), build(name)
    assert set(state(grid)) == {part for part, _ in grid.named_parameters()}
    other.load_state_dict(state(grid))
    assert torch.equal(other.surface(EXPORT).vertices, grid.surface(EXPORT).vertices)


@pytest.mark.gpu
@every_grid
@pytest.mark.parametrize("step", [TRAIN, EXPORT], ids=["train", "export"])
def test_a_surface_is_the_same_on_a_gpu(name: str, step: StepInfo) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    grid = randomized(build(name))
    expected = grid.surface(step)
    found = grid.cuda().surface(step)
    torch.testing.assert_close(found.vertices.cpu(), expected.vertices)
    assert torch.equal(found.faces.cpu(), expected.faces)
