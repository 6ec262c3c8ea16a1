"""Loading `custom/`: each file or folder there registers components with the same decorators as the built-ins."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from framework.core.errors import ConfigError, UserError, did_you_mean


class ExtensionError(UserError):
    """An extension that cannot be imported."""


def found(folder: Path) -> list[str]:
    """Names of the extensions in `folder`; those that end in `_disabled` are left out."""
    if not folder.is_dir():
        return []
    names = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    names += [path.name for path in folder.iterdir() if (path / "__init__.py").is_file()]
    return sorted(name for name in names if not name.startswith((".", "_")) and not name.endswith("_disabled"))


def load(folder: Path, *, only: Sequence[str] | None, without: Sequence[str] = ()) -> list[str]:
    """Import the extensions of `folder` as `custom.<name>`; returns their names.

    Args:
        folder: The project's `custom/`.
        only: The config's `extensions`; None loads all.
        without: Names to leave out.

    Raises:
        ConfigError: If a name in `only` or `without` does not exist.
        ExtensionError: If an import fails; its cause is attached.
    """
    available = found(folder)
    for name in [*(only or []), *without]:
        if name not in available:
            raise ConfigError(f"extensions: custom/ holds no '{name}'.{did_you_mean(name, available)}")
    names = [name for name in (available if only is None else only) if name not in without]
    if names and str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    for name in names:
        _load_one(name)
    return names


def _load_one(name: str) -> None:
    try:
        importlib.import_module(f"custom.{name}")
    except UserError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise ExtensionError(
            f"custom/{name} could not be loaded: {cause}. Fix it (--verbose shows where), or start with --without {name}."
        ) from error
