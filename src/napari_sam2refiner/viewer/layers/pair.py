"""An image and labels of the same shape in the same place of a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_sam2refiner.viewer.layers.image import METADATA_KEY
from napari_sam2refiner.viewer.layers.view import ImageView, explain_misfit, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam2refiner.planes.plane import PlaneIndex


class LabelledPair:
    """Labels and their image in a viewer, as they are now.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    labels : napari.layers.Labels
    """

    def __init__(self, viewer: ViewerModel, image: Image, labels: Labels) -> None:
        self._viewer = viewer
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
