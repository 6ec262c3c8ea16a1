"""Geometries made from other geometries: a table of what can become what, and the features that go along.

The new shape is the same solid: the source's closed mesh, or its signed distance where it has one, decides what is
inside. Features are inherited, weight by weight, where both have the same encoding and layers; then they are equal.
Otherwise, and where a network has to learn the shape beside them, they are fitted to the source's near the surface. The
source is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import GEOMETRIES
from framework.core.step import StepInfo
from framework.geometry.base import Geometry, SurfaceGeometry
from framework.geometry.feature_surface import FeatureSurface
from framework.geometry.fitting import fit
from framework.geometry.isosurface_grid import IsosurfaceGrid
from framework.geometry.level_set import density_mesh, distance_mesh
from framework.geometry.neural_field import NeuralField
from framework.geometry.point_network import PointNetwork
from framework.geometry.shape_initialization import MeshDistance
from framework.geometry.signed_distance_field import SignedDistanceField
from framework.geometry.surface_points import surface_points
from framework.geometry.triangle_mesh import TriangleMesh
from framework.geometry.volume_field import VolumeField
from framework.ops.backends import AUTO
from framework.ops.chunks import in_chunks
from framework.structures.field import Attribute, FieldQuery
from framework.structures.mesh import Mesh

_log = logging.getLogger(__name__)

_POINTS = 1 << 17
_BATCH = 1 << 12
_POINTS_AT_ONCE = 1 << 18
_RESOLUTION = 128  # of the grid on which surfaces of fields are found
_FEATURE_ITERATIONS = 300
_FIELD_ITERATIONS = 400
_SETTINGS_OF_VALUES = ("radius", "density_bias", "density_activation", "initial_shape", "weight_range")


@dataclass(frozen=True)
class Conversion:
    """What a conversion has to work with.

    Attributes:
        source: Left as it is.
        step: When the source is asked.
        generator: Source of the points that are drawn, on the CPU.
        threshold: Density of the surface of a volume, per world unit; None looks for one.
    """

    source: Geometry
    step: StepInfo
    generator: torch.Generator
    threshold: float | None

    def mesh(self) -> Mesh:
        """The closed surface of the source.

        Raises:
            UserError: If it has none.
        """
        if isinstance(self.source, SurfaceGeometry):
            mesh = self.source.surface(self.step)
            if len(mesh.faces) == 0:
                raise UserError(
                    f"geometry '{_name(self.source)}': the surface has vanished; it has no faces to convert."
                )
            return Mesh(mesh.vertices.detach(), mesh.faces)
        if Attribute.SIGNED_DISTANCE in self.source.answers:
            return distance_mesh(self.source, step=self.step, resolution=_RESOLUTION)
        return density_mesh(self.source, step=self.step, threshold=self.threshold, resolution=_RESOLUTION)

    def features(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N F"]:
        """Features of the source at world positions."""
        wants = frozenset({Attribute.FEATURES})
        samples = in_chunks(
            lambda part: self.source.query(FieldQuery(positions[part], self.step, wants)),
            len(positions),
            size=_POINTS_AT_ONCE,
            what="points",
        )
        return torch.cat([sample.features for sample in samples if sample.features is not None])

    def points(self, mesh: Mesh, *, spread: float) -> Float[Tensor, "N 3"]:
        """Random points around a mesh; `spread` is their standard deviation from it, world units."""
        _, _, positions = surface_points(mesh, _POINTS, self.generator)
        return positions + spread * torch.randn(_POINTS, 3, generator=self.generator).to(positions)


Convert = Callable[[Conversion, Geometry], None]
_TABLE: list[tuple[type[Any], type[Any], Convert]] = []


def converts(source: type[Any], *, to: type[Any]) -> Callable[[Convert], Convert]:
    """Decorator for a function that gives a new geometry of class `to` the shape and features of one of class `source`.

    Subclasses are included. Where several functions fit, the one that was added last is taken.
    """

    def add(function: Convert) -> Convert:
        _TABLE.append((source, to, function))
        return function

    return add


def can_convert(source: str, target: str) -> bool:
    """Whether a geometry registered as `source` can become one registered as `target`.

    A name can always become itself, provided that the settings allow it.
    """
    return source == target or _find(GEOMETRIES.find(source), GEOMETRIES.find(target)) is not None


def conversions_from(source: str) -> list[str]:
    """Names of all geometries that one registered as `source` can become."""
    return [target for target in GEOMETRIES.names() if can_convert(source, target)]


@torch.no_grad()
def convert(
    source: Geometry,
    config: Geometry.Config,
    *,
    step: StepInfo,
    generator: torch.Generator,
    backends: dict[str, str],
    threshold: float | None = None,
) -> Geometry:
    """A geometry as `config` describes it with the shape and the features of `source`, on the source's device.

    Args:
        source: Left as it is.
        config: Of the new geometry; its initial shape is replaced.
        step: When the source is asked.
        generator: Of initial weights and of the points of fits, on the CPU.
        backends: Requested implementation by operation.
        threshold: Density of the surface, per world unit, where the source is a volume; by default the one whose
            silhouettes match what looks opaque.

    Raises:
        UserError: If there is no such conversion (names those that there are), or the source has no surface.
    """
    target: Geometry = GEOMETRIES.build(config, generator=generator, backends=backends)
    target = target.to(next(source.parameters()).device)
    if type(target) is type(source) and _has_equal_values(source, target):
        target.load_state_dict(source.state_dict())
        return target
    function = _find(type(source), type(target))
    if function is None:
        known = [name for name in conversions_from(_name(source)) if name != _name(source)]
        known_text = ", ".join(f"'{name}'" for name in known) or "nothing"
        differently = " of other settings" if type(target) is type(source) else ""
        raise UserError(
            f"geometry '{_name(source)}' cannot be converted to '{_name(target)}'{differently}; it can be to {known_text}."
        )
    function(Conversion(source, step, generator, threshold), target)
    return target


@converts(VolumeField, to=IsosurfaceGrid)
@converts(SurfaceGeometry, to=IsosurfaceGrid)
def _grid_from_mesh(conversion: Conversion, target: Geometry) -> None:
    assert isinstance(target, IsosurfaceGrid)
    distance = MeshDistance(conversion.mesh(), backend=target.backends.get("mesh-raycasting", AUTO))
    target.take_distances(distance(target.rest_positions))
    _check_resolved(target, conversion.source)
    _hand_on_features(conversion, target)


@converts(SignedDistanceField, to=IsosurfaceGrid)
def _grid_from_distance(conversion: Conversion, target: Geometry) -> None:
    """From the field's own distances, which need no mesh between."""
    assert isinstance(target, IsosurfaceGrid)
    query = FieldQuery(target.rest_positions, conversion.step, frozenset({Attribute.SIGNED_DISTANCE}))
    distances = conversion.source.query(query).signed_distance
    assert distances is not None
    target.take_distances(distances)
    _check_resolved(target, conversion.source)
    _hand_on_features(conversion, target)


