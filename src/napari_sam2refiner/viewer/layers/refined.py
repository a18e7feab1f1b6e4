"""Labels, the image that they are of, and the layer that their refined outlines go into."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_sam2refiner.planes.region import bounding_window
from napari_sam2refiner.viewer.layers.image import METADATA_KEY, transforms_of
from napari_sam2refiner.viewer.layers.pair import LabelledPair, role_of
from napari_sam2refiner.viewer.layers.source import ArraySource
from napari_sam2refiner.viewer.layers.view import lie_on_each_other
from napari_sam2refiner.viewer.segmenter import Relabelled, RelabelRequest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.labels_keeping import LabelsKeeping

ROLE = "refined"


class RefinedLabels(LabelledPair):
    """Labels and their image in a viewer, as they are now, and the layer with the refined ones.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    labels : napari.layers.Labels
        Hidden once there is a refined layer, not changed otherwise.
    keeping : LabelsKeeping, optional
        Keeps what is written.
    """

    def __init__(self, viewer: ViewerModel, image: Image, labels: Labels, keeping: LabelsKeeping | None = None) -> None:
        super().__init__(viewer, image, labels, keeping)
        self._result: Labels | None = None

    def request(self, plane: PlaneIndex, most_change: float, *, refine: bool) -> RelabelRequest:
        """Return what to ask for; a copy of all planes only where no layer waits for this one."""
        labels_plane = self._view.as_label_plane(plane)
        is_waited_for = self._waiting(labels_plane, lambda: labels_plane.get(self._array)) is not None
        copy = None if is_waited_for else self._copy
        image, labels = ArraySource(self._view.array), ArraySource(self._array)
        return RelabelRequest(image, plane, labels, labels_plane, most_change, refine, copy)

    def write(self, plane: PlaneIndex, relabelled: Relabelled) -> str:
        """Write refined labels into the layer that waits for them, undoably by napari, else into a new one on top."""
        plane = self._view.as_label_plane(plane)
        self._result = self._waiting(plane, lambda: relabelled.before)
        if self._result is None:
            data = self._copy() if relabelled.whole is None else relabelled.whole
            plane.put(data, relabelled.after)
            self._result = self._make(data)
            self._viewer.add_layer(self._result)
            self._labels.visible = False  # under the new outlines, the old ones would seem to be part of them
        else:
            _write_changed(self._result, plane, relabelled.after)
        self._on_written(self._result, plane)
        return str(self._result.name)

    def show_object(self, plane: PlaneIndex, object_id: int) -> bool:
        """Select an object in the refined layer and centre the view on it; return whether the layer is still there."""
        result = self._result
        if result is None or result not in self._viewer.layers:
            return False
        self._view.go_to(plane)
        self._viewer.layers.selection.active = result
        result.visible = True
        result.selected_label = object_id
        labels_plane = self._view.as_label_plane(plane)
        for array in (result.data, self._array):  # an object may have lost all its pixels
            window = bounding_window(labels_plane.get(array) == object_id)
            if window is not None:
                self._view.center_on(plane, *((part.start + part.stop - 1) / 2 for part in window))
                break
        return True

    def _waiting(self, plane: PlaneIndex, before: Callable[[], npt.NDArray[Any]]) -> Labels | None:
        """Return a refined layer of the same labels whose plane is still as it was in them."""
        for layer in self._viewer.layers:
            is_ours = role_of(layer) == ROLE and layer.metadata[METADATA_KEY]["labels"] == str(self._labels.unique_id)
            if is_ours and self._can_take(layer) and np.array_equal(plane.get(layer.data), before()):
                return cast("Labels", layer)
        return None

    def _can_take(self, layer: Layer) -> bool:
        data = layer.data
        is_like_labels = isinstance(data, np.ndarray) and (data.shape, data.dtype) == (self._shape, self._array.dtype)
        return is_like_labels and data.flags.writeable and lie_on_each_other(layer, self._labels)

    def _copy(self) -> npt.NDArray[Any]:
        """Return a copy of the labels on all planes."""
        return np.array(self._array)

    def _make(self, data: npt.NDArray[Any]) -> Labels:
        note = {"role": ROLE, "labels": str(self._labels.unique_id)}
        common = {"metadata": {METADATA_KEY: note}, **transforms_of(self._labels)}
        return Labels(data, name=f"{self.name} refined", opacity=self._labels.opacity, **common)


def _write_changed(layer: Labels, plane: PlaneIndex, labels: npt.NDArray[Any]) -> None:
    """Write what changes on a plane; napari's own undo takes it back."""
    view = plane.get(layer.data)
    rows, columns = np.nonzero(view != labels)
    places = [np.full(len(rows), step) for step in plane.steps]
    for axis, where in zip(plane.displayed, (rows, columns), strict=True):
        places[axis] = where
    if len(rows):
        layer.data_setitem(tuple(places), labels[rows, columns])
