"""What a biologist has without a network: Otsu's threshold, split by a watershed; a click takes the part under it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_sam2refiner.planes.intensity import rescale


def otsu_watershed(plane: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the parts (Y, X) int32 of a plane: objects brighter than the ground, split where they are narrow.

    Parameters
    ----------
    plane : (Y, X) or (Y, X, C) array
        The rarer side of the threshold counts as the objects, so that dark objects on a bright ground are found too.
    """
    grey = ndi.gaussian_filter(rescale(plane).mean(-1), 1.0)
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


def part_at(parts: npt.NDArray[np.int32], y: int, x: int) -> npt.NDArray[np.bool_]:
    """Return the part under a click; empty where there is none."""
    mask: npt.NDArray[np.bool_] = (parts == parts[y, x]) & (parts > 0)
    return mask
