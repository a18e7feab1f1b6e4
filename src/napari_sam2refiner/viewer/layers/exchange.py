"""What an export takes from the viewer, and where an import goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.viewer.exporter import ImageAtHand
from napari_sam2refiner.viewer.layers.image import transforms_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam2refiner.labels.exchange.objects import LabelledObjects
    from napari_sam2refiner.viewer.work import Work


def image_at_hand(image: Image, work: Work) -> ImageAtHand:
    """Return an image with its objects; a scale of 1 along all axes is none."""
    array = image.data[0] if image.multiscale else image.data
    scale = tuple(abs(float(size)) for size in image.scale)
    return ImageAtHand(
        name=Path(image.source.path).name if image.source.path else image.name,
        shape=tuple(array.shape[: image.ndim]),
        labels=work.canvas.labels if work.canvas.has_result else None,
        scores=work.origins.lowest_scores(),
        classes={number: named.kind for number, named in work.canvas.names.items() if named.kind},
        scale=None if all(size == 1 for size in scale) else scale,
        image=array,
    )


def add_objects(viewer: ViewerModel, image: Image | None, objects: LabelledObjects, name: str) -> str:
    """Put objects into a new labels layer just above the image, where the image is if they are of its shape.

    Return the layer's name; what was active stays active.
    """
    layers, active = viewer.layers, viewer.layers.selection.active
    is_there = image is not None and image in layers
    place: dict[str, Any] = {} if objects.scale is None else {"scale": objects.scale}
    if image is not None and is_there:
        array = image.data[0] if image.multiscale else image.data
        if tuple(array.shape[: image.ndim]) == objects.labels.shape:
            place = transforms_of(image)
    layer = Labels(objects.labels, name=name, opacity=0.5, features=_features(objects), **place)
    layers.insert(layers.index(image) + 1 if is_there else len(layers), layer)
    if active is not None and active in layers:
        layers.selection.active = active
    return str(layer.name)


def _features(objects: LabelledObjects) -> dict[str, Any]:
    """Return what is known of objects, as napari shows it in its status bar."""
    ids = ids_in(objects.labels)
    known: dict[str, Any] = {
        "class": [objects.classes.get(number, "") for number in ids] if objects.classes else None,
        "score": [objects.scores.get(number, np.nan) for number in ids] if objects.scores else None,
        "parent": [objects.parents.get(number, 0) for number in ids] if objects.parents else None,
    }
    return {"index": ids} | {name: values for name, values in known.items() if values is not None}
