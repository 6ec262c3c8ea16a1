"""The images behind the oracle prior: renders of the scene that a prompt names, and of scenes of all kinds."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field

import torch

from framework.core.errors import UserError
from framework.core.step import named_generator
from framework.diffusion.image_bank import BackgroundModel, ImageBank
from framework.structures.views import Views
from framework.toybox.batches import training_batch
from framework.toybox.captions import UnknownPrompt, parse_prompt, view_words
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import Scene, SceneSpec, build
from framework.toybox.tracing import Lights
from framework.toybox.views import ToyViews, ViewDistribution

log = logging.getLogger(__name__)

CHUNK = 256
"""Images that are rendered at once."""
MIDDLE = 0.5
"""Of the range of a nuisance."""


@dataclass(frozen=True)
class NamedScene:
    """What a prompt names, and renders of it.

    Attributes:
        bank: Renders, those of one view word side by side.
        rows: The rows of each view word in the bank.
        pack: The scene itself, on the CPU.
    """

    bank: ImageBank = field(repr=False)
    rows: dict[str, slice]
    pack: ScenePack = field(repr=False)


class OracleScenes:
    """Scenes by what prompts say; each is rendered when it is first asked for.

    Args:
        num_views: Number of renders of each scene, and of the mixture.
        image_size: Height and width, pixels.
        distribution: From where and in which light.
        background: What is known of the colour behind.
        nuisance_seed: Draws what prompts leave open; None takes the middle of every range.
        seed: Draws cameras and lights.
        device: Where the images are kept.
    """

    def __init__(
        self,
        *,
        num_views: int,
        image_size: int,
        distribution: ViewDistribution,
        background: BackgroundModel,
        nuisance_seed: int | None,
        seed: int,
        device: torch.device,
    ) -> None:
        self._num_views = num_views
        self._image_size = image_size
        self._distribution = distribution
        self._background = background
        self._nuisance_seed = nuisance_seed
        self._seed = seed
        self._device = device
        self._scenes: dict[SceneSpec, NamedScene] = {}
        self._mixture: ImageBank | None = None

    def scene(self, spec: SceneSpec) -> Scene:
        """The scene itself; view words do not matter."""
        nuisance = [MIDDLE] * spec.num_nuisances
        if self._nuisance_seed is not None:
            generator = named_generator(self._nuisance_seed, "oracle.nuisance")
            nuisance = torch.rand(spec.num_nuisances, generator=generator).tolist()
        return build(_without_view(spec), nuisance)

    def named(self, spec: SceneSpec) -> NamedScene:
        """The scene and all renders of it; view words do not matter."""
        spec = _without_view(spec)
        if spec not in self._scenes:
            started = time.perf_counter()
            self._scenes[spec] = self._render_scene(spec)
            seconds = time.perf_counter() - started
            log.info("The oracle rendered %d images of the named scene in %.1f s.", self._num_views, seconds)
        return self._scenes[spec]

    def bank(self, spec: SceneSpec) -> ImageBank:
        """The renders of a scene, those of the view words if the spec has some.

        Raises:
            UserError: If there are so few renders that none is of this view.
        """
        named = self.named(spec)
        if spec.view is None:
            return named.bank
        if spec.view not in named.rows:
            raise UserError(f"None of the oracle's {self._num_views} renders is a {spec.view}. Set `views` to more.")
        return named.bank[named.rows[spec.view]]

    def mixture(self) -> ImageBank:
        """Renders of scenes of all kinds."""
        if self._mixture is None:
            started = time.perf_counter()
            self._mixture = self._render_mixture()
            seconds = time.perf_counter() - started
            log.info("The oracle rendered %d images of scenes of all kinds in %.1f s.", self._num_views, seconds)
        return self._mixture

    def from_camera(self, spec: SceneSpec, view: Views) -> ImageBank:
        """The one image that a known camera and light show; the light's diffuse share is taken as 1 - ambient."""
        cameras = dataclasses.replace(view.cameras, height=self._image_size, width=self._image_size)
        lights = Lights(view.lights.positions.contiguous(), view.lights.ambient)
        black = torch.zeros(1, 3, device=view.device)
        views = ToyViews(cameras, view.azimuth, view.elevation, view.distance, lights, black)
        return self._render_bank(self.named(spec).pack, views.to("cpu"))

    def _render_scene(self, spec: SceneSpec) -> NamedScene:
        generator = named_generator(self._seed, "oracle.views")
        views = self._distribution.sample(self._num_views, size=self._image_size, generator=generator)
        words = [view_words(*angles) for angles in zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)]
        order = sorted(range(len(words)), key=words.__getitem__)
        words = sorted(words)
        rows = {word: slice(words.index(word), words.index(word) + words.count(word)) for word in set(words)}
        pack = ScenePack.from_scenes([self.scene(spec)])
        return NamedScene(self._render_bank(pack, views[order]), rows, pack)

    def _render_mixture(self) -> ImageBank:
        generator = named_generator(self._seed, "oracle.mixture")
        banks = []
        for start in range(0, self._num_views, CHUNK):
            count = min(CHUNK, self._num_views - start)
            batch = training_batch(generator, count, size=self._image_size, views=self._distribution)
            behind = batch.views.background[:, None, None]
            premultiplied = batch.images - (1.0 - batch.renders.opacity) * behind
            banks.append(ImageBank.from_images(premultiplied, batch.renders.opacity, self._background))
        return ImageBank.concatenate(banks).to(self._device)

    def _render_bank(self, pack: ScenePack, views: ToyViews) -> ImageBank:
        """Renders of one scene, over black."""
        banks = []
        for start in range(0, len(views), CHUNK):
            part = views[start : start + CHUNK]
            black = torch.zeros(len(part), 3)
            images = render(pack[[0] * len(part)], cameras=part.cameras, lights=part.lights, background=black)
            banks.append(ImageBank.from_images(images.rgb, images.opacity, self._background))
        return ImageBank.concatenate(banks).to(self._device)


def parse_known(prompt: str) -> SceneSpec | None:
    """What a prompt asks of the toybox; None for the empty prompt.

    Raises:
        UserError: If it has words, or an arrangement of them, that the toybox does not know.
    """
    if not prompt.strip():
        return None
    try:
        spec = parse_prompt(prompt)
    except UnknownPrompt as error:
        raise UserError(
            f"{error} The oracle can only show what the toybox can; see '--describe prior/oracle'."
        ) from error
    if spec is None:
        raise UserError(
            f"The toybox knows the words of '{prompt}', but has no such scene. Name one object with at most one colour, "
            "such as 'a red car', or two simple shapes, such as 'a red cube on top of a blue cylinder'."
        )
    return spec


def _without_view(spec: SceneSpec) -> SceneSpec:
    return dataclasses.replace(spec, view=None)
