"""Waiting until the user lets go of a slider."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

AFTER = 300  # milliseconds without a change


class Settling(QObject):
    """Calls what was asked for once nothing is asked for any more and no mouse button is held; each thing once.

    Parameters
    ----------
    parent : QObject
        With it, what waits is gone.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._calls: list[Callable[[], None]] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(AFTER)
        self._timer.timeout.connect(self._on_timeout)

    def add(self, call: Callable[[], None]) -> None:
        """Call something when all is still."""
        if call not in self._calls:
            self._calls.append(call)
        self._timer.start()

    def _on_timeout(self) -> None:
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._timer.start()
            return
        calls, self._calls = self._calls, []
        for call in calls:
            call()
