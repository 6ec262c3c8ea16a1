"""What surfaces show of the light from all sides: the metallic-roughness model of glTF 2.0 by the split sum.

Reflected light is the blurred surrounding times the reflectance under uniform light (Karis 2013). Light is added up
linearly and shown in sRGB. Above 0.8 the shown light bends smoothly towards 1, so that what is too bright still learns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framework.materials.base import SurfaceProperties
from framework.materials.environment_light import EnvironmentLight, panorama
from framework.materials.microfacets import integrals, lookup
from framework.structures.srgb import to_linear, to_srgb

_DIELECTRIC = 0.04  # share that a non-metal mirrors head-on, of refractive index 1.5
_SHOULDER = 0.8


class Surroundings(nn.Module):
    """Colours of physically based surfaces under a panorama of light; has no parameters and no state."""

    def __init__(self, light: EnvironmentLight) -> None:
        super().__init__()
        self.light = light
        self.register_buffer("table", integrals().clone(), persistent=False)
        self.table: Tensor

    @classmethod
    def load(cls, light: str = "sky", *, rows: int = 64, brightness: float = 0.7) -> Surroundings:
        """The surroundings that `panorama` knows by a name or a path, of a mean radiance `brightness`."""
        return cls(EnvironmentLight(panorama(light, rows=rows), brightness=brightness))

    def color(
        self,
        surface: SurfaceProperties,
        normals: Float[Tensor, "N 3"],
        to_viewer: Float[Tensor, "N 3"],
        *,
        turn: float = 0.0,
    ) -> Float[Tensor, "N 3"]:
        """What surfaces show, in [0, 1], sRGB.

        Args:
            surface: With roughness and metallic.
            normals, to_viewer: Unit vectors, world space; the surface's own offset is added to the normals.
            turn: Of the surrounding about the vertical axis, counter-clockwise from above, radians.
        """
        assert surface.roughness is not None and surface.metallic is not None
        if len(normals) == 0:  # no texture can be sampled at no point
            return surface.base_color
        if surface.normal_offset is not None:
            normals = F.normalize(normals + surface.normal_offset, dim=1)
        base = to_linear(surface.base_color)
        return _shown(self.reflected(base, surface.metallic, surface.roughness, normals, to_viewer, turn=turn))

    def reflected(
        self,
        base: Float[Tensor, "N 3"],
        metallic: Float[Tensor, "N"],
        roughness: Float[Tensor, "N"],
        normals: Float[Tensor, "N 3"],
        to_viewer: Float[Tensor, "N 3"],
        *,
        turn: float = 0.0,
    ) -> Float[Tensor, "N 3"]:
        """Radiance towards the viewer, linear.

        Args:
            base: Base colour, linear, in [0, 1].
            metallic, roughness: In [0, 1].
            normals, to_viewer: Unit vectors, world space.
            turn: As in `color`.
        """
        head_on = _DIELECTRIC + (base - _DIELECTRIC) * metallic[:, None]
        cosine = (normals * to_viewer).sum(dim=1, keepdim=True)
        scale, bias, diffuse = lookup(self.table, cosine[:, 0].clamp(0.0, 1.0), roughness)
        direction = 2.0 * cosine * normals - to_viewer
        # A rough surface reflects more steeply than a mirror (Lagarde and de Rousiers 2014, 4.9.3).
        direction = F.normalize(torch.lerp(direction, normals, roughness.square()[:, None]), dim=1)
        mirrored = self.light.mirrored(direction, roughness, turn=turn)
        matte = base * ((1.0 - metallic) * diffuse)[:, None] * (1.0 - head_on)
        return matte * self.light.diffused(normals, turn=turn) + (head_on * scale[:, None] + bias[:, None]) * mirrored


def _shown(light: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """sRGB values below 1 of any linear light; as it is up to `_SHOULDER`, with a slope everywhere."""
    room = 1.0 - _SHOULDER
    bent = 1.0 - room * torch.exp(-(light.clamp_min(_SHOULDER) - _SHOULDER) / room)
    return to_srgb(torch.where(light <= _SHOULDER, light, bent))
