"""Scenes that begin where another run ended, or as a mesh file: their shapes converted, all else taken over where it fits.

Material and background are taken over where the new scene asks for the same ones; else they begin anew.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from framework.core.checkpoint import load_newest
from framework.core.config import parse
from framework.core.errors import Problem
from framework.core.registries import GEOMETRIES, RENDERERS, SYSTEMS
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo, named_generator
from framework.core.yaml_tree import load_tree
from framework.export.isosurface import sample_density
from framework.export.threshold import choose_threshold, silhouette_views
from framework.geometry.base import Geometry
from framework.geometry.conversion import can_convert, conversions_from, convert
from framework.renderers.base import Scene
from framework.structures.field import Attribute
from framework.systems.scenes import Scenes, below

if TYPE_CHECKING:
    from framework.geometry.triangle_mesh import TriangleMesh

MESH_FILES = (".glb", ".gltf", ".obj", ".ply")
"""Endings of the files that count as meshes."""
_MESH = "triangle-mesh"
_SYSTEM = "distillation"
_RESOLUTION = 96  # of the grid in which a density's surface is looked for

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """What a scene starts from.

    Attributes:
        scenes: All scenes of the run.
        run: Its configuration.
        step: Its end.
    """

    scenes: Scenes
    run: RunConfig
    step: StepInfo

    @classmethod
    def open(cls, folder: Path) -> Source:
        """The scenes of a run folder as its newest checkpoint holds them.

        Raises:
            UserError: If there is no run or no checkpoint, or it cannot be read.
        """
        directory = RunDirectory.open(folder).result()
        run = source_config(directory.root)
        content, _ = load_newest(directory.candidates())
        scenes = Scenes.build(run.system.scene, run.system.n_particles, run)
        state = below("scenes.", content["state"]["system"])
        scenes.make_room(state)
        scenes.load_state_dict(state)
        step = StepInfo(int(content["step"]), run.trainer.max_steps, run.seed, 0, "export")
        return cls(scenes.requires_grad_(False), run, step)


def start_problems(run: RunConfig, source: RunConfig | None) -> list[Problem]:
    """Why `run` cannot start from `source`, or without one from the path that it names."""
    where = "start_from"
    if SYSTEMS.name_of(run.system) != _SYSTEM:
        system = SYSTEMS.name_of(run.system)
        return [Problem(where, f"system '{system}' has no scene that could come from elsewhere; remove the setting.")]
    path = Path(str(run.start_from))
    if source is None and path.suffix.lower() in MESH_FILES:
        missing = [] if path.is_file() else [Problem(where, f"there is no mesh file {path}.")]
        return missing + _conversion_problems(_MESH, run)
    source = source or source_config(path)
    if SYSTEMS.name_of(source.system) != _SYSTEM:
        return [Problem(where, f"{run.start_from} holds no scene, but a run of '{SYSTEMS.name_of(source.system)}'.")]
    return _conversion_problems(GEOMETRIES.name_of(source.system.scene.geometry), run)


def source_config(folder: Path) -> RunConfig:
    """The configuration of a run folder, of its last stage where it has several.

    Raises:
        UserError: If there is no such run.
    """
    return parse(RunConfig, load_tree(RunDirectory.open(folder).result().config))


def start_scenes(scenes: Scenes, run: RunConfig, path: Path) -> None:
    """Give `scenes` of a new run the shapes and looks of those at `path`, a run folder or a mesh file, in place.

    Scene k starts from scene k of the run, or from its first one where it has fewer.

    Raises:
        UserError: If there is nothing there, or it has no surface.
    """
    if path.suffix.lower() in MESH_FILES:
        step = StepInfo(0, run.trainer.max_steps, run.seed, 0, "export")
        for index, (_, scene) in enumerate(scenes.named()):
            geometry = _mesh_geometry(path, run)
            geometry.learn_look(scene.material.features_of)
            _shape(scene, geometry, run, step=step, threshold=None, index=index)
        return
    source = Source.open(path)
    for index, (_, scene) in enumerate(scenes.named()):
        former = source.scenes.at(index if index < len(source.scenes) else 0)
        threshold = _threshold(former, source)
        _shape(scene, former.geometry, run, step=source.step, threshold=threshold, index=index)
        _take_over(scene, former)


def _shape(
    scene: Scene, source: Geometry, run: RunConfig, *, step: StepInfo, threshold: float | None, index: int
) -> None:
    config, generator = scene.geometry.config, named_generator(run.seed, f"start.{index}")
    scene.geometry = convert(source, config, step=step, generator=generator, backends=run.backends, threshold=threshold)


def _take_over(scene: Scene, former: Scene) -> None:
    """Load the former material, background and occupied space into those of the same kind."""
    pairs: list[tuple[str, Any, Any]] = [
        ("material", scene.material, former.material),
        ("background", scene.background, former.background),
    ]
    for name, new, old in pairs:
        if type(new) is type(old) and _shapes(new) == _shapes(old):
            new.load_state_dict(old.state_dict())
        else:
            _log.info("The %s begins anew: it is another one than before.", name)
    for new, old in ((scene.occupancy, former.occupancy), (scene.proposals, former.proposals)):
        if _shapes(new) == _shapes(old):
            new.load_state_dict(old.state_dict())


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


@torch.no_grad()
def _threshold(scene: Scene, source: Source) -> float | None:
    """The density at which the surface of a volume lies; None of what has a surface of its own.

    Raises:
        UserError: If the volume is empty.
    """
    if Attribute.DENSITY not in scene.geometry.answers or Attribute.SIGNED_DISTANCE in scene.geometry.answers:
        return None
    grid = sample_density(scene.geometry, resolution=_RESOLUTION, step=source.step)
    views = silhouette_views(grid.radius)
    renderer = RENDERERS.build(source.run.system.renderer, backends=source.run.backends)
    opacity = renderer.render(views, scene, frozenset(), source.step).opacity
    return choose_threshold(grid, views, opacity).value


def mesh_settings(path: Path, run: RunConfig) -> TriangleMesh.Config:
    """How a run reads the mesh file that it starts from: by the settings of its own 'triangle-mesh', else the defaults."""
    cls: type[TriangleMesh] = GEOMETRIES.find(_MESH)
    own = run.system.scene.geometry
    settings = own if isinstance(own, cls.Config) else cls.Config()
    return dataclasses.replace(settings, mesh=str(path))


def _mesh_geometry(path: Path, run: RunConfig) -> TriangleMesh:
    generator = named_generator(run.seed, "start")
    mesh: TriangleMesh = GEOMETRIES.build(mesh_settings(path, run), generator=generator, backends=run.backends)
    return mesh


def _conversion_problems(source: str, run: RunConfig) -> list[Problem]:
    target = GEOMETRIES.name_of(run.system.scene.geometry)
    if can_convert(source, target):
        return []
    known = ", ".join(f"'{name}'" for name in conversions_from(source)) or "nothing"
    message = f"geometry '{source}' cannot be converted to '{target}'; it can be to {known}."
    return [Problem("system.scene.geometry", message)]
