"""Run folders written by hand, with every kind of file that a report shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from framework.core.run_directory import RunDirectory
from framework.export.gltf import write_glb
from framework.export.png import encode_png
from framework.structures.mesh import Mesh

CONFIG = """
name: tiny
description: A run that nobody ran.
prompt: {prompt}
seed: 7
prior: {{type: oracle}}
trainer: {{max_steps: 100}}
system:
  type: distillation
  guidance:
    main: {{type: score-distillation, weight: 1.0, timesteps: {{max_fraction: {{type: linear, from: 0.98, to: 0.5}}}}}}
  losses:
    sparsity: {{type: sparsity, weight: {{type: steps, values: {{0: 0.1, 50: 0.2}}}}}}
"""
HEAD = (
    "step,loss/guidance.main,guidance.main/gradient_norm,guidance.main/timestep,loss/losses.sparsity,loss/total,"
    "learning_rate/scene"
)


class Page(HTMLParser):
    """Elements of a page: tags with their attributes, and the text inside of each kind of tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "input", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.texts.setdefault(self._open[-1], []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def references(self) -> Iterator[str]:
        """Everything that the page points to."""
        for _, attributes in self.tags:
            for name, value in attributes.items():
                if name in ("src", "href", "xlink:href", "poster", "srcset", "action", "data"):
                    yield value or ""


@pytest.fixture
def page() -> type[Page]:
    return Page


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDirectory]:
    """Writes a whole run folder below the test's own one."""

    def make(
        *, prompt: str = "a red cube", name: str = "a-red-cube@20260102-030405", mesh: bool = True
    ) -> RunDirectory:
        run = RunDirectory(tmp_path / "tiny" / name)
        run.images.mkdir(parents=True)
        run.config.write_text(CONFIG.format(prompt=json.dumps(prompt)), encoding="utf-8")
        for step in (20, 40, 100):
            picture = encode_png(torch.full((8, 16, 3), step / 100))
            (run.images / f"views-{step:06d}.png").write_bytes(picture)
        rows = [f"{step},{step % 3},{10.0 / step},{step},{0.2 + step / 500},1,0.01" for step in range(1, 101)]
        run.metrics.write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
        run.set_state("finished", step=100)
        made_by = {"commit": "abc123", "machine": "an abacus", "versions": {"python": "3.11"}}
        run.note({"started": "2026-01-02T03:04:05", "seconds": 83.4, "made_by": made_by})
        if mesh:
            write_glb(cube(), run.model)
            run.turntable.write_bytes(b"not really a video")
        return run

    return make


def cube() -> Mesh:
    """An axis-aligned cube of side 1 about the origin."""
    line = torch.tensor([-0.5, 0.5])
    vertices = torch.cartesian_prod(line, line, line)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = torch.tensor([[quad[i] for i in corners] for quad in quads for corners in ((0, 1, 2), (0, 2, 3))])
    return Mesh(vertices, faces, normals=Mesh(vertices, faces).vertex_normals())
