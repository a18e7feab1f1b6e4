"""Masks tidied before they are kept: outlines smoothed, holes filled, specks dropped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.planes.region import Part

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tidying:
    """What is done to a mask, in this order; nothing by default.

    Attributes
    ----------
    smooth : float
        Standard deviation in pixels of the blur after which the outline is drawn anew, at a half.
    fill_holes : bool
        Whether what is enclosed belongs to the object.
    specks : int
        Pieces of fewer pixels than this are dropped; of several pieces the largest stays in any case.
    """

    smooth: float = 0.0
    fill_holes: bool = False
    specks: int = 0

    def __bool__(self) -> bool:
        return self != Tidying()


def tidy(mask: Part, tidying: Tidying) -> Part:
    """Return a tidied mask; the very mask where there is nothing to do."""
    if not mask.pixels.size or not tidying:
        return mask
    margin = math.ceil(4 * tidying.smooth) + 1
    rows, columns = (
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(mask.window, mask.shape, strict=True)
    )
    pixels = mask.within((rows, columns))
    if tidying.smooth:
        # At the border of the plane an object goes on as it is there.
        pixels = ndimage.gaussian_filter(pixels.astype(np.float32), tidying.smooth, mode="nearest") > 0.5
    if tidying.fill_holes:
        pixels = ndimage.binary_fill_holes(pixels)
    if tidying.specks:
        pixels = _without_specks(pixels, tidying.specks)
    return Part(mask.shape, (rows, columns), pixels).tight()


def _without_specks(mask: Mask, specks: int) -> Mask:
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    stays = sizes >= specks
    stays[sizes.argmax()] = True
    kept: Mask = stays[pieces]
    return kept
