"""An image and labels of the same shape in the same place of a viewer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_sam2refiner.viewer.labels_keeping import WrittenLabels
from napari_sam2refiner.viewer.layers.image import METADATA_KEY, kept_in
from napari_sam2refiner.viewer.layers.open_results import results_in
from napari_sam2refiner.viewer.layers.strokes import Strokes
from napari_sam2refiner.viewer.layers.view import ImageView, explain_misfit, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.planes.region import Window
    from napari_sam2refiner.viewer.labels_keeping import LabelsKeeping, OnPainted


class LabelledPair:
    """Labels and their image in a viewer, as they are now.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    labels : napari.layers.Labels
    keeping : LabelsKeeping, optional
        Keeps what is written and is no dock's result.
    """

    def __init__(self, viewer: ViewerModel, image: Image, labels: Labels, keeping: LabelsKeeping | None = None) -> None:
        self._viewer = viewer
        self._keeping = keeping
        self._image = image
        self._labels = labels
        self._view = ImageView(viewer, image)
        self._shape = self._view.shape
        self._array = finest(labels)

    @property
    def name(self) -> str:
        """The labels' name."""
        return str(self._labels.name)

    @property
    def obstacle(self) -> str:
        """Why nothing can be done with these labels in this view, with the remedy; empty when it can."""
        return explain_misfit(self._image, self._labels) or self._view.obstacle

    @property
    def loss(self) -> str:
        """What has become of a layer, removed or reshaped, so that there is nothing to write; empty when nothing."""
        for layer in (self._image, self._labels):
            if layer not in self._viewer.layers:
                return f"{layer.name} was removed"
        if self._view.shape != self._shape or finest(self._labels).shape != self._shape:
            return f"{self.name} or {self._image.name} has another shape now"
        return ""

    @property
    def plane(self) -> PlaneIndex:
        """The plane of the image that is shown."""
        return self._view.plane

    def _on_written(self, layer: Labels, plane: PlaneIndex, window: Window | None = None) -> None:
        """A plane of labels was written, or a window of it: it is kept, by the dock whose result it is or by ours."""
        if not self._is_there(layer):
            return
        labels = finest(layer)
        window = window or plane.window(labels)
        results = results_in(labels)
        for result in results:
            result.on_plane_written(plane, window)
        if not results and self._keeping is not None:
            key = (str(layer.unique_id), str(self._image.unique_id), self._shape)
            watch = partial(self._watch, layer)
            self._keeping.touch(
                WrittenLabels(key, self._view.identity, labels, kept_in(layer), watch), plane.block(window)
            )

    def _watch(self, layer: Labels, on_painted: OnPainted, on_removed: Callable[[], None]) -> Strokes:
        """Tell what users paint into labels, as long as these are no dock's result."""

        def tell(plane: PlaneIndex | None) -> None:
            labels = finest(layer)
            if self._is_there(layer) and not results_in(labels):
                on_painted(labels, None if plane is None else plane.block(plane.window(labels)))

        return Strokes(self._viewer, self._view, layer, tell, on_removed)

    def _is_there(self, layer: Labels) -> bool:
        """Return whether labels are in the viewer, and fit the image."""
        return layer in self._viewer.layers and self._view.shape == self._shape == finest(layer).shape


def choose_pair(viewer: ViewerModel) -> tuple[Image | None, Labels | None]:
    """Return the image and the labels to begin with: the active layer, and the uppermost that fits it."""
    active = viewer.layers.selection.active
    layers = [active, *reversed(viewer.layers)]
    images = [layer for layer in layers if isinstance(layer, Image)]
    labels = [layer for layer in layers if isinstance(layer, Labels) and role_of(layer) != "preview"]
    pairs = [(i, n) for i in images for n in labels if ImageView(viewer, i).shape == finest(n).shape]
    pairs.sort(key=lambda pair: active not in pair)
    return pairs[0] if pairs else (next(iter(images), None), next(iter(labels), None))


def role_of(layer: Layer) -> str:
    """Return what a layer is to this plugin; empty where it is nothing."""
    return str(layer.metadata.get(METADATA_KEY, {}).get("role", ""))
