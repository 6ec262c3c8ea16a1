"""What a renderer yields and what terms may require of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jaxtyping import Float, Int
from torch import Tensor

from framework.core.errors import MissingBuffer
from framework.structures.mesh import Mesh
from framework.structures.rays import RaySamples


class Buffer(enum.Enum):
    """Buffers that a render may hold; the value is what messages call it."""

    RGB = "rgb"
    OPACITY = "opacity"
    DEPTH = "depth"
    NORMAL = "normal"
    LATENT = "latent"
    SAMPLES = "ray samples"
    MESH = "mesh"


@dataclass(frozen=True)
class VolumeSamples:
    """Samples behind a volume render.

    Attributes:
        samples: Intervals along the rays, packed.
        weights: Share of each sample in its pixel.
        shaded: Indices of the samples that were shaded (those of enough weight).
        normals: Unit normals of the shaded samples, or None where none were needed.
        directions: Unit ray directions of the shaded samples.
    """

    samples: RaySamples
    weights: Float[Tensor, "M"]
    shaded: Int[Tensor, "K"]
    normals: Float[Tensor, "K 3"] | None
    directions: Float[Tensor, "K 3"]


@dataclass(frozen=True)
class RenderOutput:
    """Images of B views.

    Attributes:
        rgb: In [0, 1], sRGB, composited over the background.
        opacity: In [0, 1].
        depth: Expected distance along the ray weighted by opacity (not divided by it), world units.
        normal: Opacity-weighted world-space normals, unit length where opaque, zero outside; None unless needed.
        volume: The samples behind a volume render; None unless needed.
        mesh: The surface that was drawn, differentiable; None unless needed.
        latent: Latents of a diffusion model's autoencoder, composited over those of the background; None unless needed, and
            of materials that have none.
        sampler_loss: What networks that choose the samples of a volume learn from this render; None where there are none,
            and out of training.
        renderer: Registered name of the renderer, for messages.
        extras: Further buffers registered by extensions.
    """

    rgb: Float[Tensor, "B H W 3"]
    opacity: Float[Tensor, "B H W 1"]
    depth: Float[Tensor, "B H W 1"]
    renderer: str
    normal: Float[Tensor, "B H W 3"] | None = None
    volume: VolumeSamples | None = None
    mesh: Mesh | None = None
    latent: Float[Tensor, "B h w C"] | None = None
    sampler_loss: Float[Tensor, ""] | None = None
    extras: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))

    def require(self, buffer: Buffer, user: str) -> Tensor:
        """The image called `buffer`.

        Raises:
            MissingBuffer: If the render does not hold it; names the user, the renderer and the fix.
        """
        image: Tensor | None = {
            Buffer.RGB: self.rgb,
            Buffer.OPACITY: self.opacity,
            Buffer.DEPTH: self.depth,
            Buffer.NORMAL: self.normal,
            Buffer.LATENT: self.latent,
        }.get(buffer)
        if image is None:
            raise self._missing(buffer, user)
        return image

    def require_volume(self, user: str) -> VolumeSamples:
        """The samples behind the render; raises `MissingBuffer` where there are none."""
        if self.volume is None:
            raise self._missing(Buffer.SAMPLES, user)
        return self.volume

    def require_mesh(self, user: str) -> Mesh:
        """The surface behind the render; raises `MissingBuffer` where there is none."""
        if self.mesh is None:
            raise self._missing(Buffer.MESH, user)
        return self.mesh

    def _missing(self, buffer: Buffer, user: str) -> MissingBuffer:
        return MissingBuffer(
            f"{user}: needs '{buffer.value}', which this render by '{self.renderer}' does not hold. "
            f"Declare Buffer.{buffer.name} in its `needs`, or use a renderer that provides it."
        )
