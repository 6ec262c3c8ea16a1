"""The controls beside the picture. All watchers share them; what they ask for is put into a queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import viser

from framework.core.schedule import Schedule
from framework.systems.weight_edits import editable_range
from framework.viewer.pictures import KINDS
from framework.viewer.requests import Button, Request, SetWeights

MESH = "mesh"
"""What is shown as a surface that the browser draws, not as a picture."""
APPLY, PLANNED = "Apply weights", "As scheduled"
_POSITIONS = 200  # of a slider


class Panel:
    """Builds the controls for one training, and says what they are set to.

    Args:
        gui: Where they are built; whatever was there goes.
        title: What is trained.
        scenes: Names to choose from.
        weights: Schedules by the paths of their terms.
        ask: Takes what watchers ask for, in any thread.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        *,
        title: str,
        scenes: list[str],
        weights: Mapping[str, Schedule],
        ask: Callable[[Request], None],
    ) -> None:
        gui.reset()
        gui.set_panel_label("Distill3D")
        gui.configure_theme(show_logo=False, show_share_button=False)
        self._ask, self._scenes = ask, scenes
        self._touched: set[str] = set()
        self._heading, self._status = gui.add_markdown(f"**{title}**"), gui.add_markdown("")
        self._kind = gui.add_dropdown("Show", [*KINDS, MESH])
        self._scene = gui.add_dropdown("Scene", scenes, visible=len(scenes) > 1)
        self._cameras = gui.add_checkbox("Cameras of the last batch", initial_value=True)
        self._buttons = {button: self._button(gui, button.value, button) for button in Button}
        self._buttons[Button.RESUME].disabled = True
        with gui.add_folder("Weights"):
            self._weights: dict[str, Any] = {path: self._slider(gui, path, item) for path, item in weights.items()}
            gui.add_button(APPLY).on_click(self._apply)
            gui.add_button(PLANNED).on_click(lambda event: ask(SetWeights(dict.fromkeys(weights))))

    @property
    def kind(self) -> str:
        """What is to be shown: one of `KINDS`, or `MESH`."""
        return self._kind.value if self._kind.value in (*KINDS, MESH) else next(iter(KINDS))

    @property
    def scene(self) -> str:
        """The name of the scene that is to be shown."""
        return self._scene.value if self._scene.value in self._scenes else self._scenes[0]

    @property
    def shows_cameras(self) -> bool:
        """Whether the cameras of the last batch are to be shown."""
        return self._cameras.value

    def report(self, status: str, weights: Mapping[str, float], *, is_paused: bool) -> None:
        """Show how training goes, and weights, where nobody is about to change them."""
        self._status.content = status
        self._buttons[Button.PAUSE].disabled = is_paused
        self._buttons[Button.RESUME].disabled = not is_paused
        for path, value in weights.items():
            if path not in self._touched:
                slider = self._weights[path]
                slider.value = min(max(value, slider.min), slider.max)

    def finish(self, status: str) -> None:
        """Show that nothing can be asked for any more."""
        self._status.content = status
        for button in self._buttons.values():
            button.disabled = True

    def _button(self, gui: viser.GuiApi, label: str, request: Request) -> viser.GuiButtonHandle:
        button = gui.add_button(label)
        button.on_click(lambda event: self._ask(request))
        return button

    def _slider(self, gui: viser.GuiApi, path: str, schedule: Schedule) -> viser.GuiSliderHandle[float]:
        low, high = editable_range(schedule)
        # A slider without length cannot be moved, and viser wants a positive step all the same.
        step = (high - low) / _POSITIONS or 1.0
        slider = gui.add_slider(path, min=low, max=high, step=step, initial_value=low, disabled=low == high)

        @slider.on_update
        def _(event: viser.GuiEvent[Any]) -> None:
            if event.client is not None:  # Else the training itself has moved it.
                self._touched.add(path)

        return slider

    def _apply(self, event: viser.GuiEvent[Any]) -> None:
        touched, self._touched = self._touched, set()
        if touched:
            self._ask(SetWeights({path: self._weights[path].value for path in sorted(touched)}))
