"""Masks tidied before they are kept: outlines smoothed, holes filled, specks dropped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.planes.region import bounding_window

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


def tidy(mask: Mask, tidying: Tidying) -> Mask:
    """Return a tidied mask (Y, X); the very mask where there is nothing to do."""
    window = bounding_window(mask)
    if window is None or not tidying:
        return mask
    margin = math.ceil(4 * tidying.smooth) + 1
    around = tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(window, mask.shape, strict=True)
    )
    part = mask[around]
    if tidying.smooth:
        # At the border of the plane an object goes on as it is there.
        part = ndimage.gaussian_filter(part.astype(np.float32), tidying.smooth, mode="nearest") > 0.5
    if tidying.fill_holes:
        part = ndimage.binary_fill_holes(part)
    if tidying.specks:
        part = _without_specks(part, tidying.specks)
    whole = np.zeros_like(mask)
    whole[around] = part
    return whole


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
