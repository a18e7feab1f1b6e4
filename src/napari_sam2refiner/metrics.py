"""The measures by which masks are compared and reported; numpy and scipy only."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.planes.region import Mask, as_mask, bounding_window

RESAMPLES = 2000
THRESHOLDS = tuple((50 + 5 * step) / 100 for step in range(10))  # IoUs at which objects count as found


def iou(mask: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """Return intersection over union of two masks.

    Parameters
    ----------
    mask, truth : (Y, X) arrays
        Nonzero inside.

    Returns
    -------
    float
        0 to 1; 1 where both are empty.

    Raises
    ------
    InvalidLabelsError
        If the shapes differ.
    """
    mask, truth = _pair(mask, truth)
    both = np.count_nonzero(mask & truth)
    either = np.count_nonzero(mask) + np.count_nonzero(truth) - both
    return both / either if either else 1.0


def boundary(mask: npt.NDArray[Any], dilation_ratio: float = 0.02) -> Mask:
    """Return the inner band along a mask's outline.

    The band is the mask minus its erosion by a 3 x 3 square, repeated `dilation_ratio` of the plane's diagonal times,
    at least once; what lies outside the plane counts as outside the mask (Cheng et al., Boundary IoU, CVPR 2021).

    Parameters
    ----------
    mask : (Y, X) array
        Nonzero inside.
    dilation_ratio : float
        Width of the band as a share of the plane's diagonal.

    Returns
    -------
    (Y, X) bool array
    """
    mask = as_mask(mask)
    band = np.zeros_like(mask)
    window = bounding_window(mask)
    if window is None:
        return band
    width = max(1, round(dilation_ratio * float(np.hypot(*mask.shape))))
    inside = mask[window]
    # n erosions by a 3 x 3 square leave what is further than n from the outside in chessboard distance
    depth = ndimage.distance_transform_cdt(np.pad(inside, 1), metric="chessboard")[1:-1, 1:-1]
    band[window] = inside & (depth <= width)
    return band


def boundary_iou(mask: npt.NDArray[Any], truth: npt.NDArray[Any], dilation_ratio: float = 0.02) -> float:
    """Return intersection over union of the inner bands of two masks; see `boundary` and `iou`."""
    mask, truth = _pair(mask, truth)
    return iou(boundary(mask, dilation_ratio), boundary(truth, dilation_ratio))


def boundary_f(mask: npt.NDArray[Any], truth: npt.NDArray[Any], tolerance: float = 0.008) -> float:
    """Return the F measure of two masks' outlines, as DAVIS counts it.

    Precision and recall of outline pixels that lie within `tolerance` of the plane's diagonal, rounded up, of the other
    outline (Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016).

    Parameters
    ----------
    mask, truth : (Y, X) arrays
        Nonzero inside.
    tolerance : float
        As a share of the plane's diagonal.

    Returns
    -------
    float
        0 to 1; 1 where both are empty.

    Raises
    ------
    InvalidLabelsError
        If the shapes differ.
    """
    mask, truth = _pair(mask, truth)
    window = bounding_window(mask | truth)
    if window is None:
        return 1.0
    reach = math.ceil(tolerance * float(np.hypot(*mask.shape)))
    first = [max(0, side.start - 1) for side in window]  # an outline lies before the first pixel, too
    there = tuple(slice(start, side.stop) for start, side in zip(first, window, strict=True))
    outlines = [_outline(one)[there] for one in (mask, truth)]
    shares: list[float] = []
    for one, other in (outlines, outlines[::-1]):
        if one.any() and other.any():
            near = ndimage.distance_transform_edt(~other) <= reach
            shares.append(np.count_nonzero(one & near) / np.count_nonzero(one))
        else:
            shares.append(float(not one.any()))
    precision, recall = shares
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: Mask) -> Mask:
    """Pixels whose right, lower or right lower neighbour is on the other side; beyond the plane there is none."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    found: Mask = (mask ^ padded[:-1, 1:]) | (mask ^ padded[1:, :-1]) | (mask ^ padded[1:, 1:])
    return found


