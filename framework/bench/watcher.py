"""Somebody who watches a training through its viewer: a websocket client that speaks viser's protocol, without a browser."""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from framework.bench.rows import BenchError

_DISTANCE, _ELEVATION = 2.7, math.radians(15.0)


@dataclass(frozen=True)
class Picture:
    """A picture that arrived.

    Attributes:
        at: When, by `time.perf_counter`.
        data: JPEG.
    """

    at: float
    data: bytes

    @property
    def size(self) -> int:
        """The shorter side, pixels."""
        from PIL import Image

        with Image.open(io.BytesIO(self.data)) as image:
            return min(image.size)


class BrowserlessWatcher:
    """Connects, looks, presses buttons, and keeps what arrives.

    Attributes:
        pictures: All that arrived, oldest first.
        controls: Messages that made the controls, by their labels; the last one of each.
        props: Properties of controls and nodes that were changed later, by the identity of the control or node.
        markdown: Messages that made texts, oldest first.
        nodes: Messages that made nodes of the 3D scene, by name.
        positions: Where nodes are, by name.
        told: Titles and texts of notifications.
    """

    def __init__(self, port: int, *, width: int = 320, height: int = 320, patience: float = 60.0) -> None:
        """Connect to a viewer on this machine, which may still have to come up.

        Args:
            port: Where it listens.
            width, height: Size of the window that the watcher looks through, pixels.
            patience: Seconds to wait for anything, if nothing else is said.

        Raises:
            BenchError: If there is no viewer after that time.
        """
        self.pictures: list[Picture] = []
        self.controls: dict[str, dict[str, Any]] = {}
        self.props: dict[str, dict[str, Any]] = {}
        self.markdown: list[dict[str, Any]] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        self.positions: dict[str, tuple[float, ...]] = {}
        self.told: list[tuple[str, str]] = []
        self._size, self._patience = (width, height), patience
        self._socket = _connect(port, patience)
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.look(0.0)

    def __enter__(self) -> BrowserlessWatcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away."""
        self._socket.close()
        self._thread.join()

    def look(self, azimuth: float) -> None:
        """Look at the origin from this azimuth, radians."""
        flat, up = _DISTANCE * math.cos(_ELEVATION), _DISTANCE * math.sin(_ELEVATION)
        self._send(
            type="ViewerCameraMessage",
            wxyz=_looking_inwards(azimuth, _ELEVATION),
            position=(flat * math.cos(azimuth), flat * math.sin(azimuth), up),
            fov=math.radians(45.0),
            near=0.01,
            far=1000.0,
            image_width=self._size[0],
            image_height=self._size[1],
            look_at=(0.0, 0.0, 0.0),
            up_direction=(0.0, 0.0, 1.0),
        )

    def press(self, label: str) -> None:
        """Press a button."""
        self.set(label, True)

    def set(self, label: str, value: Any) -> None:
        """Set a control to a value."""
        self.wait_for(lambda: label in self.controls, f"a control called {label!r}")
        self._send(type="GuiUpdateMessage", uuid=self.controls[label]["uuid"], updates={"value": value})

    def property(self, label: str, name: str) -> Any:
        """The present property of a control."""
        control = self.controls[label]
        return self.props.get(control["uuid"], {}).get(name, control["props"].get(name))

    def wait_for(self, is_so: Callable[[], object], what: str, *, seconds: float | None = None) -> None:
        """Wait until a condition holds.

        Raises:
            BenchError: If it does not within `seconds`.
        """
        seconds = self._patience if seconds is None else seconds
        with self._news:
            if not self._news.wait_for(is_so, timeout=seconds):
                raise BenchError(f"The viewer did not show {what} within {seconds:g} s.")

    def wait_for_picture(self, *, size: int = 1, after: float = 0.0, seconds: float | None = None) -> Picture:
        """The first picture of at least this size that arrives after that time."""
        found: list[Picture] = []

        def has_come() -> bool:
            found[:] = [item for item in self.pictures if item.at > after and item.size >= size]
            return bool(found)

        self.wait_for(has_come, f"a picture of {size} pixels", seconds=seconds)
        return found[0]

    def _send(self, **message: Any) -> None:
        import msgspec

        self._socket.send(msgspec.msgpack.encode(message))

    def _listen(self) -> None:
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                content = self._socket.recv()
            except ConnectionClosed:
                return
            with self._news:
                for message in _messages(content):
                    self._take(message)
                self._news.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        kind, props = message["type"], message.get("props")
        if kind == "BackgroundImageMessage" and message["rgb_data"] is not None:
            self.pictures.append(Picture(time.perf_counter(), message["rgb_data"]))
        elif kind == "NotificationShowMessage":
            self.told.append((message["props"]["title"], message["props"]["body"]))
        elif kind in ("GuiUpdateMessage", "SceneNodeUpdateMessage"):
            identity = message["uuid"] if kind == "GuiUpdateMessage" else message["name"]
            self.props.setdefault(identity, {}).update(message["updates"])
        elif kind == "SetPositionMessage":
            self.positions[message["name"]] = tuple(message["position"])
        elif kind == "RemoveSceneNodeMessage":
            self.nodes.pop(message["name"], None)
        elif kind == "GuiMarkdownMessage":
            self.markdown.append(message)
        elif kind.startswith("Gui") and isinstance(props, dict) and "label" in props:
            self.controls[props["label"]] = message
        elif isinstance(props, dict) and "name" in message:
            self.nodes[message["name"]] = message


def _connect(port: int, patience: float) -> Any:
    import viser
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    protocol, deadline = Subprotocol(f"viser-v{viser.__version__}"), time.perf_counter() + patience
    while True:
        try:
            return connect(f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None, compression=None)
        except OSError as error:
            if time.perf_counter() > deadline:
                raise BenchError(f"There is no viewer at port {port}: {error}") from None
            time.sleep(0.05)


def _messages(content: bytes) -> list[dict[str, Any]]:
    """What viser packs together: two lengths, compressed messages, and arrays behind them."""
    import msgspec
    import zstandard

    plain, packed = (int.from_bytes(content[first : first + 8], "little") for first in (0, 8))
    inner = zstandard.ZstdDecompressor().decompress(content[16 : 16 + packed], max_output_size=plain)
    return list(msgspec.msgpack.decode(inner)["messages"])


def _looking_inwards(azimuth: float, elevation: float) -> tuple[float, float, float, float]:
    """The quaternion of a camera (OpenCV axes) on a sphere about the origin that looks at it, +z being up."""
    # Turned about z by the azimuth, about the new y by the elevation, from a camera on +x.
    half, tilt = 0.5 * azimuth, -0.5 * elevation
    about_z, about_y = (math.cos(half), 0.0, 0.0, math.sin(half)), (math.cos(tilt), 0.0, math.sin(tilt), 0.0)
    return _product(_product(about_z, about_y), (0.5, -0.5, -0.5, 0.5))


def _product(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, float, float, float]:
    a, b, c, d = one
    e, f, g, h = other
    return (
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    )
