"""The lattice fills the cube with tetrahedra that fit together."""

from __future__ import annotations

import pytest
import torch

from framework.geometry.tetrahedral_lattice import is_on_border, lattice_tetrahedra, lattice_vertices


def volumes(resolution: int) -> torch.Tensor:
    a, b, c, d = lattice_vertices(resolution).double()[lattice_tetrahedra(resolution)].unbind(dim=1)
    return (torch.linalg.cross(b - a, c - a) * (d - a)).sum(dim=1) / 6.0


@pytest.mark.parametrize("resolution", [1, 2, 5])
def test_tetrahedra_fill_the_cube_and_are_all_of_one_size_and_orientation(resolution: int) -> None:
    found = volumes(resolution)
    assert len(found) == 12 * resolution**3
    torch.testing.assert_close(found, torch.full_like(found, 8.0 / len(found)), rtol=1e-5, atol=0.0)


def test_every_triangle_has_two_tetrahedra_but_those_on_the_border() -> None:
    tetrahedra = lattice_tetrahedra(3)
    corners = torch.cat([tetrahedra[:, [k for k in range(4) if k != left_out]] for left_out in range(4)])
    triangles, counts = torch.unique(corners.sort(dim=1).values, dim=0, return_counts=True)
    on_border = is_on_border(3)[triangles].all(dim=1)
    # A triangle between three border vertices lies on the border unless it cuts off an edge of the cube.
    places = lattice_vertices(3)[triangles]
    is_flat = ((places == places[:, :1]) & (places.abs() == 1.0)).all(dim=1).any(dim=1)
    assert bool((counts[on_border & is_flat] == 1).all())
    assert bool((counts[~is_flat] == 2).all())
    assert int(is_flat.sum()) == 2 * 6 * 3**2


def test_the_default_grid_has_the_size_that_was_meant() -> None:
    assert len(lattice_vertices(25)) <= 40_000
    assert len(lattice_tetrahedra(25)) <= 200_000
