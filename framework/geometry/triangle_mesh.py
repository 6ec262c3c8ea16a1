"""A triangle mesh, from a file or from another geometry, whose vertices may move.

Vertices are welded, so that smooth normals and outlines know no seams; a file's texture coordinates are kept beside them,
one for each corner of a face, for what is exported, and with them its textures of roughness, metallic and normals. A material
that has such properties begins with those of the file and exports its own; with others those of the file stay.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import trimesh
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from framework.core.errors import UserError
from framework.core.registries import GEOMETRIES
from framework.core.step import StepInfo
from framework.geometry.base import ToFeatures
from framework.geometry.feature_surface import FeatureSurface
from framework.geometry.mesh_file import load_mesh, warn_of_irregular_edges, welded
from framework.geometry.surface_points import surface_points
from framework.geometry.texture_coordinates import corner_uvs, split_at_seams, warn_unless_unique
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.surface import base_color, interpolate, sample_texture

_log = logging.getLogger(__name__)

_COLOR_POINTS = 1 << 17
_IMAGES = ("orm", "normal_map")


@GEOMETRIES.register("triangle-mesh")
class TriangleMesh(FeatureSurface):
    """A triangle mesh of fixed connectivity, loaded from a file or converted from another geometry."""

    @dataclass(kw_only=True, frozen=True)
    class Config(FeatureSurface.Config):
        mesh: str | None = None
        """Mesh file (GLB, OBJ, PLY, ...); without it, a sphere until a conversion brings another mesh."""
        size: float | None = 1.4
        """Longest side of the file's bounding box after it was centred, world units; null leaves it as it is."""
        up: Literal["auto", "y", "z"] = "auto"
        """Axis of the file that points up; y for glTF and OBJ and z for all others by default."""
        optimize_vertices: bool = False
        """Whether vertices are trained; otherwise only the features are."""
        color_iterations: int = 400
        """Iterations in which the features learn the look of the file, if it has any; 0 ignores it."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.size is not None and self.size <= 0.0:
                raise ValueError(f"size must be positive, got {self.size:g}.")
            if self.color_iterations < 0:
                raise ValueError(f"color_iterations must not be negative, got {self.color_iterations}.")

    config: Config
    vertices: Tensor
    faces: Tensor
    uvs: Tensor
    orm: Tensor
    normal_map: Tensor

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        """Build from the file.

        Raises:
            UserError: If the file cannot be used, or the mesh reaches out of the cube.
        """
        super().__init__(config, generator=generator, backends=backends)
        loaded = _sphere(0.5 * config.radius) if config.mesh is None else _load(config)
        mesh, device = welded(loaded), generator.device
        if len(mesh.faces) == 0:
            raise UserError(f"{config.mesh}: none of its triangles has three corners in different places.")
        if config.optimize_vertices:
            self.vertices = nn.Parameter(mesh.vertices.to(device))
        else:
            self.register_buffer("vertices", mesh.vertices.to(device))
        self.register_buffer("faces", mesh.faces.to(device))
        self.register_buffer("uvs", _no_uvs().to(device))
        for name in _IMAGES:
            self.register_buffer(name, _no_image().to(device))
        self._untaught = None if config.mesh is None else (loaded, generator)
        if config.mesh is not None:
            self.uvs = self._file_uvs(loaded, generator).to(device)
            self._keep_images(loaded)
            warn_of_irregular_edges(mesh, config.mesh)

    def surface(self, step: StepInfo) -> Mesh:
        """The mesh in world space, differentiable with respect to its vertices if they are trained."""
        return Mesh(self.vertices, self.faces)

    def delivered(self, step: StepInfo) -> Mesh:
        """The surface with the texture coordinates of its file, if it has usable ones: vertices split at their seams."""
        surface = self.surface(step)
        if len(self.uvs) == 0:
            return surface
        images = [None if image.numel() == 0 else image.float() / 255.0 for image in (self.orm, self.normal_map)]
        kept = None if images[0] is None else SurfaceTextures(images[0], images[1])
        return dataclasses.replace(split_at_seams(surface, self.uvs), surface=kept)

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Take the size of the mesh in `state`, which after a conversion is not the one that the config names."""
        for name in {"vertices", "faces", "uvs", *_IMAGES} & state.keys():
            own = getattr(self, name)
            own.data = own.data.new_empty(state[name].shape)

    def take_mesh(self, mesh: Mesh, *, textured_as: TriangleMesh | None = None) -> None:
        """Replace the mesh by another one; the features stay.

        Args:
            mesh: Its vertices and faces are taken.
            textured_as: Has texture coordinates and textures for the same faces, if any.

        Raises:
            UserError: If it has no faces.
        """
        if len(mesh.faces) == 0:
            raise UserError("A 'triangle-mesh' cannot be made of a surface without faces: the shape has vanished.")
        device = self.vertices.device
        self.vertices.data = mesh.vertices.detach().to(device, torch.float32).clone()
        self.faces = mesh.faces.to(device, torch.int64).clone()
        self.uvs = _no_uvs().to(device) if textured_as is None else textured_as.uvs.to(device).clone()
        for name in _IMAGES:
            image = _no_image() if textured_as is None else getattr(textured_as, name)
            setattr(self, name, image.to(device).clone())

    def _file_uvs(self, mesh: Mesh, generator: torch.Generator) -> Float[Tensor, "K 3 2"]:
        """Texture coordinates at the corners of the welded faces; none if the file has none that are unique."""
        if mesh.uvs is None or not warn_unless_unique(mesh, str(self.config.mesh), generator):
            return _no_uvs()
        return corner_uvs(mesh)

    def _keep_images(self, mesh: Mesh) -> None:
        """Keep what the file has beside its colours, for the coordinates that are kept."""
        if mesh.surface is None:
            return
        if len(self.uvs) == 0:
            _log.warning(
                "%s: its roughness and metallic are kept by material 'physically-based' alone, as its texture coordinates "
                "are not.",
                self.config.mesh,
            )
            return
        for name, image in zip(_IMAGES, (mesh.surface.orm, mesh.surface.normal), strict=True):
            if image is not None:
                setattr(self, name, (255.0 * image).round().to(self.vertices.device, torch.uint8))

    def learn_look(self, to_features: ToFeatures) -> None:
        """Teach the features how the file looks, once."""
        untaught, self._untaught = self._untaught, None
        if untaught is None or self.config.color_iterations == 0:
            return
        mesh, generator = untaught
        if mesh.texture is None and mesh.colors is None:
            return
        face, barycentric, positions = surface_points(mesh, _COLOR_POINTS, generator)
        look = base_color(mesh, face, barycentric)
        if mesh.surface is not None and mesh.uvs is not None:
            orm = sample_texture(mesh.surface.orm, interpolate(mesh.uvs, mesh.faces, face, barycentric))
            look = torch.cat([look, orm[:, 1:]], dim=1)
        targets = to_features(look.to(self.vertices.device))[:, : self.config.num_features]
        self.fit_features(
            positions.to(self.vertices.device),
            targets.detach(),
            step=StepInfo(0, 1),
            generator=generator,
            iterations=self.config.color_iterations,
        )


def _load(config: TriangleMesh.Config) -> Mesh:
    assert config.mesh is not None
    mesh = load_mesh(config.mesh, up=config.up, size=config.size)
    reach = float(mesh.vertices.abs().max())
    if reach > config.radius:
        raise UserError(
            f"{config.mesh}: the mesh reaches {reach:.3g} from the origin, beyond the cube of geometry.radius "
            f"{config.radius:g}. Set geometry.size to at most {2.0 * config.radius:g}, or raise geometry.radius."
        )
    return mesh


def _no_uvs() -> Float[Tensor, "K 3 2"]:
    return torch.zeros(0, 3, 2)


def _no_image() -> UInt8[Tensor, "H W 3"]:
    return torch.zeros(0, 0, 3, dtype=torch.uint8)


def _sphere(radius: float) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(torch.from_numpy(sphere.vertices).float(), torch.from_numpy(sphere.faces).long())
