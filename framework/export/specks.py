"""Parts of a mesh that float beside the object."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy  # Its parts are loaded when they are used.
import torch
from jaxtyping import Int

from framework.structures.mesh import Mesh


def without_small_parts(mesh: Mesh, *, min_fraction: float) -> Mesh:
    """The mesh without connected parts whose surface is less than `min_fraction` of the whole; the largest always stays.

    Vertices at one place count as one, so that seams of a texture join what they part. Vertices are kept, used or not.
    """
    faces = _joined(mesh)
    if len(faces) == 0:
        return mesh
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    count = int(faces.max()) + 1
    graph = scipy.sparse.coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), (count, count))
    part = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][faces[:, 0]]  # of each face
    sizes = np.bincount(part, weights=mesh.face_areas().detach().cpu().numpy())
    is_kept = sizes >= min_fraction * sizes.sum()
    is_kept[sizes.argmax()] = True
    return dataclasses.replace(mesh, faces=mesh.faces[torch.from_numpy(is_kept[part]).to(mesh.faces.device)])


def _joined(mesh: Mesh) -> Int[np.ndarray, "F 3"]:
    """The faces, with one index for all vertices at one place."""
    vertices = mesh.vertices.detach().cpu().numpy()
    index = np.unique(vertices, axis=0, return_inverse=True)[1].reshape(-1)
    return np.asarray(index[mesh.faces.cpu().numpy()])
