"""What an act changed in a label plane, kept small so that hundreds of acts can be taken back."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidLabelsError

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Mask, Window

LEVEL = 1  # of zlib: labels are so even that more effort gains little
OVERHEAD = 400  # bytes of the objects around the arrays


class Patch:
    """What one act changed in a label plane; only the pixels that it changed are stored, compressed.

    A pixel that is other than the act left it when the act is undone, or than it was before when the act is done
    again, was painted by somebody: it stays as it is, and does not belong to the act any more.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the plane.
    window : (slice, slice)
        Rows and columns of the region around the changes; without pixels where there are none.
    before, after : (H, W) arrays
        Labels of that region before and after the act.

    Attributes
    ----------
    shape, window
        As given.
    changed : int
        How many pixels the act changed.
    """

    def __init__(
        self, shape: tuple[int, int], window: Window, before: npt.NDArray[Any], after: npt.NDArray[Any]
    ) -> None:
        self.shape, self.window = shape, window
        differs = before != after
        self._size = differs.shape
        self._places = _pack(differs)
        self._before, self._after = _Values.of(before, differs), _Values.of(after, differs)
        self.changed = int(np.count_nonzero(differs))
        self._ours: bytes | None = None  # which of the pixels belong to the act; None: all

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return OVERHEAD + len(self._places) + self._before.size + self._after.size + len(self._ours or b"")

    def count(self, labels: npt.NDArray[Any], object_id: int) -> int:
        """Return how many pixels of the region an object has in the labels (Y, X) of the plane."""
        return int(np.count_nonzero(labels[self.window] == object_id))

    def undo(self, labels: npt.NDArray[Any]) -> None:
        """Put back the labels from before, in place; pixels that were changed otherwise since stay as they are."""
        self._replace(labels, self._after, self._before)

    def redo(self, labels: npt.NDArray[Any]) -> None:
        """Repeat the act, in place; pixels that were changed otherwise since stay as they are."""
        self._replace(labels, self._before, self._after)

    def _replace(self, labels: npt.NDArray[Any], old: _Values, new: _Values) -> None:
        if labels.shape != self.shape:
            msg = f"the labels have shape {labels.shape} but the change was made to {self.shape}; use the same plane."
            raise InvalidLabelsError(msg)
        region, places = labels[self.window], _unpack(self._places, self._size)
        ours = places & (region == old.at(places))
        if self._ours is not None:
            ours &= _unpack(self._ours, self._size)
        np.copyto(region, new.at(places), where=ours)
        self._ours = None if np.count_nonzero(ours) == self.changed else _pack(ours)


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """Labels of the pixels that changed; one where all are the same, as they mostly are."""

    kind: np.dtype[Any]
    content: bytes
    is_one: bool

    @classmethod
    def of(cls, labels: npt.NDArray[Any], places: Mask) -> _Values:
        """Keep the labels of some places."""
        first = labels.flat[np.argmax(places)] if places.any() else labels.dtype.type(0)
        if not (places & (labels != first)).any():  # several times as fast as to take them out
            return cls(labels.dtype, first.tobytes(), is_one=True)
        return cls(labels.dtype, zlib.compress(labels[places].tobytes(), LEVEL), is_one=False)

    @property
    def size(self) -> int:
        """Bytes of the labels."""
        return len(self.content)

    def at(self, places: Mask) -> npt.NDArray[Any]:
        """Return the labels at their places, whatever elsewhere; one for all of them where they are the same."""
        values = np.frombuffer(self.content if self.is_one else zlib.decompress(self.content), self.kind)
        if self.is_one:
            return values
        labels = np.zeros(places.shape, self.kind)
        labels[places] = values
        return labels


def _pack(mask: Mask) -> bytes:
    return zlib.compress(np.packbits(mask).tobytes(), LEVEL)


def _unpack(packed: bytes, shape: tuple[int, ...]) -> Mask:
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(shape))).view(np.bool_).reshape(shape)
