from __future__ import annotations

import dataclasses

import torch
import trimesh

from framework.export.specks import without_small_parts
from framework.structures.mesh import Mesh


def ball(radius: float, *, at: float) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    vertices = torch.from_numpy(shape.vertices).float() + torch.tensor([at, 0.0, 0.0])
    return Mesh(vertices, torch.from_numpy(shape.faces).long())


def together(*parts: Mesh) -> Mesh:
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part.vertices))
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    return Mesh(torch.cat([part.vertices for part in parts]), torch.cat(faces))


def test_parts_are_dropped_by_their_share_of_the_surface() -> None:
    # A ball of a tenth of the radius has a hundredth of the surface.
    mesh = together(ball(1.0, at=0.0), ball(0.1, at=2.0), ball(0.5, at=-3.0))

    kept = without_small_parts(mesh, min_fraction=0.05)

    assert len(kept.faces) == 2 * len(ball(1.0, at=0.0).faces)
    assert kept.vertices[kept.faces.unique()][:, 0].max() < 1.5
    assert len(without_small_parts(mesh, min_fraction=0.001).faces) == len(mesh.faces)


def test_the_largest_part_always_stays() -> None:
    mesh = together(*(ball(1.0 + 0.01 * index, at=3.0 * index) for index in range(4)))

    assert len(without_small_parts(mesh, min_fraction=0.9).faces) == len(mesh.faces) // 4


def test_seams_of_a_texture_part_nothing() -> None:
    mesh = ball(1.0, at=0.0)
    split = Mesh(mesh.vertices[mesh.faces.reshape(-1)], torch.arange(3 * len(mesh.faces)).reshape(-1, 3))

    assert len(without_small_parts(split, min_fraction=0.9).faces) == len(mesh.faces)


def test_nothing_stays_nothing() -> None:
    mesh = dataclasses.replace(ball(1.0, at=0.0), faces=torch.zeros(0, 3, dtype=torch.long))

    assert len(without_small_parts(mesh, min_fraction=0.5).faces) == 0