@converts(VolumeField, to=TriangleMesh)
@converts(SignedDistanceField, to=TriangleMesh)
@converts(SurfaceGeometry, to=TriangleMesh)
def _mesh_of(conversion: Conversion, target: Geometry) -> None:
    assert isinstance(target, TriangleMesh)
    if target.config.mesh is not None:
        raise UserError(
            f"geometry.mesh: {target.config.mesh} is not needed, as the mesh comes from elsewhere; remove it."
        )
    source = conversion.source
    target.take_mesh(conversion.mesh(), textured_as=source if isinstance(source, TriangleMesh) else None)
    _hand_on_features(conversion, target)


@converts(VolumeField, to=SignedDistanceField)
@converts(SurfaceGeometry, to=SignedDistanceField)
@converts(SignedDistanceField, to=SignedDistanceField)
def _distance_field(conversion: Conversion, target: Geometry) -> None:
    """The network learns the distance everywhere, and the features near the surface."""
    assert isinstance(target, SignedDistanceField)
    if _is_inheritable(conversion.source, target):
        _inherit_features(conversion.source, target)
    mesh, radius = conversion.mesh(), target.config.radius
    near = conversion.points(mesh, spread=0.03 * radius)
    uniform = (2.0 * torch.rand(_POINTS // 4, 3, generator=conversion.generator) - 1.0).to(near) * radius
    positions = torch.cat([near, uniform]).clamp(-radius, radius)
    distances = MeshDistance(mesh, backend=target.backends.get("mesh-raycasting", AUTO))(positions)
    _fit_field(conversion, target, positions, distances, num_near=len(near))


def _fit_field(
    conversion: Conversion, target: SignedDistanceField, positions: Tensor, distances: Tensor, *, num_near: int
) -> None:
    """Learn the distance at all positions and the features at the first `num_near`."""
    features = conversion.features(positions[:num_near])
    channels = min(features.shape[1], target.config.num_features)
    weight = _feature_weight(features)
    wants = frozenset({Attribute.SIGNED_DISTANCE, Attribute.FEATURES})

    def loss(index: Tensor) -> Tensor:
        index = index.to(positions.device)
        sample = target.query(FieldQuery(positions[index], conversion.step, wants))
        assert sample.signed_distance is not None and sample.features is not None
        is_near = index < num_near
        missed = sample.features[is_near][:, :channels] - features[index[is_near], :channels]
        return (sample.signed_distance - distances[index]).abs().mean() + weight * missed.square().mean()

    fit(
        [*target.encoding.parameters(), *target.mlp.parameters()],
        loss,
        num_points=len(positions),
        batch_size=_BATCH,
        iterations=_FIELD_ITERATIONS,
        generator=conversion.generator,
    )


def _feature_weight(features: Tensor) -> float:
    """Makes a squared error as large as the features' variance count as much as a tenth of a world unit of distance."""
    return 0.1 / max(1e-2, float(features.var()))


def _hand_on_features(conversion: Conversion, target: FeatureSurface) -> None:
    """Weights where these fit, else a fit near the surface."""
    if _is_inheritable(conversion.source, target):
        _inherit_features(conversion.source, target)
        return
    positions = conversion.points(target.surface(conversion.step), spread=0.01 * target.config.radius)
    features = conversion.features(positions)[:, : target.config.num_features]
    error = target.fit_features(
        positions, features, step=conversion.step, generator=conversion.generator, iterations=_FEATURE_ITERATIONS
    )
    _log.info(
        "Features of '%s' were fitted to those of '%s', which have other layers: error %.3g of a spread of %.3g.",
        _name(target),
        _name(conversion.source),
        error,
        float(features.std()),
    )


def _is_inheritable(source: Geometry, target: PointNetwork) -> bool:
    """Whether both networks are the same but for channels beside the features."""
    if not isinstance(source, PointNetwork):
        return False
    names = ("encoding", "hidden_dim", "num_hidden_layers", "num_features", "radius")
    return all(getattr(source.config, name) == getattr(target.config, name) for name in names)


def _inherit_features(source: Geometry, target: PointNetwork) -> None:
    assert isinstance(source, PointNetwork)
    target.encoding.load_state_dict(source.encoding.state_dict())
    *hidden, last = target.mlp.weights
    *source_hidden, source_last = source.mlp.weights
    for weight, other in zip(hidden, source_hidden, strict=True):
        weight.copy_(other)
    last[_feature_rows(target)] = source_last[_feature_rows(source)]


def _feature_rows(geometry: PointNetwork) -> slice:
    """Which outputs of the perceptron are the features; a field's first one is its scalar."""
    first = 1 if isinstance(geometry, NeuralField) else 0
    return slice(first, first + geometry.config.num_features)


def _check_resolved(target: IsosurfaceGrid, source: Geometry) -> None:
    if not bool((target.distances() < 0.0).any()):
        raise UserError(
            f"geometry '{_name(target)}': the shape of '{_name(source)}' holds none of the grid's vertices. Raise "
            f"geometry.resolution above {target.config.resolution}."
        )


def _has_equal_values(source: Geometry, target: Geometry) -> bool:
    """Whether a state means the same in both."""
    shapes = [{name: value.shape for name, value in part.state_dict().items()} for part in (source, target)]
    settings = [[getattr(part.config, name, None) for name in _SETTINGS_OF_VALUES] for part in (source, target)]
    return shapes[0] == shapes[1] and settings[0] == settings[1]


def _find(source: type[Geometry], target: type[Geometry]) -> Convert | None:
    for known_source, known_target, function in reversed(_TABLE):
        if issubclass(source, known_source) and issubclass(target, known_target):
            return function
    return None


def _name(geometry: Geometry) -> str:
    return GEOMETRIES.name_of(geometry.config)
