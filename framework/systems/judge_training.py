"""Training the judge of toybox images (see `framework.toybox.judge`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import SYSTEMS
from framework.core.run_config import RunConfig
from framework.core.step import StepInfo, named_generator
from framework.structures.losses import LossTerms, TermOutput
from framework.systems.ahead import Ahead
from framework.systems.base import System
from framework.systems.images import sheet
from framework.toybox.batches import CaptionDistribution
from framework.toybox.judge.batches import CONTENTS, SPOILED_SHARE, JudgedBatch, judged_batch
from framework.toybox.judge.labels import CHOICES, UNASKED, label_tensor
from framework.toybox.judge.network import Judge
from framework.toybox.judge.weights import bundled_folder, load_judge, save_judge


@SYSTEMS.register("judge-training")
class JudgeTraining(System):
    """Train a small classifier to say what toybox images show, and to reject what is no proper scene."""

    @dataclass(kw_only=True, frozen=True)
    class Config(System.Config):
        widths: tuple[int, ...] = (32, 64, 128, 192)
        """Channels at 32, 16, 8 and 4 pixels a side."""
        batch_size: int = 64
        """Images a step."""
        spoiled_share: float = SPOILED_SHARE
        """Share of images to reject."""
        contents: CaptionDistribution = CONTENTS
        """What the scenes show; colours are always named."""
        start_from: str | None = None
        """A folder of weights to start from, `bundled` for those of the package; by default random ones."""
        judged_cases: int = 200
        """Cases of each kind by which the judge is judged when it is exported; 0 for none."""

        def __post_init__(self) -> None:
            if self.batch_size < 1 or self.judged_cases < 0:
                raise ValueError("batch_size must be at least 1 and judged_cases must not be negative.")
            if not self.widths or any(width < 8 or width % 8 for width in self.widths):
                raise ValueError(f"widths must be multiples of 8, got {list(self.widths)}.")
            if not 0.0 <= self.spoiled_share < 1.0:
                raise ValueError(f"spoiled_share must lie in [0, 1), got {self.spoiled_share:g}.")

    config: Config

    def __init__(self, config: Config, *, run: RunConfig, device: torch.device) -> None:
        super().__init__(config, run=run, device=device)
        self.judge = Judge(config.widths, seed=named_generator(run.seed, "judge").initial_seed())
        if config.start_from is not None:
            self._load_weights(config.start_from)
        self.to(device)
        self._batches = Ahead(self._batch)

    def training_step(self, step: StepInfo) -> LossTerms:
        batch = self._batches.take(step)
        answers = self.judge(batch.images.to(self.device))
        labels = label_tensor(batch.specs)
        losses, metrics = {}, {}
        for question in CHOICES:
            label = labels[question].to(self.device)
            is_asked = label != UNASKED
            chosen = answers[question]
            # A sum over what is asked, by the size of the batch: none asked is no loss, and no division by zero.
            losses[question] = F.nll_loss(chosen, label, ignore_index=UNASKED, reduction="sum") / len(label)
            right = (chosen.argmax(dim=-1) == label) & is_asked
            metrics[f"right {question}"] = right.sum() / is_asked.sum().clamp(min=1)
        terms = LossTerms()
        terms.add("judge", TermOutput(losses, metrics), weight=1.0)
        return terms

    def images(self, step: StepInfo) -> Mapping[str, Float[Tensor, "H W 3"]]:
        """Images that the judge learns from: two rows of proper ones, two of spoiled ones."""
        halves = [self._images(step.generator("sheet"), 32, share).images for share in (0.0, 1.0)]
        return {"batch": sheet(torch.cat(halves), columns=16)}

    def export(self, folder: Path, step: StepInfo) -> list[Path]:
        """Write the weights, and a card that says how far they can be trusted."""
        from framework.core.provenance import origin
        from framework.toybox.judge.quality import trust

        card: dict[str, Any] = {**origin(self.run, step), "quality": None}
        if self.config.judged_cases:
            judge = self.judge.to("cpu").eval()
            card["quality"] = trust(judge, count=self.config.judged_cases, generator=step.generator("quality"))
        return save_judge(self.judge, folder / "judge", card=card)

    def _load_weights(self, source: str) -> None:
        judge = load_judge(bundled_folder() if source == "bundled" else Path(source))
        if judge.widths != self.judge.widths:
            raise UserError(
                f"system.start_from: the weights in '{source}' have widths {list(judge.widths)}, "
                f"not {list(self.judge.widths)}. Set system.widths to theirs."
            )
        self.judge.load_state_dict(judge.state_dict())

    def _batch(self, step: StepInfo) -> JudgedBatch:
        return self._images(step.generator("judge"), self.config.batch_size, self.config.spoiled_share)

    def _images(self, generator: torch.Generator, count: int, spoiled_share: float) -> JudgedBatch:
        return judged_batch(generator, count, spoiled_share=spoiled_share, contents=self.config.contents)
