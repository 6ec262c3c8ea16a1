"""The scene of a caption that is most like a solid.

A caption leaves sizes, proportions and a small turn open, and that is what is fitted: the generator's own nuisances,
each within its range, so the size stays in the generator's and nothing is mirrored or shifted. Only scenes without a
front may turn freely about z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.toybox.evaluation.search import Effort, maximize
from framework.toybox.evaluation.voxels import cell_centers, intersection_over_union, scene_cells
from framework.toybox.families import FAMILIES
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.scenes import PAIR_YAW_DEG, Scene, SceneSpec, build

NUM_PROBES = 2500
_YAW = 1
"""Where the yaw stands among the nuisances of a scene (see `scenes`)."""
_REACH = 0.82
"""Scenes lie in a ball of this radius (see `families`), world units."""
_SOFTNESS = 2e-3
"""Width of the step from inside to outside, world units: far less than a cell, or thin parts would seem thinner."""
_MARGIN_CELLS = 2
"""How far around a solid its neighbourhood reaches."""
_PARTS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Probes:
    """A solid at some of the cells of the ball that holds the scenes: enough to tell how alike two solids are.

    Attributes:
        points: World positions of M cells.
        weights: Number of cells that each stands for.
        occupied: Whether the solid is there, as 0 or 1.
        outside: Number of occupied cells outside the ball.
    """

    points: Float[Tensor, "M 3"]
    weights: Float[Tensor, "M"]
    occupied: Float[Tensor, "M"]
    outside: int

    @classmethod
    def of(cls, cells: Bool[Tensor, "R R R"], *, count: int) -> Probes:
        """Half of the probes lie in and around the solid, which may be thin, and half in the rest of the ball."""
        in_ball = _in_ball(len(cells))
        width = 2 * _MARGIN_CELLS + 1
        is_near = F.max_pool3d(cells.float()[None], width, stride=1, padding=_MARGIN_CELLS).flatten() > 0.0
        index, weights = zip(_drawn(in_ball & is_near, count // 2), _drawn(in_ball & ~is_near, count // 2), strict=True)
        return cls._at(cells, torch.cat(index), torch.cat(weights))

    @classmethod
    def even(cls, cells: Bool[Tensor, "R R R"], *, count: int) -> Probes:
        """Probes all over the ball, at the same cells for every solid."""
        return cls._at(cells, *_drawn(_in_ball(len(cells)), count))

    @classmethod
    def _at(cls, cells: Bool[Tensor, "R R R"], index: Int[Tensor, "M"], weights: Float[Tensor, "M"]) -> Probes:
        points, flat = cell_centers(len(cells)).reshape(-1, 3)[index], cells.flatten()
        return cls(points, weights, flat[index].float(), int((flat & ~_in_ball(len(cells))).sum()))

    def overlap(self, occupancy: Float[Tensor, "S M"]) -> Float[Tensor, "S"]:
        """Intersection over union with other solids, given by their occupancy in [0, 1] at the probes."""
        shared = occupancy @ (self.weights * self.occupied)
        union = occupancy @ self.weights + (self.weights * self.occupied).sum() + self.outside - shared
        return shared / union.clamp(min=1e-6)


def _in_ball(resolution: int) -> Bool[Tensor, "cells"]:
    return cell_centers(resolution).reshape(-1, 3).norm(dim=-1) <= _REACH


def _drawn(population: Bool[Tensor, "cells"], count: int) -> tuple[Int[Tensor, "M"], Float[Tensor, "M"]]:
    """Up to `count` of the marked cells, the same ones in every call, and how many each stands for."""
    index = population.nonzero()[:, 0]
    chosen = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(0))[:count]]
    return chosen, torch.full((len(chosen),), len(index) / max(len(chosen), 1))


@torch.no_grad()
def soft_occupancy(scenes: list[Scene], points: Float[Tensor, "M 3"]) -> Float[Tensor, "S M"]:
    """Occupancy of scenes at points: near 1 inside and near 0 outside."""
    rows = max(1, _PARTS_AT_ONCE // max(len(scene.parts) for scene in scenes))
    packs = [ScenePack.from_scenes(scenes[first : first + rows]) for first in range(0, len(scenes), rows)]
    return torch.cat([torch.sigmoid(signed_distance(p, points.expand(len(p), -1, -1)) / -_SOFTNESS) for p in packs])


@dataclass(frozen=True, eq=False)
class SceneFamily:
    """All scenes that a caption may mean, as a box of nuisances.

    Attributes:
        spec: The caption.
        low, high: Corners of the box; equal where a nuisance does not change the shape.
    """

    spec: SceneSpec
    low: Float[Tensor, "D"]
    high: Float[Tensor, "D"]

    @classmethod
    def of(cls, spec: SceneSpec) -> SceneFamily:
        """The yaw is linear in its nuisance, so a free turn is a wider range of it."""
        low, high = torch.zeros(spec.num_nuisances), torch.ones(spec.num_nuisances)
        if not spec.has_front:
            half_turn = 0.5 * 180.0 / _max_yaw_deg(spec)
            low[_YAW], high[_YAW] = 0.5 - half_turn, 0.5 + half_turn
        is_idle = ~_changes_shape(spec)
        low[is_idle] = high[is_idle] = 0.5
        return cls(spec, low, high)

    @property
    def middle(self) -> Float[Tensor, "D"]:
        """The most usual scene."""
        return 0.5 * (self.low + self.high)

    def random(self, count: int, generator: torch.Generator) -> Float[Tensor, "S D"]:
        """Nuisances of random scenes."""
        return self.low + (self.high - self.low) * torch.rand(count, len(self.low), generator=generator)

    def scenes(self, nuisances: Float[Tensor, "S D"]) -> list[Scene]:
        """The scenes of nuisances in the box."""
        return [build(self.spec, nuisance) for nuisance in nuisances.tolist()]

    def best_match(
        self, probes: Probes, *, effort: Effort, generator: torch.Generator, known: Float[Tensor, "K D"] | None = None
    ) -> Float[Tensor, "D"]:
        """Nuisances of the scene that overlaps most with the probed solid.

        Args:
            known: Nuisances to begin with; the middle of the box by default.
        """
        return maximize(
            lambda nuisances: probes.overlap(soft_occupancy(self.scenes(nuisances), probes.points)),
            self.low,
            self.high,
            known=self.middle[None] if known is None else known,
            effort=effort,
            generator=generator,
        )


def fit_scene(cells: Bool[Tensor, "R R R"], spec: SceneSpec, *, effort: Effort | None = None) -> tuple[Scene, float]:
    """The scene of a caption that is most like a solid, and their intersection over union.

    Deterministic: the search draws from a generator of its own.
    """
    family = SceneFamily.of(spec)
    generator = torch.Generator().manual_seed(0)
    nuisance = family.best_match(Probes.of(cells, count=NUM_PROBES), effort=effort or Effort(), generator=generator)
    scene = family.scenes(nuisance[None])[0]
    return scene, intersection_over_union(cells, scene_cells(scene, resolution=len(cells)))


def _max_yaw_deg(spec: SceneSpec) -> float:
    return PAIR_YAW_DEG if spec.relation is not None else FAMILIES[spec.objects[0].family].max_yaw_deg


def _changes_shape(spec: SceneSpec) -> Bool[Tensor, "D"]:
    """Which nuisances move a part or change its lengths; the others are shades, or unused."""
    base = [0.4] * spec.num_nuisances
    reference = _geometry(build(spec, base))
    changed = []
    for index in range(spec.num_nuisances):
        nuisance = base.copy()
        nuisance[index] = 0.9
        changed.append(not np.array_equal(_geometry(build(spec, nuisance)), reference))
    return torch.tensor(changed)


def _geometry(scene: Scene) -> np.ndarray:
    return np.array([[*part.parameters, *part.center, *part.rotation.flat] for part in scene.parts])
