"""A seeded user who knows the truth: clicks, boxes and rough masks for training and evaluation.

One definition serves both, so that a network is measured by what it was taught with. Everything works on the bounding
box of what it looks at, since it runs inside training loops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.planes.region import Mask, Window, as_mask, bounding_window

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
WAYS = ("eroded", "dilated", "shifted", "smoothed", "coarsened")  # of drawing badly


class Click(NamedTuple):
    """One corrective click, in plane pixels.

    Attributes
    ----------
    y, x : int
        Row and column.
    positive : bool
        True where the object is missing, False where there is too much of it.
    """

    y: int
    x: int
    positive: bool


def deepest_point(region: npt.NDArray[Any]) -> tuple[int, int] | None:
    """Return the pixel of a region that is furthest from its outside.

    Parameters
    ----------
    region : (Y, X) array
        Nonzero inside; the border of the plane counts as outside.

    Returns
    -------
    (int, int) or None
        Row and column, the smallest (y, x) of equally deep pixels; None for an empty region.
    """
    region = as_mask(region)
    window = bounding_window(region)
    if window is None:
        return None
    inside = region[window]
    y, x, _ = _deepest(inside)
    return y + window[0].start, x + window[1].start


def next_click(mask: npt.NDArray[Any] | None, truth: npt.NDArray[Any]) -> Click | None:
    """Return the click that corrects the largest error.

    Parameters
    ----------
    mask : (Y, X) array or None
        The mask so far, nonzero inside; None before the first click.
    truth : (Y, X) array
        The object, nonzero inside.

    Returns
    -------
    Click or None
        First the object's deepest point; later that of the largest wrong component (8-connected; missing and
        superfluous parts alike; ties: the deeper component, then the smallest (y, x)); None where the mask equals the
        truth.

    Raises
    ------
    InvalidLabelsError
        If the shapes differ.
    """
    truth = as_mask(truth)
    if mask is None:
        point = deepest_point(truth)
        return None if point is None else Click(*point, positive=True)
    mask = as_mask(mask)
    if mask.shape != truth.shape:
        msg = f"the mask has shape {mask.shape} but the truth has {truth.shape}; compare masks of one plane."
        raise InvalidLabelsError(msg)
    window = bounding_window(mask ^ truth)
    if window is None:
        return None
    mask, truth = mask[window], truth[window]
    y, x, which = _deepest_of_largest(truth & ~mask, mask & ~truth)
    return Click(y + window[0].start, x + window[1].start, positive=which == 0)


def tight_box(truth: npt.NDArray[Any]) -> tuple[float, float, float, float]:
    """Return the smallest box around a mask.

    Parameters
    ----------
    truth : (Y, X) array
        Nonzero inside.

    Returns
    -------
    (float, float, float, float)
        y0, x0, y1, x1 at the outer borders of the outermost pixels, so that one pixel at (3, 4) has the box
        (2.5, 3.5, 3.5, 4.5).

    Raises
    ------
    InvalidLabelsError
        If the mask is empty.
    """
    rows, columns = _required_window(as_mask(truth))
    return rows.start - 0.5, columns.start - 0.5, rows.stop - 0.5, columns.stop - 0.5


def noisy_box(
    truth: npt.NDArray[Any], rng: np.random.Generator, fraction: float = 0.1
) -> tuple[float, float, float, float]:
    """Return a box as drawn by hand: each side of the tight one moved by up to a fraction of the box's size.

    Parameters
    ----------
    truth : (Y, X) array
        Nonzero inside.
    rng : numpy.random.Generator
        Source of the moves.
    fraction : float
        Largest move, as a share of the box's height or width; 0 to below 0.5, so that sides never cross.

    Returns
    -------
    (float, float, float, float)
        y0, x0, y1, x1 within the plane, never without area.

    Raises
    ------
    InvalidLabelsError
        If the mask is empty.
    ValueError
        If the fraction is out of range.
    """
    if not 0 <= fraction < 0.5:
        msg = f"fraction is {fraction}; choose from 0 to below 0.5."
        raise ValueError(msg)
    truth = as_mask(truth)
    box = np.array(tight_box(truth))
    size = np.tile(box[2:] - box[:2], 2)
    moved = box + rng.uniform(-fraction, fraction, 4) * size
    y0, x0, y1, x1 = np.clip(moved, -0.5, np.tile(np.array(truth.shape) - 0.5, 2)).tolist()
    return y0, x0, y1, x1


def random_points(truth: npt.NDArray[Any], n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return points drawn uniformly from a mask.

    Parameters
    ----------
    truth : (Y, X) array
        Nonzero inside.
    n : int
        How many; all different as long as the mask has that many pixels.
    rng : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    (n, 2) int64 array
        Rows of (y, x).

    Raises
    ------
    InvalidLabelsError
        If the mask is empty.
    """
    truth = as_mask(truth)
    window = _required_window(truth)
    rows, columns = np.nonzero(truth[window])
    chosen = rng.choice(len(rows), n, replace=n > len(rows))
    return np.stack([rows[chosen] + window[0].start, columns[chosen] + window[1].start], axis=1)


