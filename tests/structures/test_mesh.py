"""Normals of meshes."""

from __future__ import annotations

import torch

from framework.structures.mesh import Mesh

CORNERS = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1]])


def test_a_face_is_seen_from_where_it_runs_counter_clockwise() -> None:
    mesh = Mesh(CORNERS, torch.tensor([[0, 1, 2], [0, 2, 1], [0, 0, 1]]))
    assert mesh.face_normals().tolist() == [[0, 0, 1], [0, 0, -1], [0, 0, 0]]


def test_vertex_normals_weigh_faces_by_their_area() -> None:
    mesh = Mesh(CORNERS, torch.tensor([[0, 1, 2], [0, 3, 1]]))  # areas 2 (+z) and 1 (+y)
    shared = torch.tensor([0.0, 1, 2]) / 5**0.5
    torch.testing.assert_close(
        mesh.vertex_normals(), torch.stack([shared, shared, torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 1, 0])])
    )
