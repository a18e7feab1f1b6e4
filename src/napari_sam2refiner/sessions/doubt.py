"""When an object that was carried to a frame is worth a look: it goes, falls apart, changes its size, or scores low."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.planes.region import bounding_window

LOW_SCORE = 0.7
JUMP = 1.6  # so many times as large as on the frame before, or as small
PIECE = 0.2  # share of an object from which on a part of it is a piece


class Glimpse(NamedTuple):
    """What is compared of an object from frame to frame.

    Attributes
    ----------
    score : float
        The network's estimate of the mask's IoU.
    pixels, pieces : int
        Size, and large parts that do not touch, not even by their corners; 0 where it is gone.
    """

    score: float
    pixels: int
    pieces: int

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_], score: float) -> Glimpse:
        """Look at a mask (Y, X)."""
        window = bounding_window(mask)
        if window is None:
            return cls(score, 0, 0)
        parts, _ = ndimage.label(mask[window], np.ones((3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        return cls(score, int(sizes.sum()), int((sizes >= PIECE * sizes.sum()).sum()))


def doubt(now: Glimpse, before: Glimpse) -> str:
    """Return why an object is worth a look, as words after its name; empty when it is not."""
    if not now.pixels:
        return "is gone" if before.pixels else ""
    if not before.pixels:
        return "is there again"
    if now.pieces > max(1, before.pieces):
        return f"is in {now.pieces} pieces"
    if not 1 / JUMP < now.pixels / before.pixels < JUMP:
        return f"has {now.pixels} pixels after {before.pixels}"
    return f"has a score of {now.score:.2f}" if now.score < LOW_SCORE else ""
