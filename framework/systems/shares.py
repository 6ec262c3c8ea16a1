"""What the ranks of a run keep equal, and what each has to itself.

All ranks begin with equal parameters and move those that they share by the mean of their gradients, so that these stay
equal. A scene that one rank has to itself moves there alone; the first rank gets it for checkpoints and pictures. Frozen
priors are no part of a system, and so of neither.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from framework.core import ranks
from framework.systems.base import System


class Shares:
    """The parameters of a system, by who trains them.

    Args:
        system: As it was built on every rank.
        optimizer: Of its parameters.

    Attributes:
        trained: All parameters that the optimizer moves, in its order.
    """

    def __init__(self, system: System, optimizer: torch.optim.Optimizer) -> None:
        self.trained: list[nn.Parameter] = [item for group in optimizer.param_groups for item in group["params"]]
        self._system = system
        self._optimizer = optimizer
        named = {id(parameter): name for name, parameter in system.named_parameters()}
        self._owners = [system.owner(named[id(parameter)]) for parameter in self.trained]
        self._brought: dict[int, dict[str, Any]] = {}

    @torch.no_grad()
    def equalize(self) -> None:
        """Let all ranks begin with what the first has built or read."""
        ranks.share([tensor for name, tensor in self._system.state_dict().items() if self._system.owner(name) is None])

    def gradients(self) -> list[Tensor]:
        """Those that there are by now."""
        return [parameter.grad for parameter in self.trained if parameter.grad is not None]

    def are_finite(self) -> bool:
        """Whether all gradients are."""
        return bool(torch.isfinite(torch.nn.utils.get_total_norm(self.gradients())))

    def average(self, fault: str | None) -> str | None:
        """Set the gradients of what all ranks train to their mean.

        Args:
            fault: Why this rank's gradient is of no use.

        Returns:
            The first fault of any rank, at all ranks, with which the gradients are left as they are.
        """
        if ranks.count() == 1:
            return fault
        shared = [item for item, owner in zip(self.trained, self._owners, strict=True) if owner is None]
        has_fault, *has_gradient = ranks.largest([fault is not None, *(item.grad is not None for item in shared)])
        if has_fault:
            return next(f"{said} (rank {rank})" for rank, said in enumerate(ranks.gather(fault)) if said is not None)
        moved = [item for item, is_moved in zip(shared, has_gradient, strict=True) if is_moved]
        for parameter in moved:
            if parameter.grad is None:  # Something that only another rank has seen.
                parameter.grad = torch.zeros_like(parameter)
        ranks.average([parameter.grad for parameter in moved if parameter.grad is not None])
        return None if self.are_finite() else "the sum of the gradients of all ranks is not finite"

    def clip(self, limit: float) -> Tensor:
        """Scale all gradients down so that their norm is at most `limit`; returns it as it was."""
        norm = torch.nn.utils.get_total_norm(self.gradients())
        if any(owner is not None for owner in self._owners):  # What all ranks train has to be cut alike.
            norm = norm.new_tensor(ranks.largest([float(norm)])[0])
        torch.nn.utils.clip_grads_with_norm_(self.trained, limit, norm)
        return norm

    @torch.no_grad()
    def bring_together(self) -> None:
        """Give the first rank what the others have to themselves: its present state, and that of its optimizer."""
        present = self._system.state_dict()
        owners = {name: self._system.owner(name) for name in present}
        if all(owner is None for owner in owners.values()):
            return
        own = {name: present[name].cpu() for name, owner in owners.items() if owner == ranks.rank()}
        moments = {
            number: {name: value.cpu() for name, value in self._optimizer.state[parameter].items()}
            for number, parameter in enumerate(self.trained)
            if self._owners[number] == ranks.rank() and parameter in self._optimizer.state
        }
        for values, found in ranks.gather_at_first((own, moments))[1:]:
            for name, value in values.items():
                present[name].copy_(value)
            self._brought |= found

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state, with what was brought together last."""
        state = self._optimizer.state_dict()
        state["state"] |= self._brought
        return state

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Go on with what a checkpoint kept, as far as this rank needs it."""
        self._optimizer.load_state_dict(state)
        for parameter, owner in zip(self.trained, self._owners, strict=True):
            if owner not in (None, ranks.rank()):
                self._optimizer.state.pop(parameter, None)
