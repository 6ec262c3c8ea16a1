"""Volume rendering (NeRF, arXiv:2003.08934) with uniform steps through occupied space.

The geometry is asked twice: for shape and features of all samples, and for normals, which cost four values each, of the
samples whose weight exceeds `min_weight`. With importance sampling it is asked for the shape once more before, without
gradients, and finds more samples where that has weight. All samples are coloured; one of less weight counts as facing the
camera, which changes a pixel by at most its weight. Density and features of all samples receive their gradients, so
that a shape can grow out of thin fog.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.registries import RENDERERS
from framework.core.step import StepInfo
from framework.geometry.normals import unit
from framework.ops.backends import AUTO
from framework.ops.chunks import in_chunks
from framework.ops.compositing import composite, weights_only
from framework.ops.importance_sampling import refine
from framework.ops.ray_sampling import sample_occupied, steps_across
from framework.renderers.base import Renderer, Scene
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

    samples: RaySamples
    positions: Float[Tensor, "M 3"]
    directions: Float[Tensor, "M 3"]
    density: Float[Tensor, "M"]
    features: Float[Tensor, "M F"]
    shaded: Int[Tensor, "K"] | None
    normals: Float[Tensor, "K 3"] | None

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
    """N rays composited over nothing; normals are unit vectors times opacity."""

    color: Float[Tensor, "N 3"]
    opacity: Float[Tensor, "N"]
    depth: Float[Tensor, "N"]
    normal: Float[Tensor, "N 3"] | None
    volume: VolumeSamples | None


class VolumeRenderer(Renderer, ABC):
    """Composites samples along rays; what remains to be said is how dense what the geometry answers is."""

    provides = frozenset(Buffer) - {Buffer.MESH, Buffer.LATENT}
    shape: Attribute
    """What the geometry is asked for along the rays, beside features and normals."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Renderer.Config):
        samples_per_ray: int = 96
        """Steps along the diagonal of the cube; shorter rays and empty space take fewer."""
        sampling: Literal["occupancy", "importance"] = "occupancy"
        """Uniform steps through occupied space, or these and further ones where they find weight."""
        importance_samples: int = 32
        """Samples added on each ray that meets occupied space, with sampling: importance."""
        near: float = 0.05
        """Distance from the camera before which nothing is seen, world units."""
        min_weight: float = 1e-3
        """Samples of less weight than this are not given normals."""
        evaluation_rays: int = 32768
        """Rays drawn at once in evaluation, which bounds its memory; halved where it does not suffice."""

        def __post_init__(self) -> None:
            if min(self.samples_per_ray, self.importance_samples, self.evaluation_rays) < 1:
                sizes = f"{self.samples_per_ray}, {self.importance_samples} and {self.evaluation_rays}"
                message = f"samples_per_ray, importance_samples and evaluation_rays must be positive, got {sizes}."
                raise ValueError(message)
            if self.near < 0.0 or self.min_weight < 0.0:
                sizes = f"{self.near:g} and {self.min_weight:g}"
                raise ValueError(f"near and min_weight must not be negative, got {sizes}.")

    config: Config

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
            volume=parts[0].volume,
        )

    def _pixels(
        self, rays: Rays, first: int, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo
    ) -> _Pixels:
        """The pixels of `rays`, the first of which is number `first` of `views`."""
        has_normals = Buffer.NORMAL in needs or Attribute.NORMALS in scene.material.needs_under(views.lights)
        field = self._field(rays, scene, step, has_normals=has_normals, is_kept=Buffer.SAMPLES in needs)
        view = (field.samples.ray_index + first) // (views.cameras.height * views.cameras.width)
        points = shading_points(field.positions, field.directions, field.all_normals(), views.lights, view)
        seen = scene.material.shade(points, field.features, step)
        if Buffer.NORMAL in needs and points.normals is not None:
            seen = torch.cat([seen, points.normals], dim=1)
        image = composite(field.density, seen, field.samples, backend=self.backends.get("compositing", AUTO))
        return _Pixels(
            color=image.features[:, :3],
            opacity=image.opacity,
            depth=image.depth,
            normal=unit(image.features[:, 3:]) * image.opacity[:, None] if Buffer.NORMAL in needs else None,
            volume=field.with_weights(image.weights) if Buffer.SAMPLES in needs else None,
        )

    def _field(self, rays: Rays, scene: Scene, step: StepInfo, *, has_normals: bool, is_kept: bool) -> _FieldAlongRays:
        """Samples along `rays` and what the geometry says of them; chooses those to shade if either flag is set."""
        samples = self._samples(rays, scene, step)
        positions = samples.positions(rays)
        sample = scene.geometry.query(FieldQuery(positions, step, _FEATURES | {self.shape}))
        assert sample.features is not None
        density = self.density(sample, samples, scene, step)
        shaded = self._shaded(density, samples) if has_normals or is_kept else None
        normals = None
        if shaded is not None and has_normals:
            normals = scene.geometry.query(FieldQuery(positions.index_select(0, shaded), step, _NORMALS)).normals
        directions = rays.directions.index_select(0, samples.ray_index)
        return _FieldAlongRays(samples, positions, directions, density, sample.features, shaded, normals)

    def _samples(self, rays: Rays, scene: Scene, step: StepInfo) -> RaySamples:
        samples = self._occupied_samples(rays, scene, step)
        return samples if self.config.sampling == "occupancy" else self._refined(samples, rays, scene, step)

    @torch.no_grad()
    def _refined(self, samples: RaySamples, rays: Rays, scene: Scene, step: StepInfo) -> RaySamples:
        """The samples, and further ones where they have weight."""
        sample = scene.geometry.query(FieldQuery(samples.positions(rays), step, frozenset({self.shape})))
        density = self.density(sample, samples, scene, step)
        weights = weights_only(density, samples, backend=self.backends.get("compositing", AUTO))
        return refine(
            samples,
            weights,
            count=self.config.importance_samples,
            jitter=_jitter(rays, step, "importance"),
            backend=self.backends.get("importance-sampling", AUTO),
        )

    def _occupied_samples(self, rays: Rays, scene: Scene, step: StepInfo) -> RaySamples:
        radius = scene.geometry.config.radius
        step_length = 2.0 * 3.0**0.5 * radius / self.config.samples_per_ray
        return sample_occupied(
            rays,
            scene.occupancy.is_occupied,
            radius=radius,
            step_length=step_length,
            near=self.config.near,
            jitter=_jitter(rays, step, "volume"),
            max_samples_per_ray=steps_across(radius, step_length),
            backend=self.backends.get("ray-sampling", AUTO),
        )

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


def _jitter(rays: Rays, step: StepInfo, name: str) -> Float[Tensor, "N"] | None:
    """Offsets in training, where equal ones on all rays would show as bands."""
    if not step.is_training:
        return None
    generator = step.batch_generator(name, rays.device)
    return step.own(torch.rand(step.rows(len(rays)), generator=generator, device=rays.device))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
