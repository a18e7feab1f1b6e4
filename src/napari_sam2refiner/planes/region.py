"""What every use of a mask on a plane needs: its truth values and its bounding box."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
NOWHERE: Window = (slice(0, 0), slice(0, 0))


class Part(NamedTuple):
    """A mask (Y, X), cut to the rows and columns that it takes up.

    Attributes
    ----------
    shape : (int, int)
        Y and X.
    window : (slice, slice)
        Rows and columns of the part.
    pixels : (H, W) bool array
        The mask there; it is empty elsewhere.
    """

    shape: tuple[int, int]
    window: Window
    pixels: Mask

    @classmethod
    def of(cls, mask: Mask | Part) -> Part:
        """Cut a mask; what is cut already stays as it is."""
        if isinstance(mask, Part):
            return mask
        window = bounding_window(mask) or NOWHERE
        return cls((mask.shape[0], mask.shape[1]), window, mask[window].copy())

    @classmethod
    def nothing(cls, shape: tuple[int, int]) -> Part:
        """Return an empty mask."""
        return cls(shape, NOWHERE, np.zeros((0, 0), np.bool_))

    @classmethod
    def union(cls, parts: Sequence[Part]) -> Part:
        """Return the mask of what is in any of some masks of one plane."""
        window = functools.reduce(around, (part.window for part in parts))
        return cls(parts[0].shape, window, np.logical_or.reduce([part.within(window) for part in parts]))

    def without(self, other: Part) -> Part:
        """Return the mask less another one of its plane."""
        return Part(self.shape, self.window, self.pixels & ~other.within(self.window)).tight()

    @property
    def area(self) -> int:
        """How many pixels are inside."""
        return int(np.count_nonzero(self.pixels))

    def tight(self) -> Part:
        """Return the same mask, cut to what it takes up."""
        inner = bounding_window(self.pixels)
        if inner is None:
            return Part.nothing(self.shape)
        rows, columns = (
            slice(part.start + inside.start, part.start + inside.stop)
            for part, inside in zip(self.window, inner, strict=True)
        )
        return Part(self.shape, (rows, columns), self.pixels[inner])

    def whole(self) -> Mask:
        """Return the mask."""
        mask = np.zeros(self.shape, np.bool_)
        mask[self.window] = self.pixels
        return mask

    def within(self, window: Window) -> Mask:
        """Return the mask in a window of the plane, with start and stop."""
        mask = np.zeros([part.stop - part.start for part in window], np.bool_)
        firsts = [max(ours.start, asked.start) for ours, asked in zip(self.window, window, strict=True)]
        lasts = [min(ours.stop, asked.stop) for ours, asked in zip(self.window, window, strict=True)]
        if all(first < last for first, last in zip(firsts, lasts, strict=True)):
            mask[_counted_from(window, firsts, lasts)] = self.pixels[_counted_from(self.window, firsts, lasts)]
        return mask


class Picture(NamedTuple):
    """Numbered objects of a plane, cut to the rows and columns that they take up.

    Attributes
    ----------
    shape : (int, int)
        Y and X.
    window : (slice, slice)
        Rows and columns of the part.
    pixels : (H, W) integer array
        The number of the object there, 0 where there is none; so it is elsewhere.
    """

    shape: tuple[int, int]
    window: Window
    pixels: npt.NDArray[Any]

    @classmethod
    def of(cls, numbers: npt.NDArray[Any]) -> Picture:
        """Cut numbers (Y, X) of a plane."""
        window = bounding_window(numbers > 0) or NOWHERE
        return cls((numbers.shape[0], numbers.shape[1]), window, numbers[window])

    @property
    def area(self) -> int:
        """How many pixels are of an object."""
        return int(np.count_nonzero(self.pixels))

    def whole(self) -> npt.NDArray[Any]:
        """Return the numbers (Y, X) of the plane."""
        numbers = np.zeros(self.shape, self.pixels.dtype)
        numbers[self.window] = self.pixels
        return numbers


def _counted_from(window: Window, firsts: list[int], lasts: list[int]) -> Window:
    """Return a part of a window in its own rows and columns."""
    rows, columns = (
        slice(first - part.start, last - part.start) for part, first, last in zip(window, firsts, lasts, strict=True)
    )
    return rows, columns


def as_mask(values: npt.NDArray[Any]) -> Mask:
    """Return where values are nonzero, as a bool array; bool arrays are returned as they are."""
    values = np.asarray(values)
    return values if values.dtype == np.bool_ else values != 0


def bounding_window(mask: Mask) -> Window | None:
    """Return the bounding box of a (Y, X) mask as slices of rows and columns, None where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def around(one: Window, other: Window) -> Window:
    """Return the window around two; one without pixels does not count."""
    full = [window for window in (one, other) if window[0].stop > window[0].start]
    if not full:
        return NOWHERE
    rows, columns = (
        slice(min(window[axis].start for window in full), max(window[axis].stop for window in full)) for axis in (0, 1)
    )
    return rows, columns
