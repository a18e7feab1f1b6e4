"""Garbage collection while nobody waits for the window."""

from __future__ import annotations

import gc

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QApplication

IDLE = 3000  # milliseconds without work or a move of the mouse


def keep_all() -> None:
    """Keep all objects there are out of garbage collections.

    napari and torch make half a million that stay. Each collection would go through all of them, which stops the window
    for a third of a second: in the midst of a click, and four times when another image is taken up, as napari collects
    after each layer that it removes.
    """
    gc.freeze()


class IdleCollection(QObject):
    """Frees, when the user rests, layers that were removed, though they were kept out of garbage collections.

    Layers and what listens to them hold each other: their images would stay in memory for ever.

    Parameters
    ----------
    parent : QObject
        With it, nothing is collected any more.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(IDLE)
        self._timer.timeout.connect(self._on_timeout)
        self._mouse = QCursor.pos()

    def note_removed(self, event: object = None) -> None:  # noqa: ARG002
        """Take notice that a layer was removed."""
        self._mouse = QCursor.pos()
        self._timer.start()

    def note_work(self) -> None:
        """Take notice that something is being done."""
        if self._timer.isActive():
            self.note_removed()

    def close(self) -> None:
        """Leave it to Python when to collect what."""
        self._timer.stop()
        gc.unfreeze()

    def _on_timeout(self) -> None:
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton or QCursor.pos() != self._mouse:
            self.note_removed()
        elif gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()
            keep_all()
