"""What other layers of the viewer have to say about an image: labels as outlines, points and shapes as prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes

from napari_sam2refiner.errors import InvalidLabelsError, InvalidPromptError
from napari_sam2refiner.viewer.layers.prompts import read_marks
from napari_sam2refiner.viewer.layers.view import ImageView, explain_misfit, finest
from napari_sam2refiner.viewer.outlines import outline_mask

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.marks import Marks, Region


class GivenLayers:
    """Other layers than the dock's own, as they mean an image.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    view : ImageView
        Of that image.
    """

    def __init__(self, viewer: ViewerModel, image: Image, view: ImageView) -> None:
        self._viewer, self._image, self._view = viewer, image, view

    def outline_selected(self, layer: Labels) -> tuple[str, tuple[Region, ...]]:
        """Return the name and the outline of the label that is selected in a layer, on the plane that is shown.

        Raises
        ------
        InvalidLabelsError
            If the layer does not fit the image, or the label is not there.
        """
        misfit = explain_misfit(self._image, layer)
        if misfit:
            raise InvalidLabelsError(misfit)
        label = int(layer.selected_label)
        regions = outline_mask(self._labels(layer) == label) if label else ()
        if not regions:
            msg = f"Label {label} of {layer.name} is not on this plane; choose one that is, or point at it."
            raise InvalidLabelsError(msg)
        return f"label {label} of {layer.name}", regions

    def outline_under_mouse(self, ours: Sequence[Layer]) -> tuple[str, tuple[Region, ...]]:
        """Return the name and the outline of the label under the mouse, in the uppermost layer that can be seen.

        Parameters
        ----------
        ours : sequence of Layer
            Not these.

        Raises
        ------
        InvalidLabelsError
            If there is none.
        """
        y, x = self._view.mouse
        misfit = ""
        for layer in reversed(self._viewer.layers):
            if isinstance(layer, Labels) and layer not in ours and layer.visible:
                one = explain_misfit(self._image, layer)
                misfit = misfit or one
                labels = np.zeros((0, 0)) if one else self._labels(layer)
                if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] and labels[y, x]:
                    return f"label {labels[y, x]} of {layer.name}", outline_mask(labels == labels[y, x])
        msg = misfit or "Point at a label of another labels layer."
        raise InvalidLabelsError(msg)

    def read_prompts(self, layers: Sequence[Layer]) -> dict[PlaneIndex, Marks]:
        """Return what is marked in points and shapes layers, by plane.

        Data of layers with the features of prompts are pixels of the image, as in the layers that they come from;
        those of others mean the places where they are seen.

        Raises
        ------
        InvalidPromptError
            If there is nothing marked, or a layer has another number of dimensions.
        """
        marked = [layer for layer in layers if isinstance(layer, Points | Shapes) and len(layer.data)]
        for layer in marked:
            if layer.ndim != self._image.ndim:
                seen = f"{layer.name} has {layer.ndim} dimensions but {self._image.name} has {self._image.ndim}"
                msg = f"{seen}; prompts need as many as their image."
                raise InvalidPromptError(msg)
        marks = read_marks([self._in_pixels(layer) for layer in marked], self._view)
        if not marks:
            msg = "There are no prompts; select a Points or Shapes layer that has some in the layer list."
            raise InvalidPromptError(msg)
        return marks

    def _in_pixels(self, layer: Points | Shapes) -> Points | Shapes:
        """Return a layer whose data are pixels of the image."""
        if {"object_id", "polarity"} <= set(layer.features):
            return layer
        move = self._image.world_to_data
        if isinstance(layer, Points):
            data: Any = np.array([move(layer.data_to_world(place)) for place in layer.data])
            return Points(data, ndim=layer.ndim, features=layer.features)
        data = [np.array([move(layer.data_to_world(corner)) for corner in corners]) for corners in layer.data]
        return Shapes(data, ndim=layer.ndim, shape_type=layer.shape_type, features=layer.features)

    def _labels(self, layer: Labels) -> Any:
        """Return labels (Y, X) of the plane that is shown."""
        return np.asarray(self._view.as_label_plane(self._view.plane).get(finest(layer)))
