"""What an export takes from the viewer, and where an import goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.viewer.exporter import ImageAtHand
from napari_sam2refiner.viewer.layers.features import INDEX, read_names, read_parents, read_scores
from napari_sam2refiner.viewer.layers.image import transforms_of
from napari_sam2refiner.viewer.layers.view import finest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam2refiner.labels.exchange.objects import LabelledObjects
    from napari_sam2refiner.viewer.work import Work


def image_at_hand(image: Image, work: Work) -> ImageAtHand:
    """Return an image with its objects."""
    canvas = work.canvas
    return ImageAtHand(
        name=_file_name(image),
        shape=_shape(image),
        labels=canvas.labels if canvas.has_result else None,
        scores=work.origins.lowest_scores(),
        classes={number: named.kind for number, named in canvas.names.items() if named.kind},
        names={number: named.name for number, named in canvas.names.items() if named.name},
        parents=canvas.parents,
        scale=_scale(image),
        image=finest(image),
    )


def labels_at_hand(labels: Labels, image: Image | None) -> ImageAtHand:
    """Return the objects of any labels layer, with what its features say, on an image where that is of their shape."""
    array, named = finest(labels), read_names(labels)
    fits = image is not None and _shape(image) == tuple(array.shape)
    return ImageAtHand(
        name=_file_name(image if image is not None and fits else labels),
        shape=tuple(array.shape),
        labels=array,
        scores=read_scores(labels),
        classes={number: one.kind for number, one in named.items() if one.kind},
        names={number: one.name for number, one in named.items() if one.name},
        parents=read_parents(labels),
        scale=_scale(labels),
        image=finest(image) if image is not None and fits else None,
    )


def _file_name(layer: Image | Labels) -> str:
    """Return the name of a layer's file, else its own."""
    return Path(layer.source.path).name if layer.source.path else str(layer.name)


def _shape(image: Image) -> tuple[int, ...]:
    return tuple(finest(image).shape[: image.ndim])


def _scale(layer: Image | Labels) -> tuple[float, ...] | None:
    """Return the size of a pixel along each axis; 1 along all of them is none."""
    scale = tuple(abs(float(size)) for size in layer.scale)
    return None if all(size == 1 for size in scale) else scale


def add_objects(viewer: ViewerModel, image: Image | None, objects: LabelledObjects, name: str) -> str:
    """Put objects into a new labels layer just above the image, where the image is if they are of its shape.

    Return the layer's name; what was active stays active.
    """
    layers, active = viewer.layers, viewer.layers.selection.active
    is_there = image is not None and image in layers
    place: dict[str, Any] = {} if objects.scale is None else {"scale": objects.scale}
    if image is not None and is_there and _shape(image) == objects.labels.shape:
        place = transforms_of(image)
    layer = Labels(objects.labels, name=name, opacity=0.5, features=_features(objects), **place)
    layers.insert(layers.index(image) + 1 if is_there else len(layers), layer)
    if active is not None and active in layers:
        layers.selection.active = active
    return str(layer.name)


def _features(objects: LabelledObjects) -> dict[str, Any]:
    """Return what is known of objects, as napari shows it in its status bar."""
    ids, nothing = ids_in(objects.labels), {"name": "", "class": "", "score": np.nan, "parent": 0}
    known = {what: values for what, values in objects.known.items() if values}
    return {INDEX: ids} | {
        what: [values.get(number, nothing[what]) for number in ids] for what, values in known.items()
    }
