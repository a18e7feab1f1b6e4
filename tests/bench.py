"""A viewer with the dock and a user with mouse and keys, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fakes import FakeSession
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_sam2refiner._qt.dock import SegmentDock
from napari_sam2refiner.viewer.state import ModelChoice

MODELS = (ModelChoice("micro", 25_000_000, True),)


class Bench:
    """A viewer with the dock, and a user."""

    def __init__(self, viewer: Any, qtbot: Any, dock: SegmentDock | None = None, **options: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.log: list[Any] = []
        if dock is None:
            settings = {"models": MODELS, "load": lambda name, _: name, "session": lambda _: FakeSession(self.log)}
            dock = SegmentDock(viewer, **{**settings, **options})
            viewer.window.add_dock_widget(dock, name="segment")
        self.dock = dock
        self.wait(self.is_idle)

    def close(self) -> None:
        """Close the dock, and see its thread end."""
        self.dock.shut_down()
        if self.dock._worker is not None:
            self.dock._worker.join()
            assert not self.dock._worker._thread.is_alive()

    def wait(self, until: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(until, timeout=120_000)  # a busy machine is no failure

    def is_idle(self) -> bool:
        QApplication.processEvents()
        state = self.dock.state
        return state.model is not None and not (state.loading or state.encoding or state.answering)

    @property
    def canvas(self) -> QWidget:
        return next(
            w for w in QApplication.allWidgets() if type(w).__name__ == "CanvasBackendDesktop" and w.isVisible()
        )

    def place(self, *world: float) -> QPoint:
        """Return where on the canvas a world point (y, x) is."""
        canvas, camera = self.canvas, getattr(self.viewer, "scene", self.viewer).camera
        y, x = (np.array(world) - np.array(camera.center[-2:])) * camera.zoom
        return QPoint(round(x + canvas.width() / 2), round(y + canvas.height() / 2))

    def click(self, *world: float, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        before = self.dock.state.undo, self.dock.state.positives, self.dock.state.negatives
        self.qtbot.mouseMove(self.canvas, self.place(*world))
        self.qtbot.mouseClick(self.canvas, Qt.MouseButton.LeftButton, modifier, self.place(*world))
        state = self.dock.state
        self.wait(lambda: (state.undo, state.positives, state.negatives) != before and self.is_idle())

    def hover(self, *world: float) -> None:
        self.qtbot.mouseMove(self.canvas, self.place(*world))
        QApplication.processEvents()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        button = Qt.MouseButton.LeftButton
        self.qtbot.mouseMove(self.canvas, self.place(*start))
        self.qtbot.mousePress(self.canvas, button, pos=self.place(*start))
        for share in (0.3, 0.6, 1.0):
            self.qtbot.mouseMove(self.canvas, self.place(*(np.array(start) * (1 - share) + np.array(end) * share)))
            QApplication.processEvents()  # moves that wait are merged into one
        self.qtbot.mouseRelease(self.canvas, button, pos=self.place(*end))
        self.wait(self.is_idle)

    def choose(self, name: str) -> None:
        self.dock.source.set_image(self.viewer.layers[name])
        self.wait(lambda: self.dock.state.image == name and self.is_idle())

    def press(self, key: str, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(self.canvas, key, modifier)
        self.wait(self.is_idle)

    @property
    def preview(self) -> Any:
        return self.viewer.layers["preview"].data > 0

    def result(self, name: str = "cells objects") -> Any:
        return self.viewer.layers[name].data
