"""Labels as numpy keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, guess_axes
from napari_sam2refiner.labels.io import compact


def write(path: Path, objects: LabelledObjects) -> None:
    """Write labels; what else is known of objects has no place."""
    np.save(path, compact(objects.labels))


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read labels; a stack is a time-lapse."""
    try:
        labels = np.load(path)
    except Exception as error:  # whatever a damaged file does
        msg = f"{path} cannot be read: {error}; give an array as numpy.save writes it."
        raise ReadError(msg) from error
    return LabelledObjects(labels, guess_axes(labels.ndim))
