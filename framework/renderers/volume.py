"""Volume rendering (NeRF, arXiv:2003.08934).

The geometry is asked twice: for shape and features of all samples, and for normals, which cost four values each, of the
samples whose weight exceeds `min_weight`. With importance sampling it is asked for the shape once more before, without
gradients, and finds more samples where that has weight. All samples are coloured; one of less weight counts as facing the
camera, which changes a pixel by at most its weight. Density and features of all samples receive their gradients, so
that a shape can grow out of thin fog. Which points are samples at all is a matter of the slot `sampler`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from framework.core.component import slot
from framework.core.registries import RENDERERS, SAMPLERS
from framework.core.step import StepInfo
from framework.geometry.normals import unit
from framework.ops.backends import AUTO
from framework.ops.chunks import in_chunks
from framework.ops.compositing import composite, weights_only
from framework.renderers.base import Renderer, Scene
from framework.renderers.samplers import FoundSamples, RaySampler, Search
from framework.renderers.shading import shading_points
from framework.structures.field import Attribute, FieldQuery, FieldSample
from framework.structures.rays import Rays, RaySamples
from framework.structures.render_output import Buffer, RenderOutput, VolumeSamples
from framework.structures.views import Views

_FEATURES = frozenset({Attribute.FEATURES})
_NORMALS = frozenset({Attribute.NORMALS})


@dataclass(frozen=True)
class _FieldAlongRays:
    """What the geometry says of M samples, and of the K among them that are worth a normal.

    `shaded` and `normals` are None where nobody asks for them.
    """

    found: FoundSamples
    positions: Float[Tensor, "M 3"]
    directions: Float[Tensor, "M 3"]
    density: Float[Tensor, "M"]
    features: Float[Tensor, "M F"]
    shaded: Int[Tensor, "K"] | None
    normals: Float[Tensor, "K 3"] | None

    @property
    def samples(self) -> RaySamples:
        """Where it was asked."""
        return self.found.samples

    def all_normals(self) -> Float[Tensor, "M 3"] | None:
        """Normals of all samples; those that have none face the camera."""
        if self.shaded is None or self.normals is None:
            return None
        return torch.neg(self.directions).to(self.normals.dtype).index_copy(0, self.shaded, self.normals)

    def with_weights(self, weights: Float[Tensor, "M"]) -> VolumeSamples:
        """What a loss sees of the samples."""
        assert self.shaded is not None
        directions = self.directions.index_select(0, self.shaded)
        return VolumeSamples(self.samples, weights, self.shaded, self.normals, directions)


@dataclass(frozen=True)
class _Pixels:
    """N rays composited over nothing; normals are unit vectors times opacity, latents those of the material."""

    color: Float[Tensor, "N 3"]
    opacity: Float[Tensor, "N"]
    depth: Float[Tensor, "N"]
    normal: Float[Tensor, "N 3"] | None
    latent: Float[Tensor, "N C"] | None
    volume: VolumeSamples | None
    sampler_loss: Float[Tensor, ""] | None


class VolumeRenderer(Renderer, ABC):
    """Composites samples along rays; what remains to be said is how dense what the geometry answers is."""

    provides = frozenset(Buffer) - {Buffer.MESH}
    shape: Attribute
    """What the geometry is asked for along the rays, beside features and normals."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Renderer.Config):
        samples_per_ray: int = 96
        """Steps along the diagonal of the cube; shorter rays and empty space take fewer. With `sampler: proposal` as many
        on each ray that meets the cube."""
        sampler: RaySampler.Config = slot(SAMPLERS, default="occupancy")
        """Where samples are taken along the rays."""
        near: float = 0.05
        """Distance from the camera before which nothing is seen, world units."""
        min_weight: float = 1e-3
        """Samples of less weight than this are not given normals."""
        evaluation_rays: int = 32768
        """Rays drawn at once in evaluation, which bounds its memory; halved where it does not suffice."""

        def __post_init__(self) -> None:
            if min(self.samples_per_ray, self.evaluation_rays) < 1:
                sizes = f"{self.samples_per_ray} and {self.evaluation_rays}"
                raise ValueError(f"samples_per_ray and evaluation_rays must be positive, got {sizes}.")
            if self.near < 0.0 or self.min_weight < 0.0:
                sizes = f"{self.near:g} and {self.min_weight:g}"
                raise ValueError(f"near and min_weight must not be negative, got {sizes}.")

    config: Config

    def __init__(self, config: Config, *, backends: dict[str, str]) -> None:
        super().__init__(config, backends=backends)
        self.sampler: RaySampler = SAMPLERS.build(config.sampler)

    @classmethod
    def proposals(
        cls, config: Any, *, radius: float, generator: torch.Generator, backends: dict[str, str]
    ) -> Iterable[nn.Module]:
        """What the sampler learns of a scene."""
        sampler = SAMPLERS.find(SAMPLERS.name_of(config.sampler))
        networks: Iterable[nn.Module] = sampler.networks(
            config.sampler, radius=radius, generator=generator, backends=backends
        )
        return networks

    @abstractmethod
    def density(self, sample: FieldSample, samples: RaySamples, scene: Scene, step: StepInfo) -> Float[Tensor, "M"]:
        """Density of the samples, per world unit, from what the geometry answers in their middles."""

    def render(self, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo) -> RenderOutput:
        """Images of `views`; normals and ray samples only if in `needs`."""
        rays = views.cameras.rays()
        # Pieces would save nothing where a graph is kept: it holds them all.
        is_whole = (step.is_training and torch.is_grad_enabled()) or Buffer.SAMPLES in needs
        if is_whole:
            parts = [self._pixels(rays, 0, views, scene, needs, step)]
        else:
            parts = in_chunks(
                lambda part: self._pixels(rays[part], part.start, views, scene, needs, step),
                len(rays),
                size=self.config.evaluation_rays,
                what="rays",
            )
        shape = (len(views), views.cameras.height, views.cameras.width)
        opacity = _joined([part.opacity for part in parts])[:, None]
        background = scene.background.color(rays.directions.view(shape[0], -1, 3), step).reshape(-1, 3)
        color = torch.addcmul(_joined([part.color for part in parts]), 1.0 - opacity, background)
        normals = [part.normal for part in parts if part.normal is not None]
        return RenderOutput(
            rgb=color.view(*shape, 3),
            opacity=opacity.view(*shape, 1),
            depth=_joined([part.depth for part in parts]).view(*shape, 1),
            renderer=RENDERERS.name_of(self.config),
            normal=_joined(normals).view(*shape, 3) if Buffer.NORMAL in needs else None,
            latent=self._latents(parts, opacity, background, scene, shape),
            volume=parts[0].volume,
            sampler_loss=parts[0].sampler_loss if is_whole else None,
        )

    def _latents(
        self,
        parts: list[_Pixels],
        opacity: Float[Tensor, "N 1"],
        background: Float[Tensor, "N 3"],
        scene: Scene,
        shape: tuple[int, int, int],
    ) -> Float[Tensor, "B H W C"] | None:
        """Latents over those of the background, of materials that have some."""
        drawn = [part.latent for part in parts if part.latent is not None]
        if not drawn:
            return None
        behind = scene.material.latents_of_color(background)
        return torch.addcmul(_joined(drawn), 1.0 - opacity, behind).view(*shape, -1)

    def _pixels(
        self, rays: Rays, first: int, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo
    ) -> _Pixels:
        """The pixels of `rays`, the first of which is number `first` of `views`."""
        has_normals = Buffer.NORMAL in needs or Attribute.NORMALS in scene.material.needs_under(views.lights)
        field = self._field(rays, scene, step, has_normals=has_normals, is_kept=Buffer.SAMPLES in needs)
        view = (field.samples.ray_index + first) // (views.cameras.height * views.cameras.width)
        points = shading_points(field.positions, field.directions, field.all_normals(), views.lights, view)
        seen = [scene.material.shade(points, field.features, step)]
        if Buffer.NORMAL in needs and points.normals is not None:
            seen.append(points.normals)
        has_latents = Buffer.LATENT in needs and scene.material.has_latents
        if has_latents:
            seen.append(scene.material.latents(field.features))
        backend = self.backends.get("compositing", AUTO)
        image = composite(field.density, torch.cat(seen, dim=1), field.samples, backend=backend)
        color, *others = image.features.split([part.shape[1] for part in seen], dim=1)
        return _Pixels(
            color=color,
            opacity=image.opacity,
            depth=image.depth,
            normal=unit(others[0]) * image.opacity[:, None] if Buffer.NORMAL in needs else None,
            latent=others[-1] if has_latents else None,
            volume=field.with_weights(image.weights) if Buffer.SAMPLES in needs else None,
            sampler_loss=self.sampler.loss(field.found, image.weights) if step.is_training else None,
        )

    def _field(self, rays: Rays, scene: Scene, step: StepInfo, *, has_normals: bool, is_kept: bool) -> _FieldAlongRays:
        """Samples along `rays` and what the geometry says of them; chooses those to shade if either flag is set."""
        found = self.sampler.find(rays, self._search(rays, scene, step))
        samples = found.samples
        positions = samples.positions(rays)
        sample = scene.geometry.query(FieldQuery(positions, step, _FEATURES | {self.shape}))
        assert sample.features is not None
        density = self.density(sample, samples, scene, step)
        shaded = self._shaded(density, samples) if has_normals or is_kept else None
        normals = None
        if shaded is not None and has_normals:
            normals = scene.geometry.query(FieldQuery(positions.index_select(0, shaded), step, _NORMALS)).normals
        directions = rays.directions.index_select(0, samples.ray_index)
        return _FieldAlongRays(found, positions, directions, density, sample.features, shaded, normals)

    def _search(self, rays: Rays, scene: Scene, step: StepInfo) -> Search:
        @torch.no_grad()
        def weights(samples: RaySamples) -> Tensor:
            sample = scene.geometry.query(FieldQuery(samples.positions(rays), step, frozenset({self.shape})))
            density = self.density(sample, samples, scene, step)
            return weights_only(density, samples, backend=self.backends.get("compositing", AUTO))

        return Search(scene, step, self.config.samples_per_ray, self.config.near, weights, self.backends)

    @torch.no_grad()
    def _shaded(self, density: Float[Tensor, "M"], samples: RaySamples) -> Int[Tensor, "K"]:
        """Indices of the samples that are worth a normal."""
        weights = weights_only(density, samples, backend=self.backends.get("compositing", AUTO))
        return (weights > self.config.min_weight).nonzero()[:, 0]


@RENDERERS.register("volume")
class Volume(VolumeRenderer):
    """Volume rendering of density fields by uniform steps, skipping empty space."""

    asks = frozenset({Attribute.DENSITY, Attribute.FEATURES, Attribute.NORMALS})
    shape = Attribute.DENSITY

    @dataclass(kw_only=True, frozen=True)
    class Config(VolumeRenderer.Config):
        pass

    def density(self, sample: FieldSample, samples: RaySamples, scene: Scene, step: StepInfo) -> Float[Tensor, "M"]:
        """The geometry's own."""
        assert sample.density is not None
        return sample.density


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
