"""Somebody with a mouse in front of a napari viewer with a dock; for pictures and measurements."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: its defaults, whatever is set; and that stays as it is

import napari
import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_sam2refiner._qt.dock import SegmentDock
from napari_sam2refiner._qt.model_dock import ModelDock
from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE

os.environ.setdefault(FOLDER_VARIABLE, tempfile.mkdtemp())  # what is done for a picture is nobody's work

D = TypeVar("D", bound=ModelDock)
DOCK_WIDTH = 320
NO_MODIFIER = Qt.KeyboardModifier.NoModifier


class User:
    """Opens a viewer, with an image if there is one.

    Parameters
    ----------
    image : array, optional
    layer : dict, optional
        What `add_image` takes besides.
    size : (int, int)
        Width and height of the window.
    """

    def __init__(
        self, image: Any = None, layer: dict[str, Any] | None = None, size: tuple[int, int] = (1280, 800)
    ) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*size)
        if image is not None:
            self.viewer.add_image(image, **(layer or {}))
        self.dock: SegmentDock | None = None

    def open_dock(self) -> SegmentDock:
        """Open the dock for clicks; its model loads meanwhile."""
        self.dock = self.open(SegmentDock(self.viewer), "Segment objects by clicks")
        return self.dock

    def open(self, dock: D, name: str) -> D:
        """Put a dock into the window."""
        holder = self.viewer.window.add_dock_widget(dock, name=name)
        self.canvas.window().resizeDocks([holder], [DOCK_WIDTH], Qt.Orientation.Horizontal)
        return dock

    @property
    def is_idle(self) -> bool:
        """Whether the dock has nothing to do."""
        assert self.dock is not None
        state = self.dock.state
        return None not in (state.image, state.model) and not (state.loading or state.encoding or state.answering)

    def wait(self, until: Callable[[], bool] | None = None) -> None:
        """Let the window work until that is so, and a little longer for what is still to be drawn."""
        done = until or (lambda: self.is_idle)
        while not done():
            spin(0.01)
        spin(0.2)

    def click(self, y: float, x: float) -> None:
        """Click on a pixel of the image; returns at once."""
        self._move((y, x))
        self._press((y, x))
        self.release((y, x))

    def drag(self, places: Sequence[tuple[float, float]]) -> None:
        """Drag the mouse along places (y, x) of the image, in steps as a hand does; its button stays down."""
        self._move(places[0])
        self._press(places[0])
        for start, end in pairwise(places):
            for share in np.linspace(0, 1, 6)[1:]:
                self._move(tuple(np.array(start) * (1 - share) + np.array(end) * share), is_down=True)
                spin(0.02)  # moves that wait are merged into one

    def release(self, place: tuple[float, ...]) -> None:
        """Let the mouse's button go at a place (y, x) of the image."""
        self._send(QEvent.Type.MouseButtonRelease, place, Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton)

    def _move(self, place: tuple[float, ...], *, is_down: bool = False) -> None:
        held = Qt.MouseButton.LeftButton if is_down else Qt.MouseButton.NoButton
        self._send(QEvent.Type.MouseMove, place, Qt.MouseButton.NoButton, held)

    def _press(self, place: tuple[float, ...]) -> None:
        self._send(QEvent.Type.MouseButtonPress, place, Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton)

    def _send(self, kind: QEvent.Type, place: tuple[float, ...], button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        canvas = self.canvas
        at = self.place(canvas, *place)
        event = QMouseEvent(kind, QPointF(at), QPointF(canvas.mapToGlobal(at)), button, held, NO_MODIFIER)
        QApplication.sendEvent(canvas, event)

    @cached_property
    def canvas(self) -> QWidget:
        """What the image is drawn on; of the window opened last, where there are several.

        Looked for once: to list all widgets for the first time takes a quarter of a second, which is nobody's click.
        """
        widgets = QApplication.allWidgets()
        return next(w for w in reversed(widgets) if type(w).__name__ == "CanvasBackendDesktop" and w.isVisible())

    def place(self, canvas: QWidget, y: float, x: float) -> QPoint:
        """Return where on the canvas a pixel of the image is."""
        camera = self.camera
        down, across = (np.array([y, x]) - np.array(camera.center[-2:])) * camera.zoom
        return QPoint(round(across + canvas.width() / 2), round(down + canvas.height() / 2))

    @property
    def camera(self) -> Any:
        """Where the viewer looks."""
        return getattr(self.viewer, "scene", self.viewer).camera


def spin(seconds: float) -> None:
    """Let the window work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()
