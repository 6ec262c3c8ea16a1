"""The server that browsers talk to, and those who watch through it. The one module that starts viser.

viser answers in threads of its own. They note what watchers look at and ask for; training takes it up between two steps.
"""

from __future__ import annotations

import contextlib
import io
import math
import queue
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import trimesh
import viser
import viser.transforms
from jaxtyping import UInt8
from torch import Tensor

from framework.core.errors import UserError
from framework.structures.cameras import Cameras
from framework.structures.mesh import Mesh
from framework.structures.srgb import to_linear
from framework.structures.views import Views
from framework.systems.watching import Watched
from framework.viewer.pace import Sight
from framework.viewer.panel import Panel
from framework.viewer.pictures import camera
from framework.viewer.requests import Request

HOST = "127.0.0.1"
"""Nobody on another machine can reach it; `ssh -L` can bring it there."""
_JPEG_QUALITY = 85
_FARTHER = 1.4
"""How many times farther than the validation's cameras a watcher begins, so that those of the last batch are in sight."""
_FRUSTUM_SCALE, _FRUSTUM_COLOR = 0.2, (230, 120, 20)


class _LocalServer(viser.ViserServer):
    """Without viser's tunnel, by which any watcher could open the server to the internet."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refused."""
        return None


@dataclass(frozen=True)
class Pose:
    """From where a watcher looks.

    Attributes:
        wxyz: Rotation from the camera's axes (OpenCV) to the world's, as a quaternion.
        position: World space.
        fov_y: Radians.
        aspect: Width over height.
    """

    wxyz: tuple[float, ...]
    position: tuple[float, ...]
    fov_y: float
    aspect: float

    @classmethod
    def of(cls, handle: viser.CameraHandle) -> Pose | None:
        """What a browser says; None if that is no camera."""
        if min(handle.image_width, handle.image_height) < 1:
            return None
        pose = cls(tuple(handle.wxyz), tuple(handle.position), handle.fov, handle.aspect)
        is_finite = all(math.isfinite(value) for value in (*pose.wxyz, *pose.position, pose.fov_y))
        return pose if is_finite and any(pose.wxyz) and 0.01 < pose.fov_y < 3.1 else None

    def camera(self, size: int, device: torch.device) -> Cameras:
        """The camera whose shorter image side has `size` pixels."""
        rotation = viser.transforms.SO3(np.array(self.wxyz)).normalize().as_matrix()
        return camera(
            torch.tensor(rotation, dtype=torch.float32, device=device),
            torch.tensor(self.position, dtype=torch.float32, device=device),
            self.fov_y,
            size=size,
            aspect=self.aspect,
        )


@dataclass(frozen=True)
class Shown:
    """What a picture shows: the view, what kind of picture of which scene, its size, and of which step."""

    pose: Pose
    subject: tuple[str, str]
    size: int
    step: int


class Watcher:
    """A browser that is connected."""

    def __init__(self, client: viser.ClientHandle) -> None:
        self._client = client
        self._shown: Shown | None = None
        self._moved_at = time.perf_counter()
        self.pose: Pose | None = None
        self.waits_since = self._moved_at
        """When it was last shown something."""

    def look(self, handle: viser.CameraHandle) -> None:
        """Note from where the watcher looks now."""
        pose = Pose.of(handle)
        if pose is not None and pose != self.pose:
            self.pose, self._moved_at = pose, time.perf_counter()

    def sight(self, subject: tuple[str, str], step: int, *, now: float) -> Sight:
        """How the watcher sees a subject at the present step."""
        shown = self._shown
        is_same = shown is not None and (shown.pose, shown.subject) == (self.pose, subject)
        size, is_current = (shown.size, shown.step == step) if shown is not None and is_same else (0, False)
        return Sight(still_for=now - self._moved_at, size=size, is_current=is_current)

    def show(self, picture: UInt8[Tensor, "height width 3"], shown: Shown) -> None:
        """Send a picture."""
        self._client.scene.set_background_image(picture.numpy(), format="jpeg", jpeg_quality=_JPEG_QUALITY)
        self._shown, self.waits_since = shown, time.perf_counter()

    def show_nothing(self) -> None:
        """Take the picture away."""
        if self._shown is not None:
            self._client.scene.set_background_image(None)
            self._shown = None

    def tell(self, title: str, text: str, *, is_bad: bool) -> None:
        """Show a message for some seconds."""
        self._client.add_notification(title, text, auto_close_seconds=8.0, color="red" if is_bad else "green")


