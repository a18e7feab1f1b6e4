"""What is in the result layer: masks that can be taken out again, and the ids that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_sam2refiner.errors import SAM2RefinerError
from napari_sam2refiner.labels.patch import Patch
from napari_sam2refiner.labels.write import next_free_id
from napari_sam2refiner.planes.region import around
from napari_sam2refiner.viewer.layers.view import finest

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.planes.region import Window

LARGEST_SCAN = 2**26  # labels that are looked through for the largest id within some tens of milliseconds
_Span = tuple[int, int, int, int]  # first and last rows and columns


@dataclass(frozen=True, slots=True, eq=False)
class WrittenPatches:
    """Changes of planes of a result layer, as one act; goes on meaning that layer when it is renamed or removed."""

    layer: Labels
    patches: tuple[tuple[PlaneIndex, Patch], ...]
    on_change: Callable[[], None]

    @property
    def size(self) -> int:
        """Bytes that are kept of them."""
        return sum(patch.size for _, patch in self.patches)

    def undo(self) -> None:
        """Take them back; what was painted there since stays."""
        self._apply(Patch.undo)

    def redo(self) -> None:
        """Make them again; what was painted there since stays."""
        self._apply(Patch.redo)

    def _apply(self, change: Callable[[Patch, npt.NDArray[Any]], None]) -> None:
        with suppress(SAM2RefinerError, ValueError):  # other labels, or read-only ones: not ours to change
            for plane, patch in self.patches:
                change(patch, plane.get(finest(self.layer)))
        self.layer.refresh()
        self.on_change()


@dataclass(frozen=True, slots=True, eq=False)
class WrittenMask(WrittenPatches):
    """One object in a result layer, and how many pixels it has on the plane."""

    pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class WrittenObjects(WrittenPatches):
    """Several new objects in a result layer, and how many pixels each has, by id; those without any are left out."""

    areas: Mapping[int, int]


class GivenIds:
    """The largest id in a result: all of it is looked through once, then only windows of planes that have changed."""

    def __init__(self) -> None:
        self._largest = 0
        self._unread: set[tuple[PlaneIndex, _Span]] | None = None  # None: all planes

    def begin(self) -> None:
        """Begin with a result that is empty."""
        self._largest, self._unread = 0, set()

    def doubt(self, place: tuple[PlaneIndex, Window] | None = None) -> None:
        """Look through a window of a plane, or all of them, before the next id is given."""
        if place is None:
            self._unread = None
        elif self._unread is not None:
            plane, (rows, columns) = place
            self._unread.add((plane, (rows.start, rows.stop, columns.start, columns.stop)))

    def next(self, labels: npt.NDArray[Any]) -> int:
        """Return the next free id."""
        if self._unread is None or (self._unread and labels.size <= LARGEST_SCAN):
            self._largest = next_free_id(labels) - 1
        else:
            windows = [plane.get(labels)[y0:y1, x0:x1] for plane, (y0, y1, x0, x1) in self._unread]
            self._largest = max([self._largest, *(next_free_id(window) - 1 for window in windows)])
        self._unread = set()
        return self._largest + 1


class Places:
    """Where objects were written in a result, as far as nobody else has written there since."""

    def __init__(self) -> None:
        self._known: dict[tuple[PlaneIndex, int], Window] = {}

    def forget(self) -> None:
        """Know nothing any more."""
        self._known.clear()

    def note(self, plane: PlaneIndex, object_id: int, window: Window) -> None:
        """Note that a change of an object, of one that is new or that was known, took place in a window."""
        before = self._known.get((plane, object_id))
        self._known[plane, object_id] = window if before is None else around(before, window)

    def widen(self, plane: PlaneIndex, window: Window) -> None:
        """Note that any of the objects may have got pixels in a window of a plane."""
        for key, before in self._known.items():
            if key[0] == plane:
                self._known[key] = around(before, window)

    def of(self, plane: PlaneIndex, object_id: int) -> Window | None:
        """Return rows and columns that hold all of an object on a plane; None where that is not known."""
        return self._known.get((plane, object_id))
