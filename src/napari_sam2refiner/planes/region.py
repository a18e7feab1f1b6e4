"""What every use of a mask on a plane needs: its truth values and its bounding box."""

from __future__ import annotations

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
    def of(cls, mask: Mask) -> Part:
        """Cut a mask."""
        window = bounding_window(mask) or NOWHERE
        return cls((mask.shape[0], mask.shape[1]), window, mask[window].copy())

    def whole(self) -> Mask:
        """Return the mask."""
        mask = np.zeros(self.shape, np.bool_)
        mask[self.window] = self.pixels
        return mask


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
