"""Text to 3D by score distillation: streams of views, one renderer, and terms that judge what it draws."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core import ranks
from framework.core.component import slot, slots
from framework.core.errors import Problem, UserError, did_you_mean
from framework.core.registries import (
    EXPORTERS,
    GEOMETRIES,
    GUIDANCES,
    LOSSES,
    MATERIALS,
    RENDERERS,
    STREAMS,
    SYSTEMS,
)
from framework.core.run_config import RunConfig
from framework.core.step import StepInfo
from framework.data.base import ViewStream
from framework.data.orbit_views import OrbitViews
from framework.export.loading import load_glb
from framework.export.turntable import write_turntable
from framework.renderers.base import Renderer, Scene
from framework.structures.field import Attribute
from framework.structures.losses import Frame, LossTerms, Term, TermOutput
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views
from framework.systems.base import System
from framework.systems.guidances import build_guidances, guidance_problems
from framework.systems.images import side_by_side
from framework.systems.optimization import check_scene_paths
from framework.systems.scenes import SceneConfig, Scenes, below
from framework.systems.watching import Watched

GLB = "mesh/model.glb"
"""Where the exported mesh lies in a run folder."""

_BESIDE = 192  # pixels of each picture of an asset and its result


@dataclass(kw_only=True, frozen=True)
class ValidationConfig:
    """From where the validation images look."""

    views: int = 4
    """Number of views, evenly around the object, the first from the front."""
    elevation_deg: float = 15.0
    """Elevation of the cameras."""
    distance: float = 2.7
    """Distance of the cameras from the origin, world units."""
    fov_y_deg: float = 45.0
    """Vertical field of view."""
    size: int = 128
    """Height and width of each image, pixels."""

    def __post_init__(self) -> None:
        self.circle(self.size)  # The stream's own range checks are these settings' too.

    def circle(self, size: int) -> OrbitViews.Config:
        """The stream of views of `size` x `size` pixels that these settings describe."""
        return OrbitViews.Config(
            height=size,
            width=size,
            num_views=self.views,
            elevation_deg=self.elevation_deg,
            distance=self.distance,
            fov_y_deg=self.fov_y_deg,
        )


@SYSTEMS.register("distillation")
class Distillation(System):
    """Optimise a scene so that its renders please a diffusion prior (DreamFusion, arXiv:2209.14988)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(System.Config):
        scene: SceneConfig = field(default_factory=lambda: SceneConfig())
        """Geometry, material and background."""
        n_particles: int = 1
        """Number of scenes of the one prompt, optimised side by side, one in each step (ProlificDreamer); a run should be
        as many times longer. Several processes share them out evenly, so that each trains its own."""
        renderer: Any = slot(RENDERERS, default="volume")
        """What draws the scene."""
        streams: Mapping[str, Any] = slots(STREAMS)
        """Where views come from, by name."""
        guidance: Mapping[str, Any] = slots(GUIDANCES, single="main")
        """Score distillation terms; a mapping with a `type` is one term called `main`."""
        losses: Mapping[str, Any] = slots(LOSSES)
        """Regularisers, by name; a name that is a registered loss needs no `type`."""
        validation: ValidationConfig = field(default_factory=lambda: ValidationConfig())
        """From where the validation images look."""

        def __post_init__(self) -> None:
            if self.n_particles < 1:
                raise ValueError(f"n_particles: expected at least 1, got {self.n_particles}.")

    config: Config
    has_scenes = True

    def __init__(self, config: Config, *, run: RunConfig, device: torch.device) -> None:
        super().__init__(config, run=run, device=device)
        self.scenes = Scenes.build(config.scene, config.n_particles, run)
        check_scene_paths(self, config.optimizer.parameters, frozen=run.freeze, terms=config.guidance)
        self.renderer: Renderer = RENDERERS.build(config.renderer, backends=run.backends)
        self.streams = {name: STREAMS.build(item, name=name) for name, item in config.streams.items()}
        self.guidance = build_guidances(config.guidance, run=run, device=device)
        self.losses: dict[str, Term] = {
            name: LOSSES.build(item, prompt=run.prompt) for name, item in config.losses.items()
        }
        self.needs = {name: self._needs_of(name) for name in self.streams}

    @classmethod
    def check(cls, config: Config, run: RunConfig) -> list[Problem]:
        renderer = _class_of(RENDERERS, config.renderer)
        problems = [] if config.streams else [Problem("system.streams", "is empty; name at least one stream of views.")]
        for kind, terms, registry in (("guidance", config.guidance, GUIDANCES), ("losses", config.losses, LOSSES)):
            for name, item in terms.items():
                where = f"system.{kind}.{name}"
                if item.stream not in config.streams:
                    hint = did_you_mean(item.stream, config.streams)
                    problems.append(Problem(f"{where}.stream", f"no stream is called '{item.stream}'.{hint}"))
                missing = _class_of(registry, item).needs_of(item) - renderer.provides_of(config.renderer)
                problems += [Problem(where, _not_provided(buffer, config)) for buffer in missing]
                if Buffer.LATENT in _class_of(registry, item).needs_of(item):
                    problems += _latent_problems(where, config)
                unanswered = _class_of(registry, item).asks - _class_of(GEOMETRIES, config.scene.geometry).answers
                problems += [Problem(where, _not_answered(item, config.scene.geometry)) for item in unanswered]
        if not config.guidance and not config.losses:
            problems.append(Problem("system", "has neither guidance nor losses, so there is nothing to train."))
        if config.n_particles > 1 and config.n_particles % ranks.count():
            problem = f"{config.n_particles} scenes cannot be spread evenly over {ranks.count()} processes."
            problems.append(Problem("system.n_particles", f"{problem} Use a multiple of {ranks.count()}, or 1."))
        problems += _scene_problems(config)
        return problems + guidance_problems(config.guidance, run) + _stream_problems(config)

    def start_from(self, source: Path) -> None:
        from framework.systems.starting import start_scenes  # Few runs need it, and it imports all conversions.

        start_scenes(self.scenes, self.run, source)

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        self.scenes.make_room(below("scenes.", state))

    @property
    def scene(self) -> Scene:
        """The first scene, which is the only one in most runs."""
        return self.scenes.first()

    def training_step(self, step: StepInfo) -> LossTerms:
        terms = LossTerms()
        (scene, _), step = self.scenes.turn(step), self.scenes.drawn_for(step)
        for name, stream in self.streams.items():
            if stream.is_due(step):
                self._add_terms(terms, scene, name, stream, step)
        return terms

    def before_step(self, step: StepInfo) -> None:
        scene, turns = self.scenes.turn(step)
        if Attribute.DENSITY not in scene.geometry.answers:
            return
        scene.occupancy.update(scene.geometry, turns)
        if (
            scene.occupancy.is_due(turns) and not self.scenes.are_spread
        ):  # Another kind of device might round to another cell.
            ranks.share([*scene.occupancy.buffers()])

    def owner(self, name: str) -> int | None:
        found = re.match(r"scenes\.(\d+)\.", name)
        return None if found is None else self.scenes.owner(int(found[1]))

    @torch.no_grad()
    def check_state(self, step: StepInfo) -> None:
        for _, scene in self.scenes.named():
            scene.geometry.check_shape(step)

    def images(self, step: StepInfo) -> Mapping[str, Float[Tensor, "H W 3"]]:
        """Colour, normal and opacity from all sides, one column for each view; one picture for each scene."""
        return {f"views{suffix}": self._sides(scene, step) for suffix, scene in self.scenes.named()}

    def export(self, folder: Path, step: StepInfo) -> list[Path]:
        """Write the meshes, and turntables of what was written, so that what is delivered is what is seen.

        Raises:
            UserError: If a scene is empty; what could be written of the others is.
        """
        if self.run.export is None:
            return []
        exporter = EXPORTERS.build(self.run.export)
        written, failures = [], []
        for target, scene in self.scenes.folders(folder):
            try:
                written += [*exporter.export(scene, self.renderer, target / "mesh", step), self._turntable(target)]
                written += self._before_and_after(target)
            except UserError as error:
                failures.append(str(error) if len(self.scenes) == 1 else f"{target}: {error}")
        if failures:
            raise UserError("\n".join(failures))
        return written

    def test(self, folder: Path, step: StepInfo) -> list[Path]:
        """Write the turntables of the exported meshes anew."""
        folders = [target for target, _ in self.scenes.folders(folder)]
        if not all((target / GLB).is_file() for target in folders):
            return self.export(folder, step)
        return [self._turntable(target) for target in folders]

    def _turntable(self, folder: Path) -> Path:
        path = folder / "turntable.mp4"
        write_turntable(load_glb(folder / GLB), path)
        return path

    def _before_and_after(self, folder: Path) -> list[Path]:
        if self.run.start_from is None:
            return []
        from framework.systems.refinement import compare_with_asset  # As above.

        return compare_with_asset(self.run, folder, self.orbit(self.config.validation.views, size=_BESIDE))

    def watched(self) -> Watched:
        """Everything."""
        names = ["scene"] if len(self.scenes) == 1 else [f"particle {index}" for index in range(len(self.scenes))]
        return Watched(
            scenes={name: self.scenes.at(index) for index, name in enumerate(names)},
            renderer=self.renderer,
            streams=self.streams,
            weights={path: term.config.weight for path, term in self._terms()},
            front=self.orbit(1, size=self.config.validation.size),
        )

    def orbit(self, count: int, *, size: int) -> Views:
        """Evenly spaced views around the object, the first from its front."""
        return OrbitViews(self.config.validation.circle(size), name="validation").views(count, self.device)

    def render(self, views: Views, step: StepInfo, needs: set[Buffer]) -> Any:
        """Images of `views` of the first scene, without gradients."""
        return self._render(self.scene, views, step, needs)

    def _render(self, scene: Scene, views: Views, step: StepInfo, needs: set[Buffer]) -> RenderOutput:
        with torch.no_grad():
            return self.renderer.render(views, scene, frozenset(needs) & self.renderer.provides, step)

    def _sides(self, scene: Scene, step: StepInfo) -> Float[Tensor, "H W 3"]:
        options = self.config.validation
        render = self._render(scene, self.orbit(options.views, size=options.size), step, {Buffer.NORMAL})
        assert render.normal is not None
        normal = 0.5 * (render.normal + render.opacity)  # Zero outside becomes black, and front facing +x red.
        return side_by_side([render.rgb, normal.clamp(0, 1), render.opacity])

    def _add_terms(self, terms: LossTerms, scene: Scene, name: str, stream: ViewStream, step: StepInfo) -> None:
        views = stream.sample(step, self.device)
        render = self.renderer.render(views, scene, self.needs[name], step)
        frame = Frame(scene, views, render, step)
        for path, term in self._terms_of(name):
            terms.add(path, term(frame), weight=self.edits.weight(path, term.config.weight, step))
        if render.sampler_loss is not None:
            terms.add(f"sampler.{name}", TermOutput(losses={"histogram": render.sampler_loss}), weight=1.0)

    def _terms(self) -> list[tuple[str, Any]]:
        named: list[tuple[str, Any]] = [(f"guidance.{name}", term) for name, term in self.guidance.items()]
        return named + [(f"losses.{name}", term) for name, term in self.losses.items()]

    def _terms_of(self, stream: str) -> list[tuple[str, Any]]:
        return [(path, term) for path, term in self._terms() if term.config.stream == stream]

    def _needs_of(self, stream: str) -> frozenset[Buffer]:
        return frozenset().union(*(term.needs for _, term in self._terms_of(stream)))


