"""Models that are needed for a moment: read from their files for one call, and out of memory after it."""

from __future__ import annotations

from typing import Any

import torch

from framework.diffusion.families.folder import ModelFolder


class StoredModel:
    """Stands for a component of a model folder and is called like it; its weights are in memory during a call only.

    Args:
        folder: Where it lies.
        component: Its name.
        kind: Its class, of transformers.
        dtype: Its precision.
        device: Where it is to compute.

    Attributes:
        config: The model's config.

    Raises:
        UserError: If its files are missing, pickled or cut short. That the tensors in them are those of the model is seen
            at the first call.
    """

    def __init__(
        self, folder: ModelFolder, component: str, kind: Any, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        folder.check(component)
        self.config = kind.config_class.from_pretrained(str(folder.path / component), local_files_only=True)
        self.dtype = dtype
        self.device = device
        self._folder = folder
        self._component = component
        self._kind = kind

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """What the model returns for these arguments."""
        model = self._folder.load(self._component, self._kind, dtype=self.dtype, device=self.device)
        return model(*positional, **named)
