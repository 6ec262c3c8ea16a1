"""The shell in which Lightning runs any system: manual optimisation, own step counter, own checkpoints.

Imported only when something is trained.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from framework.core import ranks
from framework.core.checkpoint import save_checkpoint
from framework.core.config import dump
from framework.core.errors import BrokenSurface, CheckpointError, UserError
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.core.step import Mode, StepInfo
from framework.structures.losses import LossTerms, Update
from framework.systems.base import System
from framework.systems.loss_scale import LossScale
from framework.systems.optimization import config_path
from framework.systems.shares import Shares
from framework.systems.weight_edits import WeightEdit, WeightEdits

_log = logging.getLogger(__name__)


class TrainingDiverged(UserError):
    """A loss or a parameter became NaN or infinite, or a surface has vanished or exploded."""


_ADVICE = "Lower the learning rate or that term's weight, or train in precision 32-true."


class Shell(pl.LightningModule):
    """Trains a system step by step; `steps_done` is the run's clock.

    Attributes:
        steps_done: Training steps, those that were skipped included.
        skipped_steps: Steps since the start or the resumption that changed nothing, since something was not finite.
        loss_scale: What losses are multiplied by in 16-mixed.
        logs: What was logged last.
    """

    def __init__(self, system: System, *, run: RunConfig, directory: RunDirectory) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.system = system
        system.edits = WeightEdits.of_run(directory)
        self.run = run
        self.directory = directory
        self.steps_done = 0
        self.logs: dict[str, float] = {}
        self.skipped_steps = 0
        self.loss_scale = LossScale() if run.trainer.precision == "16-mixed" else None
        self._skipped_in_a_row = 0
        self._tree = dump(run)
        self._optimizer_settings = system.optimizer()
        self._optimizer = self._optimizer_settings.build(system)
        self.shares = Shares(system, self._optimizer)

    def step_info(self, mode: Mode = "train") -> StepInfo:
        """The present moment; only training has parts."""
        now = StepInfo(self.steps_done, self.run.trainer.max_steps, self.run.seed, mode=mode)
        if mode != "train":
            return now
        return replace(now, rank=ranks.rank(), ranks=ranks.count(), micro_steps=self.run.trainer.accumulate)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._optimizer

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(_Steps(self.run.trainer.max_steps - self.steps_done), batch_size=None)

    def on_train_start(self) -> None:
        self.shares.equalize()

    def training_step(self, batch: Any, batch_index: int) -> None:
        step = self.step_info()
        optimizer = self.optimizers()
        assert isinstance(optimizer, pl.core.optimizer.LightningOptimizer)
        self.system.before_step(step)
        optimizer.zero_grad(set_to_none=True)
        parts, fault = self._accumulate(step)
        rates = self._optimizer_settings.set_learning_rates(optimizer.optimizer, step)
        logs: dict[str, Any] = {}
        if fault is None:
            gradient_norm = self._clip()
            optimizer.step()
            logs |= {} if gradient_norm is None else {"gradient_norm": gradient_norm}
            for updates in zip(*(terms.updates for terms in parts), strict=True):
                fault = fault or self._run_update(updates, optimizer, logs)
            self.system.after_step(step)
        self._count(fault, step)
        self.steps_done += 1
        if self.steps_done % self.run.trainer.log_every == 0 or self.steps_done == 1:
            logs = {**_means([terms.logs() for terms in parts]), **logs}
            logs |= {f"learning_rate/{path}": rate for path, rate in rates.items()}
            logs |= {"skipped_steps": self.skipped_steps} if self.skipped_steps else {}
            logs |= {"loss_scale": self.loss_scale.scale} if self.loss_scale is not None else {}
            self.logs = _means(ranks.gather({name: float(value) for name, value in logs.items()}))

    def _accumulate(self, step: StepInfo) -> tuple[list[LossTerms], str | None]:
        """Compute the gradient of the step; returns the terms of each micro-step, and what is not finite, if anything."""
        parts: list[LossTerms] = []
        fault = None
        for number in range(step.micro_steps):
            try:
                # Also where the step is lost already: the others may wait for what this rank has to say in it.
                parts.append(self.system.training_step(replace(step, micro_step=number)))
            except BrokenSurface as error:
                self._give_up(step.step, error.cause, error.advice)
            fault = fault or self._backward(parts[-1])
        return parts, self._reduce(fault)

    def _backward(self, terms: LossTerms) -> str | None:
        """Add the gradient of one micro-step; returns what is not finite in it, if anything."""
        total = terms.total()
        if not bool(torch.isfinite(total)):
            return f"the loss of {', '.join(terms.non_finite()) or 'the sum'} is not finite"
        is_last_chance = self._skipped_in_a_row == self.run.trainer.max_skipped_steps
        self.manual_backward(self._factor() * total, retain_graph=is_last_chance)
        if not is_last_chance or self.shares.are_finite():
            return None
        # Which term it comes from costs a backward pass for each, so it is asked only before the run stops.
        names = terms.non_finite_gradients(self.shares.trained, scale=self._factor())
        return f"the gradient of {', '.join(names) or 'the losses'} is not finite"

    def _reduce(self, fault: str | None) -> str | None:
        """Make the gradient that of the loss itself, and the mean over all ranks; returns what is not finite, if anything.

        Where a rank has found a fault, all skip the step.
        """
        if fault is None and self.loss_scale is not None:
            self.loss_scale.unscale(self.shares.gradients())
        if fault is None and not self.shares.are_finite():
            fault = "the gradient of the losses is not finite"
        fault = self.shares.average(fault)
        if self.loss_scale is not None:
            self.loss_scale.note(is_finite=fault is None)
        return fault

    def _run_update(self, updates: Sequence[Update], optimizer: Any, logs: dict[str, Any]) -> str | None:
        """Optimise what a term asked for in each micro-step, and note its loss; returns what is not finite, if anything.

        Parameters without a gradient stay, whatever their momentum.
        """
        name = updates[0].name
        for repeat in range(updates[0].repeats):
            optimizer.zero_grad(set_to_none=True)
            losses = []
            fault = None
            for update in updates:
                losses.append(update.loss(repeat))
                if not bool(torch.isfinite(losses[-1])):
                    fault = f"the loss of {name} is not finite"
                if fault is None:
                    self.manual_backward(self._factor() * losses[-1])
            logs[f"loss/{name}"] = torch.stack(losses).detach().mean()
            fault = self._reduce(fault)
            if fault is not None:
                return fault
            self._clip()
            optimizer.step()
        return None

    def _count(self, fault: str | None, step: StepInfo) -> None:
        """Count a step that was skipped for its `fault`.

        Raises:
            TrainingDiverged: After too many of them; the state before them is saved.
        """
        self._skipped_in_a_row = 0 if fault is None else self._skipped_in_a_row + 1
        if fault is None:
            return
        self.skipped_steps += 1
        _log.log(
            logging.WARNING if self._skipped_in_a_row == 1 else logging.DEBUG,
            "step %d: skipped, as %s.",
            step.step,
            fault,
        )
        if self._skipped_in_a_row > self.run.trainer.max_skipped_steps:
            if self.steps_done > 0:
                self.shares.bring_together()
                if ranks.is_first():
                    self.save()
            before = f", nor in the {self._skipped_in_a_row - 1} steps before" if self._skipped_in_a_row > 1 else ""
            self._give_up(step.step, fault + before)

    def _factor(self) -> float:
        """What the loss of a micro-step is multiplied by before its gradient is taken."""
        scale = 1.0 if self.loss_scale is None else self.loss_scale.scale
        return scale / self.run.trainer.accumulate

    def _clip(self) -> Tensor | None:
        limit = self.run.trainer.gradient_clip
        return None if limit is None else self.shares.clip(limit)

    def _check_parameters(self) -> None:
        for name, parameter in self.system.named_parameters():
            if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
                self._give_up(self.steps_done, f"the parameter {config_path(name)} is not finite")

    def _check_state(self) -> None:
        self._check_parameters()
        try:
            self.system.check_state(self.step_info())
        except BrokenSurface as error:
            self._give_up(self.steps_done, error.cause, error.advice)

    def _give_up(self, step: int, reason: str, advice: str = _ADVICE) -> NoReturn:
        kept = self.directory.checkpoints()
        last = f"The last good checkpoint is {kept[-1]}." if kept else "No checkpoint had been written yet."
        raise TrainingDiverged(f"step {step}: {reason}. {last} {advice}")

    def _check_tensors(self, saved: Mapping[str, Tensor]) -> None:
        present = self.system.state_dict()
        for name in sorted(saved.keys() | present.keys()):
            shapes = [_shape(state[name]) if name in state else "missing" for state in (saved, present)]
            if shapes[0] != shapes[1]:
                raise CheckpointError(
                    f"The checkpoint does not fit this config: {config_path(name)} is {shapes[0]} there and "
                    f"{shapes[1]} here. Resume with the config of the run, or start a new one."
                )

    def _check_groups(self, saved: Mapping[str, Any]) -> None:
        present = self._optimizer.param_groups
        names = [_names(saved.get("param_groups")), _names(present)]
        if names[0] != names[1]:
            raise CheckpointError(
                f"The checkpoint's optimizer trains the groups {', '.join(names[0])}, this config {', '.join(names[1])}. "
                "Resume with the config of the run, or start a new one."
            )

    def save(self) -> None:
        """Write a checkpoint of the present step and remove those too many; what ranks own has been brought together.

        Raises:
            TrainingDiverged: If a parameter is not finite or a surface is destroyed; the checkpoints before it are kept.
        """
        self._check_state()
        state = {"system": self.system.state_dict(), "optimizer": self.shares.optimizer_state()}
        if self.loss_scale is not None:
            state["loss_scale"] = self.loss_scale.state_dict()
        save_checkpoint(
            self.directory.checkpoint(self.steps_done), config=self._tree, step=self.steps_done, state=state
        )
        for old in self.directory.checkpoints()[: -self.run.trainer.keep_checkpoints]:
            old.unlink()

    def edit_weight(self, path: str, value: float | None) -> None:
        """Set the weight of a term by hand from this step on, and note that in the run; None undoes it."""
        self.system.edits.add(WeightEdit(self.steps_done, path, value), self.directory)

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go on from what `load_checkpoint` returned.

        Raises:
            CheckpointError: If its tensors are not those of this system, or its optimizer trains other groups.
        """
        state = checkpoint["state"]
        self._check_tensors(state["system"])
        self._check_groups(state["optimizer"])
        self.system.load_state_dict(state["system"])
        try:
            self.shares.load_optimizer_state(state["optimizer"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"The checkpoint's state of the optimizer cannot be read ({error!r}).") from error
        if self.loss_scale is not None and "loss_scale" in state:
            self.loss_scale.load_state_dict(state["loss_scale"])
        self.steps_done = int(checkpoint["step"])


def _shape(value: Any) -> list[int] | str:
    return list(value.shape) if isinstance(value, Tensor) else "no tensor"


def _names(groups: Any) -> list[str]:
    """Names of an optimizer's groups; of what is none, nothing."""
    return [str(group.get("name")) for group in groups or [] if isinstance(group, Mapping)]


def _means(logs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each number over the parts of a step that have it."""
    if len(logs) == 1:
        return dict(logs[0])
    found = {
        name: [part[name] for part in logs if name in part] for name in {name: None for part in logs for name in part}
    }
    return {name: sum(values) / len(values) for name, values in found.items()}


class _Steps(Dataset[int]):
    """As many items as there are steps to train; streams draw their views from the step itself."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index