class Found(NamedTuple):
    """How many objects of a label image were found, at one IoU.

    Attributes
    ----------
    right : int
        Pairs of a found and a true object, one to one, whose IoU is the threshold or more; as many as there can be.
    wrong, missed : int
        What is found and is none, and what is there and was not found.
    """

    right: int
    wrong: int
    missed: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is nothing and nothing was found."""
        both = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / both if both else 1.0

    @property
    def precision(self) -> float:
        """Average precision as it is counted for nuclei: right over right, wrong and missed; 1 as for `f1`.

        Caicedo et al., Nucleus segmentation across imaging experiments, Nature Methods 2019.
        """
        every = self.right + self.wrong + self.missed
        return self.right / every if every else 1.0


def count_found(
    labels: npt.NDArray[Any], truth: npt.NDArray[Any], thresholds: Sequence[float] = THRESHOLDS
) -> tuple[Found, ...]:
    """Return how many objects were found, at each IoU.

    Parameters
    ----------
    labels, truth : (Y, X) integer arrays
        What was found and what is there; 0 is the ground.
    thresholds : sequence of float
        Above zero.

    Raises
    ------
    InvalidLabelsError
        If the shapes differ.
    """
    if labels.shape != truth.shape:
        msg = f"the labels have shape {labels.shape} but the truth has {truth.shape}; compare labels of one plane."
        raise InvalidLabelsError(msg)
    (ids, found), (true_ids, true) = (np.unique(of.ravel(), return_inverse=True) for of in (labels, truth))
    overlaps = np.zeros((len(ids), len(true_ids)))
    np.add.at(overlaps, (found, true), 1)
    either = overlaps.sum(1, keepdims=True) + overlaps.sum(0, keepdims=True) - overlaps
    ious = (overlaps / either)[ids > 0][:, true_ids > 0]
    counts = []
    for threshold in thresholds:
        pairs = maximum_bipartite_matching(csr_array(ious >= threshold), perm_type="column")
        right = int(np.count_nonzero(pairs >= 0))
        counts.append(Found(right, ious.shape[0] - right, ious.shape[1] - right))
    return tuple(counts)


def number_of_clicks(ious: Sequence[float] | npt.NDArray[Any], threshold: float, limit: int = 20) -> int:
    """Return how many clicks reached a threshold.

    Parameters
    ----------
    ious : sequence of float
        IoU after the first click, the second, and so on.
    threshold : float
        IoU to reach.
    limit : int
        Clicks that are tried at most, and the answer where the threshold is never reached.
    """
    reached = np.flatnonzero(np.asarray(ious[:limit], dtype=float) >= threshold)
    return int(reached[0]) + 1 if len(reached) else limit


def bootstrap_interval(
    values: Sequence[float] | npt.NDArray[Any],
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of a mean.

    Parameters
    ----------
    values : sequence of float
        One value for each object, image or click.
    level : float
        Share of the resampled means that the interval holds.
    seed : int
        The same seed gives the same interval.
    groups : sequence, optional
        What each value belongs to, where values of one group are alike, such as one object's on all frames: whole
        groups are drawn then. Each value is its own group if left out.

    Returns
    -------
    (float, float)
        Lower and upper end; both nan where there are no values.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    _, of = (
        np.unique([str(group) for group in groups], return_inverse=True)
        if groups is not None
        else (0, np.arange(sample.size))
    )
    sums, counts = np.bincount(of, sample), np.bincount(of)
    draws = (rng.integers(0, len(sums), len(sums)) for _ in range(RESAMPLES))
    means = [sums[draw].sum() / counts[draw].sum() for draw in draws]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _pair(mask: npt.NDArray[Any], truth: npt.NDArray[Any]) -> tuple[Mask, Mask]:
    mask, truth = as_mask(mask), as_mask(truth)
    if mask.shape != truth.shape:
        msg = f"the mask has shape {mask.shape} but the truth has {truth.shape}; compare masks of one plane."
        raise InvalidLabelsError(msg)
    return mask, truth
