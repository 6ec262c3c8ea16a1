"""The shell in which Lightning runs any system: manual optimisation, own step counter, own checkpoints.

Imported only when something is trained.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from framework.core.checkpoint import save_checkpoint
from framework.core.config import dump
from framework.core.errors import UserError
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.core.step import Mode, StepInfo
from framework.structures.losses import LossTerms
from framework.systems.base import System


class TrainingDiverged(UserError):
    """A loss became NaN or infinite."""


class Shell(pl.LightningModule):
    """Trains a system step by step; `steps_done` is the run's clock."""

    def __init__(self, system: System, *, run: RunConfig, directory: RunDirectory) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.system = system
        self.run = run
        self.directory = directory
        self.steps_done = 0
        self.logs: dict[str, float] = {}
        self._tree = dump(run)
        self._optimizer_settings = system.optimizer()
        self._saved_optimizer: dict[str, Any] | None = None

    def step_info(self, mode: Mode = "train") -> StepInfo:
        """The present moment."""
        return StepInfo(self.steps_done, self.run.trainer.max_steps, self.run.seed, self.global_rank, mode)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self._optimizer_settings.build(self.system)
        if self._saved_optimizer is not None:
            optimizer.load_state_dict(self._saved_optimizer)
        return optimizer

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(_Steps(self.run.trainer.max_steps - self.steps_done), batch_size=None)

    def training_step(self, batch: Any, batch_index: int) -> None:
        step = self.step_info()
        optimizer = self.optimizers()
        assert isinstance(optimizer, pl.core.optimizer.LightningOptimizer)
        self.system.before_step(step)
        terms = self.system.training_step(step)
        total = terms.total()
        is_logged = (step.step + 1) % self.run.trainer.log_every == 0 or step.step == 0
        if is_logged or total.device.type == "cpu":
            self._check_finite(terms, total, step)
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(total)
        rates = self._optimizer_settings.set_learning_rates(optimizer.optimizer, step)
        gradient_norm = self._clip(optimizer)
        optimizer.step()
        self.system.after_step(step)
        self.steps_done += 1
        if is_logged:
            logs = {**terms.logs(), **{f"learning_rate/{path}": rate for path, rate in rates.items()}}
            logs |= {} if gradient_norm is None else {"gradient_norm": gradient_norm}
            self.logs = {name: float(value) for name, value in logs.items()}

    def _clip(self, optimizer: Any) -> Tensor | None:
        if self.run.trainer.gradient_clip is None:
            return None
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return torch.nn.utils.clip_grad_norm_(parameters, self.run.trainer.gradient_clip)

    def _check_finite(self, terms: LossTerms, total: Tensor, step: StepInfo) -> None:
        if bool(torch.isfinite(total)):
            return
        kept = self.directory.checkpoints()
        last = f"The last good checkpoint is {kept[-1]}." if kept else "No checkpoint had been written yet."
        raise TrainingDiverged(
            f"step {step.step}: the loss of {', '.join(terms.non_finite()) or 'the sum'} is not finite. {last} "
            "Lower the learning rate or that term's weight, or train in precision 32-true."
        )

    def save(self) -> None:
        """Write a checkpoint of the present step and remove those too many."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, pl.core.optimizer.LightningOptimizer)
        state = {"system": self.system.state_dict(), "optimizer": optimizer.optimizer.state_dict()}
        save_checkpoint(
            self.directory.checkpoint(self.steps_done), config=self._tree, step=self.steps_done, state=state
        )
        for old in self.directory.checkpoints()[: -self.run.trainer.keep_checkpoints]:
            old.unlink()

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go on from what `load_checkpoint` returned."""
        self.system.load_state_dict(checkpoint["state"]["system"])
        self._saved_optimizer = checkpoint["state"]["optimizer"]
        self.steps_done = int(checkpoint["step"])


class _Steps(Dataset[int]):
    """As many items as there are steps to train; streams draw their views from the step itself."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index
