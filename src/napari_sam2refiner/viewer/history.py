"""Undo and redo of everything that is done through the dock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MOST_BYTES = 2**28  # an object takes some kilobytes, a whole plane of objects a megabyte or so


@dataclass(frozen=True, slots=True, eq=False)
class Act:
    """Something the user did.

    Attributes
    ----------
    what : str
        Its name as in "Undo: positive point".
    undo, redo : callable
        Put everything back to before the act, and to after it.
    size : int
        Bytes that are kept for that.
    """

    what: str
    undo: Callable[[], None]
    redo: Callable[[], None]
    size: int = 0


class History:
    """Acts that were done, and those that were undone and can be done again.

    Parameters
    ----------
    limit : int
        How many acts can be undone; the oldest are forgotten.
    most_bytes : int
        What the acts take up together; the oldest are forgotten beyond it, but never the newest.
    """

    def __init__(self, limit: int = 500, most_bytes: int = MOST_BYTES) -> None:
        self._limit, self._most_bytes = limit, most_bytes
        self._done: list[Act] = []
        self._undone: list[Act] = []

    @property
    def size(self) -> int:
        """Bytes that the acts take up together."""
        return sum(act.size for act in (*self._done, *self._undone))

    @property
    def next_undo(self) -> str:
        """What `undo` would undo; empty when nothing."""
        return self._done[-1].what if self._done else ""

    @property
    def next_redo(self) -> str:
        """What `redo` would do again; empty when nothing."""
        return self._undone[-1].what if self._undone else ""

    def add(self, act: Act) -> None:
        """Remember an act that has been done; what was undone before it cannot be done again."""
        self._done.append(act)
        self._undone.clear()
        del self._done[: -self._limit]
        size = self.size
        while size > self._most_bytes and len(self._done) > 1:
            size -= self._done.pop(0).size

    def undo(self) -> str:
        """Undo the newest act and return what it was; empty when there is none."""
        if not self._done:
            return ""
        act = self._done[-1]
        act.undo()
        self._undone.append(self._done.pop())
        return act.what

    def redo(self) -> str:
        """Do again what was undone last and return what it was; empty when there is none."""
        if not self._undone:
            return ""
        act = self._undone[-1]
        act.redo()
        self._done.append(self._undone.pop())
        return act.what
