"""`--viewer`: a window through which trainings can be watched, for as long as they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from framework.core.errors import UserError
from framework.core.registries import SYSTEMS
from framework.core.run_config import RunConfig

if TYPE_CHECKING:
    from framework.viewer.window import Window


@contextmanager
def opened(port: int | None, configs: Iterable[RunConfig], console: Console) -> Iterator[Window | None]:
    """The window that `--viewer` asks for while the block runs; None, and nothing imported, where it does not.

    Raises:
        UserError: If there is nothing to watch, viser is not installed, or the port cannot be had.
    """
    if port is None:
        yield None
        return
    for config in configs:
        name = SYSTEMS.name_of(config.system)
        if not SYSTEMS.find(name).has_scenes:
            raise UserError(f"--viewer: system '{name}' has no scene to watch. Leave --viewer out.")
    try:
        from framework.viewer.window import Window
    except ModuleNotFoundError as error:
        if error.name != "viser":
            raise
        raise UserError("--viewer: viser is not installed. Run: pip install 'distill3d[viewer]'") from None
    window = Window(port)
    console.print(f"Watch the training at {window.url}", soft_wrap=True, highlight=False)
    try:
        yield window
    finally:
        window.close()
