"""Work for the GUI thread that can be put off, piece by piece, so that the window draws in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

BETWEEN = 20  # milliseconds, in which a window that is to be drawn anew is drawn: Qt waits up to 16 for the screen


class Turns(QObject):
    """Calls one thing in each turn of the event loop, in order; queued signals would all go before anything is drawn.

    Parameters
    ----------
    parent : QObject
        With it, what waits is gone.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._calls: deque[Callable[[], None]] = deque()
        self._timer = QTimer(self)
        self._timer.setInterval(BETWEEN)
        self._timer.timeout.connect(self._on_turn)

    def add(self, call: Callable[[], None]) -> None:
        """Call something when its turn comes."""
        self._calls.append(call)
        self._timer.start()

    def _on_turn(self) -> None:
        if self._calls:
            self._calls.popleft()()
        if not self._calls:
            self._timer.stop()
