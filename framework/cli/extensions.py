"""Loading `custom/`: each file or folder there registers components with the same decorators as the built-ins."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from framework.core.errors import ConfigError, Problem, UserError, did_you_mean
from framework.core.yaml_tree import Tree

_DISABLED = "_disabled"
_log = logging.getLogger(__name__)


class ExtensionError(UserError):
    """An extension that cannot be imported."""


def found(folder: Path) -> list[str]:
    """Names of the extensions in `folder`, those that end in `_disabled` included."""
    if not folder.is_dir():
        return []
    names = [path.stem for path in folder.glob("*.py")]
    names += [path.name for path in folder.iterdir() if (path / "__init__.py").is_file()]
    return sorted(name for name in names if not name.startswith((".", "_")))


def named_in(tree: Tree) -> list[str] | None:
    """The names under `extensions` in a config; None if it leaves the choice open.

    Raises:
        ConfigError: If it is no list of names.
    """
    names = tree.data.get("extensions")
    if names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return names
    message = f"expected a list of names, such as [{names}], got {names!r}."
    raise ConfigError([Problem("extensions", message, tree.origin(("extensions",)))])


def load(folder: Path, *, only: Sequence[str] | None, without: Sequence[str] = ()) -> list[str]:
    """Import the extensions of `folder` as `custom.<name>`; returns their names. Says which ones are disabled.

    Args:
        folder: The project's `custom/`.
        only: The config's `extensions`; None loads all.
        without: Names to leave out.

    Raises:
        ConfigError: If a name in `only` or `without` does not exist.
        ExtensionError: If an import fails; its cause is attached.
    """
    available = [name for name in found(folder) if not name.endswith(_DISABLED)]
    for name in [*(only or []), *without]:
        if name not in available:
            raise ConfigError(f"extensions: custom/ holds no '{name}'.{did_you_mean(name, available)}")
    for name in set(found(folder)) - set(available):
        _log.info("custom/%s is skipped: its name says that it is disabled.", name)
    names = [name for name in (available if only is None else only) if name not in without]
    if names and str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    for name in names:
        _load_one(name)
    return names


def _load_one(name: str) -> None:
    try:
        importlib.import_module(f"custom.{name}")
    except Exception as error:  # Whatever an extension stumbles over, its user needs to know which one it was.
        cause = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        cause = cause.rstrip(".")
        raise ExtensionError(
            f"custom/{name} could not be loaded: {cause}. Fix it (--verbose shows where), or start with --without {name}."
        ) from error
