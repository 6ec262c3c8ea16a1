"""Trainings that somebody watches, over real websockets."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from solids import make_scene, make_solid

from framework.bench.watcher import BrowserlessWatcher
from framework.viewer.window import Window

__all__ = ["make_scene", "make_solid"]
_PATIENCE = 240.0  # seconds


@pytest.fixture
def port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def visited(port: int, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Starts a training that waits for its visitor, who watches from another thread, until something is asked for."""

    def run(start: Callable[..., int], visit: Callable[[int], None], *settings: str) -> int:
        faults: list[BaseException] = []
        begin = Window.begin

        def begin_when_asked(self: Window, *arguments: Any) -> Any:
            panel = begin(self, *arguments)
            while thread.is_alive() and self._requests.empty():
                time.sleep(0.01)
            return panel

        def attempt() -> None:
            try:
                visit(port)
            except BaseException as error:  # Told in the thread of the test.
                faults.append(error)
                os.kill(os.getpid(), signal.SIGINT)  # Else a training that it has paused would wait for ever.

        thread = threading.Thread(target=attempt)
        with monkeypatch.context() as patch:
            patch.setattr(Window, "begin", begin_when_asked)
            thread.start()
            status = start(f"--viewer={port}", *settings)
            thread.join()
        if faults:
            raise faults[0]
        return status

    return run


@pytest.fixture
def watched(visited: Callable[..., int]) -> Callable[..., int]:
    """Starts a training that is paused after its first step, watched, and goes on; the watcher stays to its end."""

    def run(start: Callable[..., int], watch: Callable[[BrowserlessWatcher], None], *settings: str) -> int:
        has_ended = threading.Event()

        def visit(port: int) -> None:
            with BrowserlessWatcher(port, patience=_PATIENCE) as watcher:
                watcher.press("Pause")
                watcher.wait_for(lambda: watcher.property("Pause", "disabled"), "a pause")
                try:
                    watch(watcher)
                finally:
                    watcher.press("Resume")
                has_ended.wait(_PATIENCE)

        def start_and_tell(*words: str) -> int:
            try:
                return start(*words)
            finally:
                has_ended.set()

        return visited(start_and_tell, visit, *settings)

    return run
