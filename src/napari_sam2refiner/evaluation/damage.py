"""Labels made worse on purpose, as other tools and hurried hands leave them: what `refine` has to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.labels.thresholds import otsu_watershed, part_over
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.simulated_user import WAYS, rough_mask

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field

OTSU = "Otsu + watershed"
KINDS = (*WAYS, OTSU)


def damaged(item: Field, ids: npt.NDArray[np.int32], kind: str) -> npt.NDArray[np.int32]:
    """Return labels (Y, X) of some of a field's objects, drawn badly.

    Parameters
    ----------
    item : Field
    ids : (N,) int32 array
        Of the objects; the others are not drawn.
    kind : str
        Of `KINDS`. Of Otsu's parts an object gets the one that covers most of it. Where two objects want a pixel, it
        goes to the later one, and an object may lose all of its pixels.
    """
    if kind == OTSU:
        return _by_otsu(item, ids)
    drawn = np.zeros_like(item.labels)
    rng = np.random.default_rng(0)
    for object_id in ids:
        drawn[rough_mask(item.labels == object_id, [kind], rng)] = object_id
    return drawn


def _by_otsu(item: Field, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Labels of the parts that cover more of an object than any other part does."""
    parts = otsu_watershed(rescale(item.image))
    drawn = np.zeros_like(item.labels)
    for object_id in ids:
        part = part_over(parts, item.labels == object_id)
        if part is not None:
            drawn[part] = object_id
    return drawn
