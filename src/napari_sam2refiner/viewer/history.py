"""Undo and redo of everything that is done through the dock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Act:
    """Something the user did.

    Attributes
    ----------
    what : str
        Its name as in "Undo: positive point".
    undo, redo : callable
        Put everything back to before the act, and to after it.
    """

    what: str
    undo: Callable[[], None]
    redo: Callable[[], None]


class History:
    """Acts that were done, and those that were undone and can be done again.

    Parameters
    ----------
    limit : int
        How many acts can be undone; the oldest are forgotten.
    """

    def __init__(self, limit: int = 500) -> None:
        self._limit = limit
        self._done: list[Act] = []
        self._undone: list[Act] = []

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