class Window:
    """A server on this machine through which a training can be watched.

    Args:
        port: Where; 0 takes any that is free.

    Raises:
        UserError: If the port cannot be had.
    """

    def __init__(self, port: int) -> None:
        _check_port(port)
        with contextlib.redirect_stdout(io.StringIO()):  # viser greets.
            self._server = _LocalServer(host=HOST, port=port, verbose=False)
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._is_called = threading.Event()
        self._watchers: dict[int, Watcher] = {}
        self._frustums: dict[str, Any] = {}
        self.panel: Panel | None = None
        self._server.on_client_connect(self._arrive)
        self._server.on_client_disconnect(self._leave)
        if port not in (0, self.port):
            self.close()
            raise _port_error(port, "another program has just taken it")

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.get_port()

    @property
    def url(self) -> str:
        """What to open."""
        return f"http://{HOST}:{self.port}"

    @property
    def watchers(self) -> list[Watcher]:
        """Those who are connected and have said from where they look."""
        return [watcher for watcher in list(self._watchers.values()) if watcher.pose is not None]

    def close(self) -> None:
        """Stop serving."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def begin(self, title: str, watched: Watched) -> Panel:
        """Show the controls of a training, and look at it from the front."""
        for watcher in self.watchers:
            watcher.show_nothing()
        self._server.scene.reset()
        self._frustums = {}
        first = watched.front.cameras
        self._server.initial_camera.position = tuple((_FARTHER * first.positions[0]).tolist())
        self._server.initial_camera.look_at = (0.0, 0.0, 0.0)
        self._server.initial_camera.fov = float(first.fov_y[0])
        self.panel = Panel(
            self._server.gui, title=title, scenes=list(watched.scenes), weights=watched.weights, ask=self.ask
        )
        return self.panel

    def ask(self, request: Request) -> None:
        """Put a request into the queue; in any thread."""
        self._requests.put(request)
        self._is_called.set()

    def requests(self) -> Iterable[Request]:
        """What was asked for since the last time."""
        self._is_called.clear()
        while not self._requests.empty():
            yield self._requests.get()

    def wait(self, seconds: float) -> None:
        """Wait until something is asked for, at most so long."""
        self._is_called.wait(seconds)

    def tell(self, title: str, text: str, *, is_bad: bool = False) -> None:
        """Show a message to all who watch."""
        for watcher in self.watchers:
            watcher.tell(title, text, is_bad=is_bad)

    def show_cameras(self, views: dict[str, Views]) -> None:
        """Draw the cameras of `views`, by the names of their streams, in place of those that were drawn before."""
        drawn: dict[str, Any] = {}
        with self._server.atomic():
            for name, item in views.items():
                for index in range(len(item)):
                    path = f"/cameras/{name}/{index}"
                    drawn[path] = self._frustum(path, item.cameras[index])
            for path in self._frustums.keys() - drawn.keys():
                self._frustums[path].remove()
        self._frustums = drawn

    def show_mesh(self, mesh: Mesh | None) -> None:
        """Draw a surface with colours at its vertices in place of the one before; None draws none."""
        if mesh is None:
            self._server.scene.remove_by_name("/mesh")
            return
        assert mesh.colors is not None
        # glTF colours at vertices are linear light.
        colors = (to_linear(mesh.colors) * 255.0).round().to(torch.uint8).cpu().numpy()
        vertices, faces = mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy()
        surface = trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False)
        self._server.scene.add_mesh_trimesh("/mesh", surface)

    def _frustum(self, path: str, cameras: Cameras) -> Any:
        rotation = cameras.camera_to_world[0, :3, :3].double().cpu().numpy() * np.array([1.0, -1.0, -1.0])
        return self._server.scene.add_camera_frustum(
            path,
            fov=float(cameras.fov_y[0]),
            aspect=cameras.width / cameras.height,
            scale=_FRUSTUM_SCALE,
            thickness=0.02,
            color=_FRUSTUM_COLOR,
            wxyz=viser.transforms.SO3.from_matrix(rotation).wxyz,
            position=cameras.positions[0].double().cpu().numpy(),
        )

    async def _arrive(self, client: viser.ClientHandle) -> None:
        watcher = Watcher(client)
        watcher.look(client.camera)

        @client.camera.on_update
        async def _(handle: viser.CameraHandle) -> None:
            watcher.look(handle)
            self._is_called.set()

        self._watchers[client.client_id] = watcher
        self._is_called.set()

    async def _leave(self, client: viser.ClientHandle) -> None:
        self._watchers.pop(client.client_id, None)


def _check_port(port: int) -> None:
    """Raise UserError unless the port is free; viser would take another one, or search without end."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise _port_error(port, error.strerror or str(error)) from None


def _port_error(port: int, reason: str) -> UserError:
    return UserError(f"--viewer {port}: the port cannot be had: {reason}. Name another one, such as --viewer 8090.")
