"""Labels as other tools make them, without a network: Otsu's threshold, split by a watershed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed


def otsu_watershed(image: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Return the parts (Y, X) int32 of a plane (Y, X, 3) in [0, 1]: bright objects, split where they are narrow.

    The rarer side of the threshold counts as the objects, so that dark objects on a bright ground are found too.
    """
    grey = ndi.gaussian_filter(image.mean(-1), 1.0)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, np.int32)
    inside = grey > threshold_otsu(grey)
    if inside.mean() > 0.5:
        inside = ~inside
    inside = ndi.binary_fill_holes(ndi.binary_opening(inside))
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(inside), 1.0)
    peaks = peak_local_max(depth, min_distance=5, labels=ndi.label(inside)[0], exclude_border=False)
    seeds = np.zeros(grey.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    parts: npt.NDArray[np.int32] = watershed(-depth, seeds, mask=inside).astype(np.int32)
    return parts


def part_over(parts: npt.NDArray[np.int32], truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    """Return the part (Y, X) that covers more of an object (Y, X) than any other does; None if none covers any."""
    under = np.bincount(parts[truth])[1:]
    return parts == under.argmax() + 1 if under.any() else None
