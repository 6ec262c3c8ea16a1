"""Dashboards that are files in the run's folder: pictures, metrics.csv, TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from jaxtyping import Float
from torch import Tensor

from framework.core.config import dump
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.systems.dashboards import Dashboard
from framework.systems.images import write_png
from framework.systems.metrics import MetricsFile


class PictureFolder(Dashboard):
    """Pictures as PNG files, which the report shows."""

    title = "The folder of pictures"

    def __init__(self, config: RunConfig, directory: RunDirectory, *, start_step: int) -> None:
        self.folder = directory.images

    def image(self, step: int, name: str, image: Float[Tensor, "H W 3"]) -> None:
        write_png(self.folder / f"{name}-{step:06d}.png", image)


class MetricsTable(Dashboard):
    """Numbers as a table, whose curves the report draws."""

    title = "metrics.csv"

    def __init__(self, config: RunConfig, directory: RunDirectory, *, start_step: int) -> None:
        self.file = MetricsFile(directory.metrics, start_step=start_step)

    def scalars(self, step: int, values: Mapping[str, float], *, at: float) -> None:
        self.file.write(step, values)


class TensorBoard(Dashboard):
    """Numbers, pictures and the config for TensorBoard."""

    title = "TensorBoard's log"

    def __init__(self, config: RunConfig, directory: RunDirectory, *, start_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Events after the checkpoint that a resumed run goes on from will come again.
        self.writer = SummaryWriter(str(directory.root / "tensorboard"), purge_step=start_step + 1)
        text = yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True)
        self.writer.add_text("config", f"```yaml\n{text}```", start_step)

    def scalars(self, step: int, values: Mapping[str, float], *, at: float) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step, walltime=at)

    def image(self, step: int, name: str, image: Float[Tensor, "H W 3"]) -> None:
        self.writer.add_image(f"images/{name}", image.permute(2, 0, 1), step)

    def close(self, *, has_failed: bool) -> None:
        self.writer.close()
