"""Extensions: modules that register components with the same decorators as the built-ins.

They are files and folders of `custom/`, and installed packages that name a module in the entry point group
`distill3d.extensions`. Both are known by one name, to `extensions:` in a config and to `--without`.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.core.errors import ConfigError, Problem, UserError, did_you_mean
from framework.core.yaml_tree import Tree

GROUP = "distill3d.extensions"
"""Entry points of installed packages: the name of the extension, and the module that registers its components."""
_DISABLED = "_disabled"
_log = logging.getLogger(__name__)


class ExtensionError(UserError):
    """An extension that cannot be loaded."""


@dataclass(frozen=True)
class Extension:
    """Something that can be loaded.

    Attributes:
        name: What configs call it.
        module: What is imported.
        place: Where it is from, for messages.
    """

    name: str
    module: str
    place: str

    @property
    def is_disabled(self) -> bool:
        """Whether its name says that it is to be skipped."""
        return self.name.endswith(_DISABLED)


def found(folder: Path) -> list[Extension]:
    """The extensions in `folder` and those of installed packages, by name, those that are disabled included."""
    return sorted([*_in_folder(folder), *_installed()], key=lambda item: (item.name, item.place))


def _in_folder(folder: Path) -> list[Extension]:
    if not folder.is_dir():
        return []
    paths = [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]
    named = [path for path in paths if not path.name.startswith((".", "_"))]
    return [Extension(path.stem, f"custom.{path.stem}", f"custom/{path.name}") for path in named]


def _installed() -> list[Extension]:
    from importlib import metadata  # Reads all that is installed, which only those who load extensions need.

    return sorted(
        {
            Extension(point.name, point.module, f"the package '{'?' if point.dist is None else point.dist.name}'")
            for point in metadata.entry_points(group=GROUP)
        },
        key=lambda item: item.place,
    )


def named_in(tree: Tree) -> list[str] | None:
    """The names under `extensions` in a config; None if it leaves the choice open.

    Raises:
        ConfigError: If it is no list of names, or there is one for a stage alone.
    """
    names = tree.data.get("extensions")
    stages = tree.data.get("stages")
    for stage, settings in stages.items() if isinstance(stages, dict) else ():
        if isinstance(settings, dict) and settings.get("extensions") is not None:
            path = ("stages", str(stage), "extensions")
            message = "extensions are loaded for all stages at once; name them beside 'stages'."
            raise ConfigError([Problem(".".join(path), message, tree.origin(path))])
    if names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return names
    message = f"expected a list of names, such as [{names}], got {names!r}."
    raise ConfigError([Problem("extensions", message, tree.origin(("extensions",)))])


def load(folder: Path, *, only: Sequence[str] | None, without: Sequence[str] = ()) -> list[str]:
    """Import extensions; returns their names. Says which ones are disabled.

    Args:
        folder: The project's `custom/`.
        only: The config's `extensions`; None loads all.
        without: Names to leave out.

    Raises:
        ConfigError: If a name in `only` or `without` does not exist.
        ExtensionError: If two have the same name, or an import fails; its cause is attached.
    """
    extensions = found(folder)
    available = [item for item in extensions if not item.is_disabled]
    known = {item.name for item in available}
    for where, names in (("extensions", only or ()), ("--without", without)):
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConfigError(f"{where}: neither custom/ nor an installed package has an extension '{name}'.{hint}")
    for item in extensions:
        if item.is_disabled:
            _log.info("%s is skipped: its name says that it is disabled.", item.place)
    chosen = [item for item in available if item.name not in without and (only is None or item.name in only)]
    _check_names(chosen)
    if chosen and str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    for item in chosen:
        _load_one(item)
    return [item.name for item in chosen]


def _check_names(extensions: Sequence[Extension]) -> None:
    places: dict[str, str] = {}
    for item in extensions:
        if item.name in places:
            raise ExtensionError(
                f"Two extensions are called '{item.name}': {places[item.name]} and {item.place}. Rename or remove one, or "
                f"start with --without {item.name}, which leaves out both."
            )
        places[item.name] = item.place


def _load_one(extension: Extension) -> None:
    try:
        importlib.import_module(extension.module)
    except Exception as error:  # Whatever an extension stumbles over, its user needs to know which one it was.
        cause = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        cause = cause.rstrip(".")
        raise ExtensionError(
            f"{extension.place} could not be loaded: {cause}. Fix it (--verbose shows where), or start with --without "
            f"{extension.name}."
        ) from error
