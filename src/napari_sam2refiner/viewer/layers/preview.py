"""The picture of masks in the preview layer."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.planes.region import Part, Picture

FILL, OUTLINE = 1, 2  # of the first object; each further one has the next two
MOST_OBJECTS = 120  # with labels of their own; after that they begin again
OPACITY = {FILL: 0.3, OUTLINE: 1.0}
GOLDEN = 0.618034  # of the circle of hues: neighbours in number are far apart in colour


def _colors() -> dict[int | None, Any]:
    """Return the colour of each label: yellow for the first object, others for the further ones."""
    colors: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for number in range(MOST_OBJECTS):
        color = hsv_to_rgb((0.14 + number * GOLDEN) % 1, 0.9, 1.0)
        colors |= {2 * number + kind: (*color, opacity) for kind, opacity in OPACITY.items()}
    return colors


PREVIEW_COLORS = _colors()


class Drawing:
    """Masks drawn into the labels of a preview, at most one on each plane, or a picture of several objects."""

    def __init__(self) -> None:
        self._masks: dict[PlaneIndex, Part | Picture] = {}

    def forget(self) -> None:
        """Begin with an empty preview."""
        self._masks.clear()

    def shows(self, plane: PlaneIndex, mask: Part | Picture | None) -> bool:
        """Return whether this very mask, or none, is drawn on a plane."""
        return self._masks.get(plane) is mask

    def draw(self, labels: npt.NDArray[Any], plane: PlaneIndex, mask: Part | Picture | None, shown: float) -> None:
        """Draw a mask, or none, in place of the one before; only pixels of the two are touched.

        Its outline can be seen where so many pixels of the plane are shown.
        """
        view = plane.get(labels)
        before = self._masks.pop(plane, None)
        if before is not None:
            view[before.window] = 0
        if mask is not None:
            view[mask.window] = paint(mask.pixels, max(1, round(shown / 600)))
            self._masks[plane] = mask


def paint(mask: npt.NDArray[Any], width: int) -> npt.NDArray[np.uint8]:
    """Return a (Y, X) picture of a mask, or of objects numbered from 1: filled, with a rim of `width` pixels inside."""
    objects = np.pad(mask, width)
    inner = objects != 0
    same = objects[1:] == objects[:-1], objects[:, 1:] == objects[:, :-1]
    for _ in range(width):
        core = inner.copy()
        core[1:] &= inner[:-1] & same[0]
        core[:-1] &= inner[1:] & same[0]
        core[:, 1:] &= inner[:, :-1] & same[1]
        core[:, :-1] &= inner[:, 1:] & same[1]
        inner = core
    inside = inner[width : width + mask.shape[0], width : width + mask.shape[1]]
    picture = np.where(inside, np.uint8(FILL), np.uint8(OUTLINE))
    if mask.dtype != np.bool_:
        picture += (2 * ((mask - (mask > 0)) % MOST_OBJECTS)).astype(np.uint8)
    picture[mask == 0] = 0
    return picture