def noisy_mask(truth: npt.NDArray[Any], rng: np.random.Generator) -> Mask:
    """Return a mask as a hurried hand draws it: too small, too large, beside, too smooth or too coarse.

    One or two of these happen, in random order, by up to a sixth of the object's extent (square root of its area).

    Parameters
    ----------
    truth : (Y, X) array
        Nonzero inside.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    (Y, X) bool array
        Never empty: where nothing would be left, the truth itself.

    Raises
    ------
    InvalidLabelsError
        If the mask is empty.
    """
    return rough_mask(truth, rng.permutation(WAYS)[: rng.integers(1, 3)].tolist(), rng)


def rough_mask(truth: npt.NDArray[Any], ways: Sequence[str], rng: np.random.Generator) -> Mask:
    """Return a mask drawn badly in certain ways, one after the other.

    Parameters
    ----------
    truth : (Y, X) array
        Nonzero inside.
    ways : sequence of str
        Of `WAYS`; each by 0.3 to 1 times a sixth of the object's extent, and a pixel at least.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    (Y, X) bool array
        Never empty: where nothing would be left, the truth itself.

    Raises
    ------
    InvalidLabelsError
        If the mask is empty.
    """
    truth = as_mask(truth)
    rows, columns = _required_window(truth)
    reach = math.sqrt(np.count_nonzero(truth[rows, columns])) / 6
    margin = 2 * math.ceil(max(1.0, reach)) + 1
    # the margin keeps shifts and growth from running into the edge of the window
    rough = np.pad(truth[rows, columns], margin)
    for way in ways:
        rough = _roughened(rough, way, max(1.0, float(rng.uniform(0.3, 1)) * reach), rng)
    y, x = rows.start - margin, columns.start - margin
    top, left = max(y, 0), max(x, 0)
    noisy = np.zeros_like(truth)
    part = noisy[top : y + rough.shape[0], left : x + rough.shape[1]]
    part[...] = rough[top - y :, left - x :][: part.shape[0], : part.shape[1]]
    return noisy if noisy.any() else truth.copy()


def _roughened(mask: Mask, way: str, reach: float, rng: np.random.Generator) -> Mask:
    """Return a nonempty mask drawn badly in one way, by up to `reach` pixels; it stays nonempty."""
    match way:
        case "eroded":
            depth: npt.NDArray[np.float64] = ndimage.distance_transform_edt(mask)
            return depth > min(reach, float(depth.max()) - 0.5)
        case "dilated":
            distance: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
            return distance <= reach
        case "shifted":
            angle = rng.uniform(0, 2 * math.pi)
            return np.roll(mask, (round(reach * math.sin(angle)), round(reach * math.cos(angle))), (0, 1))
        case "smoothed":
            share: npt.NDArray[np.float32] = ndimage.gaussian_filter(mask.astype(np.float32), reach / 2, truncate=3)
            return share > rng.uniform(0.3, 0.7) * float(share.max())
        case _:
            return _coarsened(mask, max(2, round(reach)), rng)


def _coarsened(mask: Mask, block: int, rng: np.random.Generator) -> Mask:
    """Return a mask made of square blocks, on a grid with a random origin."""
    y, x = rng.integers(0, block, 2)
    height, width = mask.shape
    padded = np.pad(mask, ((y, -(y + height) % block), (x, -(x + width) % block)))
    share = padded.reshape(padded.shape[0] // block, block, -1, block).mean((1, 3))
    coarse = share > 0.5 * share.max()
    drawn: Mask = coarse.repeat(block, 0).repeat(block, 1)
    return drawn[y : y + height, x : x + width]


def _deepest(inside: Mask) -> tuple[int, int, float]:
    """Return row, column and depth of a nonempty region's deepest pixel; the window's edge counts as outside."""
    depth: npt.NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(inside, 1))
    # argmax takes the first of equal values in row order, which is the smallest (y, x)
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    return y - 1, x - 1, float(depth[y, x])


def _deepest_of_largest(*regions: Mask) -> tuple[int, int, int]:
    """Return row and column of the deepest pixel of the regions' largest component, and which region it is in."""
    labelled = [ndimage.label(region, EIGHT_NEIGHBOURS)[0] for region in regions]
    areas = [np.bincount(labels.ravel())[1:] for labels in labelled]
    largest = max(int(area.max(initial=0)) for area in areas)
    best: tuple[float, int, int, int] | None = None
    for which, (labels, area) in enumerate(zip(labelled, areas, strict=True)):
        chosen = np.concatenate([[False], area == largest])
        # no two components touch, so the distances in all of the largest ones can be taken at once
        components = chosen[labels]
        window = bounding_window(components)
        if window is None:
            continue
        y, x, depth = _deepest(components[window])
        found = (-depth, y + window[0].start, x + window[1].start, which)
        best = found if best is None else min(best, found)
    assert best is not None, "no region has a pixel"
    return best[1:]


def _required_window(mask: Mask) -> Window:
    window = bounding_window(mask)
    if window is None:
        msg = f"the mask of shape {mask.shape} is empty; give one with at least one pixel inside."
        raise InvalidLabelsError(msg)
    return window