def _class_of(registry: Any, config: Any) -> Any:
    return registry.find(registry.name_of(config))


def _scene_problems(config: Distillation.Config) -> list[Problem]:
    """Why the renderer cannot draw the geometry."""
    geometry, renderer = _class_of(GEOMETRIES, config.scene.geometry), _class_of(RENDERERS, config.renderer)
    if renderer.can_draw(config.renderer, geometry):
        return []
    others = [name for name, cls in _all_of(RENDERERS) if cls.can_draw(cls.Config(), geometry)]
    fitting = [name for name, cls in _all_of(GEOMETRIES) if renderer.can_draw(config.renderer, cls)]
    names = GEOMETRIES.name_of(config.scene.geometry), RENDERERS.name_of(config.renderer)
    return [
        Problem(
            "system.renderer",
            f"'{names[1]}' cannot draw geometry '{names[0]}'. Use renderer {_listed(others)}, or geometry "
            f"{_listed(fitting)}.",
        )
    ]


def _all_of(registry: Any) -> list[tuple[str, Any]]:
    return [(name, registry.find(name)) for name in registry.names()]


def _listed(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names)


def _stream_problems(config: Distillation.Config) -> list[Problem]:
    """Streams that would be rendered for nothing, and steps in which nothing would be trained."""
    used = {term.stream for term in (*config.guidance.values(), *config.losses.values())}
    problems = [
        Problem(f"system.streams.{name}", "is used by no guidance and no loss; remove it, or name it in one of them.")
        for name in config.streams
        if used and name not in used
    ]
    due = [config.streams[name].every for name in used if name in config.streams]
    if due and min(due) > 1:
        problems.append(Problem("system.streams", "no stream has every: 1, so that nothing is trained in some steps."))
    return problems


