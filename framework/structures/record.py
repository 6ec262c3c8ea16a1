"""Frozen records of tensors that share a batch shape.

A `TensorRecord` is a dataclass whose tensor fields all begin with the same batch dimensions. It moves between devices,
is indexed and stacked as one value, and refuses at construction a field whose batch size differs, so that nothing is
broadcast by accident.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

R = TypeVar("R", bound="TensorRecord")  # not `Self`, which run-time type checkers refuse on single methods


class TensorRecord:
    """Base of `@dataclass(frozen=True, eq=False)` records whose tensors share their first dimension."""

    def __post_init__(self) -> None:
        sizes = {name: value.shape[0] for name, value in self._tensors()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"{type(self).__name__}: the batch sizes of its fields differ: {sizes}.")

    def __len__(self) -> int:
        for _, value in self._tensors():
            return int(value.shape[0])
        raise ValueError(f"{type(self).__name__} holds no tensor and has no length.")

    def __getitem__(self: R, index: Any) -> R:
        """The record of the chosen items; an integer keeps the batch dimension."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return self.map(lambda value: value[index])

    def to(self: R, device: torch.device | str) -> R:
        """The same record with every tensor on `device`."""
        return self.map(lambda value: value.to(device))

    def detach(self: R) -> R:
        """The same record cut from the graph."""
        return self.map(lambda value: value.detach())

    def map(self: R, function: Callable[[Tensor], Tensor]) -> R:
        """The record with `function` applied to each of its tensors, nested records included."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = function(value)
            elif isinstance(value, TensorRecord):
                changes[field.name] = value.map(function)
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    @property
    def device(self) -> torch.device:
        """The device of the first tensor."""
        for _, value in self._tensors():
            return value.device
        raise ValueError(f"{type(self).__name__} holds no tensor and has no device.")

    @classmethod
    def concatenate(cls: type[R], records: Iterable[R]) -> R:
        """One record of all items in order; fields that are no tensors must be equal in all."""
        items = list(records)
        if not items:
            raise ValueError(f"{cls.__name__}.concatenate needs at least one record.")
        first = items[0]
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(first):  # type: ignore[arg-type]
            values = [getattr(item, field.name) for item in items]
            if isinstance(values[0], Tensor):
                changes[field.name] = torch.cat(values)
            elif isinstance(values[0], TensorRecord):
                changes[field.name] = type(values[0]).concatenate(values)
            elif any(value != values[0] for value in values):
                raise ValueError(f"{cls.__name__}.concatenate: '{field.name}' differs between the records: {values}.")
        return dataclasses.replace(first, **changes)  # type: ignore[type-var]

    def _tensors(self) -> Iterable[tuple[str, Tensor]]:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                yield field.name, value
            elif isinstance(value, TensorRecord):
                yield from ((f"{field.name}.{name}", tensor) for name, tensor in value._tensors())
