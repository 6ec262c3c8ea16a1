"""A signed distance field begins as its initial shape, is closed by its cube, and is seen as a volume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import trimesh
from torch import Tensor

from framework.core.errors import BrokenSurface
from framework.core.registries import SHAPE_INITIALIZATIONS
from framework.core.schedule import Constant, Steps
from framework.core.step import StepInfo, named_generator
from framework.geometry.signed_distance_field import SignedDistanceField
from framework.structures.field import Attribute, FieldQuery, FieldSample

TORCH = {"hash-encoding": "torch", "mlp": "torch"}
STEP = StepInfo(0, 10)


def make(**settings: Any) -> SignedDistanceField:
    return SignedDistanceField(
        SignedDistanceField.Config(**settings), generator=named_generator(0, "field"), backends=TORCH
    )


def ask(field: SignedDistanceField, positions: Tensor, step: StepInfo = STEP) -> FieldSample:
    return field.query(FieldQuery(positions, step, frozenset(Attribute)))


def points(count: int = 256) -> Tensor:
    return 1.8 * torch.rand(count, 3, generator=named_generator(1, "points")) - 0.9


def shape(name: str, **settings: Any) -> Any:
    return SHAPE_INITIALIZATIONS.find(name).Config(**settings)


@pytest.mark.parametrize("normals", ["finite-difference", "analytic"])
def test_an_untrained_field_is_its_sphere(normals: str) -> None:
    sample = ask(make(initial_shape=shape("sphere", radius=0.4), normals=normals), points())
    torch.testing.assert_close(sample.signed_distance, points().norm(dim=1) - 0.4, atol=1e-3, rtol=0.0)
    is_far = points().norm(dim=1) > 0.1
    expected = F.normalize(points(), dim=1)[is_far]
    torch.testing.assert_close(sample.gradient[is_far], expected, atol=0.03, rtol=0.0)  # type: ignore[index]
    torch.testing.assert_close(sample.normals[is_far], expected, atol=0.03, rtol=0.0)  # type: ignore[index]


def test_other_initial_shapes_are_kept_on_a_grid(tmp_path: Path) -> None:
    trimesh.creation.box(extents=(1.0, 0.8, 0.6)).export(tmp_path / "box.ply")
    mesh = make(initial_shape=shape("mesh", path=str(tmp_path / "box.ply"), size=None))
    q = points().abs() - torch.tensor([0.5, 0.4, 0.3])
    box = q.clamp(min=0.0).norm(dim=1) + q.amax(dim=1).clamp(max=0.0)
    torch.testing.assert_close(ask(mesh, points()).signed_distance, box, atol=0.02, rtol=0.0)  # spacing 2 / 95

    settings = shape("ellipsoid", radii=(0.6, 0.4, 0.3))
    exact = SHAPE_INITIALIZATIONS.build(settings, backends={}).signed_distance(points())
    near = exact.abs() < 0.2
    difference = ask(make(initial_shape=settings), points()).signed_distance - exact  # type: ignore[operator]
    assert int(near.sum()) > 20 and difference[near].abs().max() < 3e-3


def test_a_grid_of_distances_is_put_back_with_the_state() -> None:
    field, other = (make(initial_shape=shape("ellipsoid", radii=radii)) for radii in ((0.6, 0.4, 0.3), (0.3, 0.3, 0.6)))
    other.load_state_dict(field.state_dict())
    assert torch.equal(ask(other, points()).signed_distance, ask(field, points()).signed_distance)  # type: ignore[arg-type]


def test_the_cube_cuts_off_what_sticks_out_and_closes_it() -> None:
    field = make(initial_shape=shape("sphere", radius=1.2))
    along = torch.tensor([0.9, 0.99, 1.01, 1.1])
    sample = ask(field, torch.stack([along, 0.0 * along, 0.0 * along], dim=1))
    torch.testing.assert_close(sample.signed_distance, along - 1.0, atol=1e-3, rtol=0.0)


def test_its_density_is_that_of_volsdf_and_falls_to_half_on_the_surface() -> None:
    field = make(initial_sharpness=8.0)
    sample = ask(field, points())
    distance, scale = sample.signed_distance, 1.0 / 8.0
    assert distance is not None
    cumulative = torch.distributions.Laplace(0.0, scale).cdf(-distance)
    torch.testing.assert_close(sample.density, cumulative / scale)
    surface = F.normalize(points(), dim=1) * 0.5
    torch.testing.assert_close(ask(field, surface).density, torch.full((256,), 4.0), atol=0.05, rtol=0.0)


def test_density_and_its_slope_stay_finite_far_away_and_on_the_surface() -> None:
    field = make(sharpness=Constant(1e4))
    level = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    density = field._density(level, STEP)
    density.sum().backward()
    assert density.tolist() == pytest.approx([0.0, 5e3, 1e4])
    assert level.grad is not None and level.grad.tolist() == pytest.approx([0.0, 0.5e8, 0.0])


def test_sharpness_is_learned_or_follows_a_schedule() -> None:
    learned = make(initial_sharpness=30.0)
    learned.sharpness(STEP).backward()
    assert learned.sharpness(STEP).item() == pytest.approx(30.0)
    assert learned.log_sharpness.grad is not None and learned.log_sharpness.grad.item() == pytest.approx(30.0)

    scheduled = make(sharpness=Steps(((0, 10.0), (5, 50.0))))
    assert [scheduled.sharpness(StepInfo(step, 10)).item() for step in (0, 5)] == [10.0, 50.0]
    assert not any("sharpness" in name for name, _ in scheduled.named_parameters())


def test_it_can_be_trained_towards_another_shape() -> None:
    field = make()
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2)
    generator = named_generator(2, "training")
    target = torch.tensor([0.25, 0.0, 0.0])
    for _ in range(60):
        positions = 1.8 * torch.rand(1024, 3, generator=generator) - 0.9
        wanted = (positions - target).norm(dim=1) - 0.35
        answer = field.query(FieldQuery(positions, STEP, frozenset({Attribute.SIGNED_DISTANCE}))).signed_distance
        optimizer.zero_grad()
        F.l1_loss(answer, wanted).backward()  # type: ignore[arg-type]
        optimizer.step()
    error = ask(field, points()).signed_distance - ((points() - target).norm(dim=1) - 0.35)  # type: ignore[operator]
    assert error.abs().mean() < 0.02  # It begins at 0.2.


@pytest.mark.parametrize(
    "settings", [{"initial_sharpness": 0.0}, {"sharpness": Constant(-math.pi)}, {"initial_resolution": 1}]
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)).removeprefix("initial_s")):
        SignedDistanceField.Config(**settings)


def test_a_field_without_a_surface_is_told_from_one_that_is_small() -> None:
    field = make(initial_shape=shape("sphere", radius=0.005))  # between all points that are looked at
    field.check_shape(STEP)
    field._initial_distance = lambda positions: torch.ones(len(positions))  # type: ignore[method-assign]
    message = (
        r"nowhere below (1|0\.99\d*), so that there is no surface any more\. Lower the learning rate of scene.geometry"
    )
    with pytest.raises(BrokenSurface, match=message):
        field.check_shape(STEP)
