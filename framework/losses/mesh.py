"""Regularisers of the surface itself, of renderers that draw a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.mesh import Mesh
from framework.structures.render_output import Buffer

_SMALLEST_AREA = 1e-10


@LOSSES.register("normal-consistency")
class NormalConsistency(Loss):
    """Mean over edges of 1 - cosine of the angle between the normals of the two faces that meet there.

    Faces smaller than 1e-10 square world units have no normal to speak of and are left out.
    """

    needs = frozenset({Buffer.MESH})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, 0 of a flat and 2 of a folded surface; zero without edges between faces."""
        mesh = frame.render.require_mesh("loss 'normal-consistency'")
        first, second = adjacent_faces(mesh).unbind(dim=1)
        has_normal = mesh.face_areas().detach() > _SMALLEST_AREA
        is_kept = has_normal[first] & has_normal[second]
        normals = mesh.face_normals()
        cosine = (normals[first[is_kept]] * normals[second[is_kept]]).sum(dim=1)
        return TermOutput(losses={"normal-consistency": (1.0 - cosine).sum() / max(1, len(cosine))})


@LOSSES.register("laplacian")
class Laplacian(Loss):
    """Mean distance of a vertex from the mean of its neighbours: the uniform Laplacian (Desbrun et al. 1999)."""

    needs = frozenset({Buffer.MESH})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, in world units; zero without faces."""
        mesh = frame.render.require_mesh("loss 'laplacian'")
        offset = neighbour_means(mesh) - mesh.vertices
        return TermOutput(losses={"laplacian": offset.norm(dim=1).sum() / max(1, len(offset))})


def edges(mesh: Mesh) -> Int[Tensor, "E 2"]:
    """The vertices of every edge, each edge once, the lower number first."""
    return _vertex_pair(_edge_keys(mesh).unique(), len(mesh.vertices))


def adjacent_faces(mesh: Mesh) -> Int[Tensor, "P 2"]:
    """Pairs of faces that share an edge; where more than two do, each with the next."""
    keys, order = _edge_keys(mesh).sort(stable=True)
    face = order % max(1, len(mesh.faces))
    is_shared = keys[1:] == keys[:-1]
    return torch.stack([face[:-1][is_shared], face[1:][is_shared]], dim=1)


def neighbour_means(mesh: Mesh) -> Float[Tensor, "V 3"]:
    """The mean of each vertex's neighbours along edges; a vertex without any is its own."""
    pairs = edges(mesh)
    here, there = torch.cat([pairs, pairs.flip(1)]).unbind(dim=1)
    total = torch.zeros_like(mesh.vertices).index_add(0, here, mesh.vertices[there])
    count = torch.bincount(here, minlength=len(mesh.vertices))[:, None]
    return torch.where(count > 0, total / count.clamp(min=1), mesh.vertices)


def _edge_keys(mesh: Mesh) -> Int[Tensor, "S"]:
    """One number for the two vertices of each side of each face; side k of face i stands at k F + i."""
    faces = mesh.faces.long()
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return sides.amin(dim=1) * len(mesh.vertices) + sides.amax(dim=1)


def _vertex_pair(keys: Int[Tensor, "E"], num_vertices: int) -> Int[Tensor, "E 2"]:
    return torch.stack([keys // max(1, num_vertices), keys % max(1, num_vertices)], dim=1)
