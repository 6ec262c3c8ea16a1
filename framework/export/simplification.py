"""Fewer triangles for the same shape, by quadric edge collapses (Garland and Heckbert, 1997)."""

from __future__ import annotations

import dataclasses

import fast_simplification
import numpy as np
import torch

from framework.structures.mesh import Mesh

# How eagerly edges collapse, tried in turn until the number of faces is reached; lower keeps the shape better.
_AGGRESSIVENESS = (3.0, 5.0, 7.0, 10.0, 15.0)


def decimate(mesh: Mesh, *, max_faces: int) -> Mesh:
    """The mesh with at most `max_faces` triangles and fresh vertex normals; attributes but positions are dropped.

    Raises:
        ValueError: If the mesh resists so far that even the roughest collapse leaves more.
    """
    vertices, faces = mesh.vertices.double().cpu().numpy(), mesh.faces.cpu().numpy().astype(np.int32)
    for aggressiveness in _AGGRESSIVENESS:
        if len(faces) <= max_faces:
            break
        vertices, faces = fast_simplification.simplify(vertices, faces, target_count=max_faces, agg=aggressiveness)
    if len(faces) > max_faces:
        raise ValueError(
            f"decimate: {len(faces)} of {len(mesh.faces)} faces are left, more than max_faces={max_faces}."
        )
    vertices, faces = _without_unused(vertices, faces)
    device = mesh.vertices.device
    simple = Mesh(torch.from_numpy(vertices).float().to(device), torch.from_numpy(faces).long().to(device))
    return dataclasses.replace(simple, normals=smooth_normals(simple))


def smooth_normals(mesh: Mesh) -> torch.Tensor:
    """Unit vertex normals (V, 3), the mesh's own or faces weighted by area; straight up where these are all degenerate.

    Files need unit vectors throughout: a zero normal is an error to the glTF validator.
    """
    normals = mesh.vertex_normals() if mesh.normals is None else mesh.normals
    is_zero = normals.norm(dim=-1) < 0.5
    return torch.where(is_zero[:, None], normals.new_tensor([0.0, 0.0, 1.0]), normals)


def _without_unused(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(-1, 3)
