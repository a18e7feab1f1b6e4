"""Binds the keys of a dock to a viewer, as users want them, and gives them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from napari import layers
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication, QMenu

from napari_sam2refiner.viewer.keys import Bindings, Key, rebind, spell

if TYPE_CHECKING:
    import napari


class BoundKeys:
    """The keys of one dock in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    keys : sequence of Key
    targets : sequence
        Those that have what keys call as an attribute; the first that has it is called.
    """

    def __init__(self, viewer: napari.Viewer, keys: Sequence[Key], targets: Sequence[Any]) -> None:
        self._viewer, self._keys = viewer, keys
        self._calls = {key.name: _find(key.action, targets) for key in keys}
        self._bound: list[str] = []

    def bind(self, wanted: Bindings) -> Bindings:
        """Bind keys instead of those before; return them without those that somebody else has taken."""
        self.release()
        lost = [key.name for key in self._keys if not self._bind(key.name, wanted.by_name[key.name])]
        return wanted.without(lost)

    def release(self) -> None:
        """Give the keys back; may be called again."""
        while self._bound:
            self._viewer.bind_key(self._bound.pop(), None)

    def close(self) -> None:
        """Give the keys back for good, and hold on to nothing that they called."""
        self.release()
        self._calls.clear()

    def _bind(self, name: str, key: str) -> bool:
        call = self._calls[name]
        try:
            self._viewer.bind_key(key, lambda _viewer: call())
        except ValueError:  # somebody else's, and it stays theirs
            return False
        self._bound.append(key)
        return True


def chosen_keys(text: str) -> tuple[Bindings, tuple[str, ...]]:
    """Return the keys as users want them, and one sentence for each that they cannot have."""
    return rebind(text, dict(_napari_keys()) if text.strip() else {})


def _find(action: str, targets: Sequence[Any]) -> Any:
    """Return what a key calls."""
    first = action.split(".")[0]
    return attrgetter(action)(next(target for target in targets if hasattr(target, first)))


def _napari_keys() -> Iterator[tuple[str, str]]:
    """Find the keys that are napari's: of its actions as they are set, of its layers and of its menus."""
    for action, keys in get_settings().shortcuts.shortcuts.items():
        for key in keys:
            yield from _spelled(str(key), action.split(":")[-1].replace("_", " "))
    for kind in (layers.Image, layers.Labels, layers.Points, layers.Shapes):
        for key in kind.class_keymap:
            yield from _spelled(str(key), f"for {kind.__name__} layers")
    for menu in (widget for widget in QApplication.allWidgets() if isinstance(widget, QMenu)):
        for action in menu.actions():
            for sequence in action.shortcuts():
                yield from _spelled(sequence.toString(), action.text().replace("&", ""))


def _spelled(key: str, what: str) -> Iterator[tuple[str, str]]:
    spelled = spell(key)
    if spelled is not None:
        yield spelled, what
