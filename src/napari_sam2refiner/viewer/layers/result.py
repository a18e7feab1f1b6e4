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

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2refiner.planes.plane import PlaneIndex

LARGEST_SCAN = 2**26  # labels that are looked through for the largest id within some tens of milliseconds


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
                change(patch, plane.get(self.layer.data))
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
    """The largest id in a result: all of it is looked through once, then only planes that have changed."""

    def __init__(self) -> None:
        self._largest = 0
        self._unread: set[PlaneIndex] | None = None  # None: all planes

    def doubt(self, plane: PlaneIndex | None = None) -> None:
        """Look through a plane, or all of them, before the next id is given."""
        if plane is None:
            self._unread = None
        elif self._unread is not None:
            self._unread.add(plane)

    def next(self, labels: npt.NDArray[Any]) -> int:
        """Return the next free id."""
        if self._unread is None or (self._unread and labels.size <= LARGEST_SCAN):
            self._largest = next_free_id(labels) - 1
        else:
            self._largest = max([self._largest, *(next_free_id(plane.get(labels)) - 1 for plane in self._unread)])
        self._unread = set()
        return self._largest + 1
