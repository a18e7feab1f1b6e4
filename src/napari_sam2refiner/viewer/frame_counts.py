"""On how many frames each object of a result is: every plane is looked through once, and again when it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.planes.plane import PlaneIndex

if TYPE_CHECKING:
    from napari_sam2refiner.labels.backup import Block

AT_ONCE = 2**23  # labels that are looked through in some ten milliseconds: a click in between does not wait for more
LARGEST = 2**31  # labels; what is larger, or on disk, is not looked through


class FrameCounts:
    """Counts frames of objects, a few planes at a time.

    Planes are those along the axes that are shown. Other axes, or labels of another shape, are counted anew.
    """

    def __init__(self) -> None:
        self._of: tuple[tuple[int, ...], tuple[int, ...]] | None = None  # shape, and axes that are shown
        self._unread: set[tuple[int, ...]] = set()
        self._asked: set[tuple[int, ...]] = set()
        self._ids: dict[tuple[int, ...], frozenset[int]] = {}
        self._counts: Counter[int] = Counter()
        self._is_known = False

    @property
    def counts(self) -> Mapping[int, int] | None:
        """Frames by object; None where not every plane was looked through yet."""
        return self._counts if self._is_known else None

    def doubt(self, block: Block | None) -> None:
        """Labels have changed in a block, or anywhere (None)."""
        if self._of is None:
            return
        shape, displayed = self._of
        changed = _planes(shape, displayed, block)
        self._unread.update(changed)
        self._asked.difference_update(changed)

    def next_planes(self, labels: npt.NDArray[Any], shown: PlaneIndex) -> list[PlaneIndex]:
        """Return planes that are to be looked through now; none where all are known, or cannot be."""
        displayed = (shown.displayed[0] % labels.ndim, shown.displayed[1] % labels.ndim)
        if labels.ndim < 3 or labels.size > LARGEST or isinstance(labels, np.memmap):
            self._begin(None)
            return []
        if self._of != (labels.shape, tuple(sorted(displayed))):
            self._begin((labels.shape, tuple(sorted(displayed))))
        pixels = labels.shape[displayed[0]] * labels.shape[displayed[1]]
        steps = sorted(self._unread)[: max(1, AT_ONCE // max(1, pixels))]
        self._asked = set(steps)
        return [PlaneIndex(step, displayed) for step in steps]

    def put(self, found: Mapping[PlaneIndex, Collection[int]]) -> None:
        """Take the ids of planes that were asked for, but for those that have changed since."""
        for plane, ids in found.items():
            if plane.steps in self._asked:
                self._counts.subtract(self._ids.get(plane.steps, ()))
                self._ids[plane.steps] = frozenset(ids)
                self._counts.update(self._ids[plane.steps])
                self._unread.discard(plane.steps)
        self._asked = set()
        self._is_known = self._is_known or not self._unread

    def _begin(self, of: tuple[tuple[int, ...], tuple[int, ...]] | None) -> None:
        """Count anew, labels of a shape along axes that are shown."""
        self._of, self._unread = of, set() if of is None else _planes(*of, None)
        self._asked, self._ids, self._counts, self._is_known = set(), {}, Counter(), False


def look_through(labels: npt.NDArray[Any], planes: Collection[PlaneIndex]) -> dict[PlaneIndex, Collection[int]]:
    """Return the ids on planes of labels."""
    return {plane: ids_in(plane.get(labels)) for plane in planes}


def _planes(shape: tuple[int, ...], displayed: tuple[int, ...], block: Block | None) -> set[tuple[int, ...]]:
    """Return the steps of the planes that a block touches, or of all."""
    parts = [slice(0, size) for size in shape] if block is None else block
    along = ((0,) if axis in displayed else range(part.start, part.stop) for axis, part in enumerate(parts))
    return set(product(*along))
