"""The outline of a mask as shapes, so that a label can be a prompt like any other; numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.viewer.marks import Region

MOST_CORNERS = 400  # of a piece: napari cuts each polygon into triangles while the window waits
MOST_PIECES = 30
ROUNDING = 1e-9
TOLERANCES = (0.0, 0.35, 0.5, 1.0, 2.0, 4.0, 8.0)  # pixels that an outline may be off


def outline_mask(mask: npt.NDArray[np.bool_]) -> tuple[Region, ...]:
    """Return polygons that enclose a mask (Y, X), negative ones around its holes; the largest first.

    In this order a piece within a hole comes after it. They enclose exactly its pixels, but for outlines of more than
    400 corners, which are made simpler by as little as that takes, and for all but the 30 largest pieces and holes.
    """
    part = Part.of(mask)
    start = np.array([one.start for one in part.window])
    pieces = [contour[:-1] - 1 + start for contour in find_contours(np.pad(part.pixels, 1).astype(float), 0.5)]
    pieces.sort(key=lambda corners: -abs(_area(corners)))
    return tuple(_polygon(corners) for corners in pieces[:MOST_PIECES])


def _polygon(corners: npt.NDArray[np.float64]) -> Region:
    """Return a contour as a polygon; those around holes run the other way round."""
    for tolerance in TOLERANCES:
        simple = corners[_needed(corners, tolerance)]
        if len(simple) <= MOST_CORNERS:
            break
    places = tuple((y, x) for y, x in simple.tolist())
    return Region("polygon", places, _area(corners) > 0)


def _needed(corners: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.bool_]:
    """Return which corners a closed line needs to be nowhere farther off than that (Douglas and Peucker)."""
    needed = np.zeros(len(corners) + 1, bool)
    closed = np.concatenate([corners, corners[:1]])
    farthest = int(np.abs(closed - closed[0]).sum(1).argmax())
    needed[[0, farthest]] = True
    stretches = [(0, farthest), (farthest, len(corners))]
    while stretches:
        start, stop = stretches.pop()
        if stop - start < 2:
            continue
        (y, x), between = closed[stop] - closed[start], closed[start + 1 : stop] - closed[start]
        off = np.abs(between @ (x, -y)) / np.hypot(y, x)
        worst = int(off.argmax())
        if off[worst] > tolerance + ROUNDING:
            middle = start + 1 + worst
            needed[middle] = True
            stretches += [(start, middle), (middle, stop)]
    return needed[:-1]


def _area(corners: npt.NDArray[np.float64]) -> float:
    """Return the signed area that a contour encloses; above zero around pixels, below around holes."""
    y, x = corners.T
    return float((y * np.roll(x, 1) - np.roll(y, 1) * x).sum() / 2)
