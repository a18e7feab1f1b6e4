"""The picture of a mask in the preview layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.region import NOWHERE, bounding_window

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex

FILL, OUTLINE = 1, 2
PREVIEW_COLORS = {None: "transparent", 0: "transparent", FILL: (1.0, 0.85, 0.1, 0.3), OUTLINE: (1.0, 0.85, 0.1, 1.0)}


class Drawing:
    """Masks drawn into the labels of a preview, at most one on each plane."""

    def __init__(self) -> None:
        self._masks: dict[PlaneIndex, npt.NDArray[np.bool_]] = {}

    def forget(self) -> None:
        """Begin with an empty preview."""
        self._masks.clear()

    def shows(self, plane: PlaneIndex, mask: npt.NDArray[np.bool_] | None) -> bool:
        """Return whether this very mask, or none, is drawn on a plane."""
        return self._masks.get(plane) is mask

    def draw(self, labels: npt.NDArray[Any], plane: PlaneIndex, mask: npt.NDArray[np.bool_] | None) -> None:
        """Draw a mask, or none, in place of the one before; only pixels of the two are touched."""
        view = plane.get(labels)
        before = self._masks.pop(plane, None)
        if before is not None:
            view[bounding_window(before) or NOWHERE] = 0
        if mask is not None:
            window = bounding_window(mask) or NOWHERE
            view[window] = paint(mask[window], max(1, round(max(mask.shape) / 600)))
            self._masks[plane] = mask


def paint(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.uint8]:
    """Return a (Y, X) picture of a mask: FILL inside, OUTLINE on its rim of `width` pixels."""
    inner = np.pad(mask, width)
    for _ in range(width):
        core = inner.copy()
        core[1:] &= inner[:-1]
        core[:-1] &= inner[1:]
        core[:, 1:] &= inner[:, :-1]
        core[:, :-1] &= inner[:, 1:]
        inner = core
    inside = inner[width : width + mask.shape[0], width : width + mask.shape[1]]
    return np.where(inside, FILL, np.where(mask, OUTLINE, 0)).astype(np.uint8)
