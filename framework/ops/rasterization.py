"""Triangle meshes as images: which triangle each pixel sees, and what its vertices say there.

With the homogeneous pixel coordinates P_k of a triangle's corners (see `framework.ops.pixel_coordinates`) and the ray d of
a pixel, the shares of the corners in the point that the pixel sees, and its depth, are
    b_k = e_k / (e_0 + e_1 + e_2),   e_0 = (P_1 x P_2) . d and so on,   t = sum_k b_k t_k
(Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997). The pixel lies in the triangle where
all e_k have one sign, and sees it where t > 0. This is perspective-correct and holds for triangles that reach behind the
camera, which need no clipping. Products are taken as P x Q = (P + Q) x (Q - P) / 2, which changes nothing but its sign
when P and Q change places: neighbours agree on the pixels of their common edge, and there are no gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.ops.backends import AUTO, load
from framework.ops.pixel_coordinates import project, ray_lengths
from framework.structures.cameras import Cameras
from framework.structures.record import TensorRecord


@dataclass(frozen=True, eq=False)
class Fragments(TensorRecord):
    """The nearest triangle at the centre of each pixel of B views.

    Attributes:
        face: Its number; -1 where there is none.
        barycentric: Shares of its three corners in the point that is seen; zero where there is none.
        depth: Distance to that point along the pixel's ray, world units; zero where there is none.
    """

    face: Int[Tensor, "B H W"]
    barycentric: Float[Tensor, "B H W 3"]
    depth: Float[Tensor, "B H W"]

    @property
    def is_covered(self) -> Bool[Tensor, "B H W"]:
        """Which pixels see a triangle."""
        return self.face >= 0


def rasterize(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], cameras: Cameras, *, backend: str = AUTO
) -> Fragments:
    """What `cameras` see of a mesh along the rays of `Cameras.rays()`; both sides of triangles are drawn.

    Barycentric coordinates and depth are differentiable in the vertices, for the triangles that are seen; that another
    one comes into sight is for `antialias` to tell. The torch implementation is differentiable any number of times, the
    others once. Gradients grow with the inverse cosine at which a triangle is seen.

    Args:
        vertices: World positions; computed as float32 where they are less precise.
        faces: Vertex indices.
        cameras: All of one image size, as `Cameras` are.

    Raises:
        ValueError: If there are no faces, if they name vertices that are not there, if vertices are not finite, or if
            either has not three columns.
    """
    shapes = tuple(vertices.shape), tuple(faces.shape)
    if vertices.dim() != 2 or faces.dim() != 2 or shapes[0][1] != 3 or shapes[1][1] != 3:
        raise ValueError(f"rasterize: vertices must be (V, 3) and faces (F, 3), got {shapes[0]} and {shapes[1]}.")
    if len(faces) == 0:
        raise ValueError("rasterize: the mesh has no faces.")
    _check_indices("rasterize", "vertices", faces, len(vertices))
    num_bad = len(vertices) - int(vertices.isfinite().all(dim=1).sum())
    if num_bad > 0:
        raise ValueError(f"rasterize: {num_bad} of {len(vertices)} vertices are not finite.")
    implementation = load("rasterization", vertices.device, backend)
    with torch.autocast(vertices.device.type, enabled=False):
        screen = project(vertices, cameras)
        face, barycentric, depth = implementation.rasterize(screen, faces, cameras.height, cameras.width)
    return Fragments(face, barycentric, depth * ray_lengths(cameras))


def interpolate(
    values: Float[Tensor, "V C"], faces: Int[Tensor, "F 3"], fragments: Fragments, *, backend: str = AUTO
) -> Float[Tensor, "B H W C"]:
    """Vertex values blended at what each pixel sees; zero where it sees nothing.

    Differentiable in `values` and in the barycentric coordinates. Half precision is computed as float32.

    Raises:
        ValueError: If faces name vertices that have no values.
    """
    _check_indices("interpolate", "rows of values", faces, len(values))
    implementation = load("rasterization", values.device, backend)
    face, barycentric = fragments.face.flatten(), fragments.barycentric.reshape(-1, 3)
    with torch.autocast(values.device.type, enabled=False):
        pixels = implementation.interpolate(values, faces, face, barycentric)
    return pixels.view(*fragments.face.shape, values.shape[1])


def _check_indices(operation: str, what: str, faces: Tensor, count: int) -> None:
    if len(faces) > 0 and (int(faces.min()) < 0 or int(faces.max()) >= count):
        span = f"{int(faces.min())} to {int(faces.max())}"
        raise ValueError(f"{operation}: faces name vertices from {span}, but there are {count} {what}.")
