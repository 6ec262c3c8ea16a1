"""What terms (guidance and losses) receive and return, and the sum of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.step import StepInfo
from framework.structures.field import Attribute
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views


@dataclass(frozen=True)
class Frame:
    """All that a term may look at: the scene, the views, their render and the moment."""

    scene: torch.nn.Module
    views: Views
    render: RenderOutput
    step: StepInfo


@dataclass(frozen=True)
class Update:
    """A further optimisation that a term asks for after the step, such as training the adapter of VSD.

    Attributes:
        name: For logs.
        repeats: How many times.
        loss: The loss of one repetition, by its number. Only parameters that it depends on move, at the learning rates of
            their own groups.
    """

    name: str
    repeats: int
    loss: Callable[[int], Float[Tensor, ""]]


@dataclass(frozen=True)
class TermOutput:
    """What a term returns.

    Attributes:
        losses: Scalars to minimise, by name.
        metrics: Numbers to log, by name; tensors are detached scalars, read only when a log is written.
        previews: Images to show at validation, each (B, H, W, 3) in [0, 1].
        updates: What is optimised beside the losses.
    """

    losses: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)
    previews: Mapping[str, Float[Tensor, "B H W 3"]] = field(default_factory=dict)
    updates: Sequence[Update] = ()


class Term(ABC):
    """Something to minimise about a frame: a loss or a guidance."""

    needs: frozenset[Buffer] = frozenset()
    """What the render must hold."""
    asks: frozenset[Attribute] = frozenset()
    """What the geometry must answer, where a term asks it beside the render."""

    @classmethod
    def needs_of(cls, config: Any) -> frozenset[Buffer]:
        """What a term built from `config` will need; known before anything is built."""
        return cls.needs

    @abstractmethod
    def __call__(self, frame: Frame) -> TermOutput:
        """Losses of `frame`, unweighted."""


class LossTerms:
    """The weighted losses of one training step, with everything there is to log about them."""

    def __init__(self) -> None:
        self._weighted: dict[str, Tensor] = {}
        self._logs: dict[str, Any] = {}
        self.previews: dict[str, Tensor] = {}
        self.updates: list[Update] = []

    def add(self, name: str, output: TermOutput, *, weight: float) -> None:
        """Add the losses of the term called `name`, each times `weight`."""
        for key, loss in output.losses.items():
            path = name if len(output.losses) == 1 else f"{name}.{key}"
            self._weighted[path] = weight * loss
            self._logs[f"loss/{path}"] = loss.detach()
        self._logs[f"weight/{name}"] = weight
        self._logs.update({f"{name}/{key}": value for key, value in output.metrics.items()})
        self.previews.update({f"{name}/{key}": image for key, image in output.previews.items()})
        self.updates += [Update(f"{name}.{item.name}", item.repeats, item.loss) for item in output.updates]

    def total(self) -> Tensor:
        """The sum to back-propagate."""
        if not self._weighted:
            raise ValueError("No term is active in this step, so there is nothing to minimise.")
        return torch.stack(list(self._weighted.values())).sum()

    def logs(self) -> dict[str, Any]:
        """Losses, weights and metrics by path; detached."""
        return {**self._logs, "loss/total": self.total().detach()}

    def non_finite_gradients(self, parameters: Sequence[Tensor], *, scale: float = 1.0) -> list[str]:
        """Names of the losses of which `scale` times the gradient is not finite; needs a graph that is still there."""
        names = []
        for name, loss in self._weighted.items():
            if loss.requires_grad:
                found = torch.autograd.grad(scale * loss, parameters, retain_graph=True, allow_unused=True)
                if not all(bool(gradient.isfinite().all()) for gradient in found if gradient is not None):
                    names.append(name)
        return names

    def non_finite(self) -> list[str]:
        """Names of the losses that are NaN or infinite now; reading them waits for the device."""
        return [name for name, loss in self._weighted.items() if not bool(torch.isfinite(loss))]
