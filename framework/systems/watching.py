"""What a system lets others look at, and change, while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framework.core.schedule import Schedule
from framework.data.base import ViewStream
from framework.renderers.base import Renderer, Scene
from framework.structures.views import Views


@dataclass(frozen=True)
class Watched:
    """The parts of a system that trains scenes.

    Attributes:
        scenes: By what people call them; more than one where there are particles.
        renderer: What draws them.
        streams: Where the views of a step come from, by name.
        weights: Of the terms, by their paths.
        front: One view of the whole object, from its front.
    """

    scenes: Mapping[str, Scene]
    renderer: Renderer
    streams: Mapping[str, ViewStream]
    weights: Mapping[str, Schedule]
    front: Views
