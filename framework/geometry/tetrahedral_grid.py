"""A deformable tetrahedral grid with signed distances at its vertices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GEOMETRIES
from framework.core.step import StepInfo
from framework.geometry.isosurface_grid import IsosurfaceGrid
from framework.geometry.marching_tetrahedra import Tetrahedra, marching_tetrahedra
from framework.geometry.tetrahedral_lattice import lattice_tetrahedra, lattice_vertices
from framework.structures.mesh import Mesh


@GEOMETRIES.register("tetrahedral-grid")
class TetrahedralGrid(IsosurfaceGrid):
    """A surface by marching tetrahedra over trained signed distances (DMTet, arXiv:2111.04276)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(IsosurfaceGrid.Config):
        resolution: int = 25
        """Cells along each side of the cube; a cell makes 12 tetrahedra on 2 vertices."""

    config: Config
    _corners: Tensor
    _edges: Tensor
    _sides: Tensor

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, rest=lattice_vertices(config.resolution), generator=generator, backends=backends)
        tetrahedra = Tetrahedra.of(lattice_tetrahedra(config.resolution))
        for name, indices in (
            ("_corners", tetrahedra.corners),
            ("_edges", tetrahedra.edges),
            ("_sides", tetrahedra.sides),
        ):
            self.register_buffer(name, indices.to(generator.device), persistent=False)

    def extract(self, positions: Float[Tensor, "V 3"], distances: Float[Tensor, "V"], step: StepInfo) -> Mesh:
        """The surface for these positions and distances of the grid's vertices."""
        found = marching_tetrahedra(positions, distances, Tetrahedra(self._corners, self._edges, self._sides))
        ends = distances.index_select(0, found.crossed.flatten()).view(-1, 2)
        return Mesh(found.vertices, found.faces, crossings=ends)