def _not_provided(buffer: Buffer, config: Distillation.Config) -> str:
    geometry, name = _class_of(GEOMETRIES, config.scene.geometry), RENDERERS.name_of(config.renderer)
    fitting = [(other, cls) for other, cls in _all_of(RENDERERS) if cls.can_draw(cls.Config(), geometry)]
    providing = [other for other, cls in fitting if buffer in cls.provides_of(cls.Config())]
    advice = f"Use renderer {' or '.join(repr(item) for item in providing)}, or remove" if providing else "Remove"
    return f"needs '{buffer.value}', which renderer '{name}' does not provide. {advice} this term."


def _latent_problems(where: str, config: Distillation.Config) -> list[Problem]:
    """Why there are no latents to look at."""
    if _class_of(MATERIALS, config.scene.material).has_latents:
        return []
    knowing = [name for name, cls in _all_of(MATERIALS) if cls.has_latents]
    name = MATERIALS.name_of(config.scene.material)
    return [Problem(where, f"needs 'latent', which material '{name}' does not have. Use material {_listed(knowing)}.")]


def _not_answered(attribute: Attribute, geometry: Any) -> str:
    answering = [name for name, cls in _all_of(GEOMETRIES) if attribute in cls.answers]
    name = GEOMETRIES.name_of(geometry)
    advice = f"Use geometry {_listed(answering)}, or remove" if answering else "Remove"
    return f"asks for '{attribute.value}', which geometry '{name}' does not answer. {advice} this term."
