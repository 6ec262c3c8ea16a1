"""Views: cameras together with the angles they stand at and the light they see.

The light model is the same for the toybox, the matte materials and the export: shaded = albedo (ambient + diffuse
max(0, n.l)), multiplied on sRGB values as they are. Plain ambient light (`Lights.ambient_only`) shows the base colour of
all that does not shine by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.structures.cameras import Cameras
from framework.structures.record import TensorRecord


@dataclass(frozen=True, eq=False)
class Lights(TensorRecord):
    """One point light with an ambient share for each of B views.

    Attributes:
        positions: World space.
        ambient: Weight of the light that arrives everywhere, in [0, 1]; 1 shows plain albedo when `diffuse` is 0.
        diffuse: Weight of the cosine term, in [0, 1].
        is_textureless: Views that show white albedo, so that shape alone must explain the image (DreamFusion, 3.2).
    """

    positions: Float[Tensor, "B 3"]
    ambient: Float[Tensor, "B"]
    diffuse: Float[Tensor, "B"]
    is_textureless: Bool[Tensor, "B"]

    @classmethod
    def ambient_only(cls, positions: Float[Tensor, "B 3"]) -> Lights:
        """Lights under which every surface shows its plain albedo."""
        one = torch.ones(len(positions), device=positions.device)
        return cls(positions, one, torch.zeros_like(one), torch.zeros_like(one, dtype=torch.bool))


@dataclass(frozen=True, eq=False)
class Views(TensorRecord):
    """B views of a scene.

    Attributes:
        cameras: The cameras themselves.
        azimuth, elevation: Where each camera stands, radians; azimuth 0 is the front of the object.
        distance: From the world's origin to the camera, world units.
        lights: What lights each view.
    """

    cameras: Cameras
    azimuth: Float[Tensor, "B"]
    elevation: Float[Tensor, "B"]
    distance: Float[Tensor, "B"]
    lights: Lights

    @classmethod
    def of_cameras(cls, cameras: Cameras) -> Views:
        """Views of an object at the origin, lit by plain ambient light."""
        positions = cameras.positions
        distance = positions.norm(dim=-1)
        azimuth = torch.atan2(positions[:, 1], positions[:, 0])
        elevation = torch.asin((positions[:, 2] / distance.clamp(min=1e-12)).clamp(-1.0, 1.0))
        return cls(cameras, azimuth, elevation, distance, Lights.ambient_only(positions))

    @classmethod
    def orbit(
        cls,
        azimuth: Float[Tensor, "B"],
        elevation: Float[Tensor, "B"],
        distance: Float[Tensor, "B"],
        fov_y: Float[Tensor, "B"],
        *,
        height: int,
        width: int,
        lights: Lights | None = None,
    ) -> Views:
        """Views from spheres about the origin, lit from the camera by plain ambient light unless `lights` are given."""
        cameras = Cameras.orbit(azimuth, elevation, distance, fov_y, height=height, width=width)
        return cls(cameras, azimuth, elevation, distance, lights or Lights.ambient_only(cameras.positions))
