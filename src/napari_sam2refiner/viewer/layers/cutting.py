"""A line that objects are cut along: drawn by a drag in a layer that is there for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

COLOR = "#ffcc00"


class CuttingLine:
    """Waits for one line to be drawn over an image.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    defer : callable
        Calls its argument once the event at hand is dealt with.
    on_line : callable
        Takes the line, (N, D) places in the image's data, when it is drawn and the layer has gone.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        defer: Callable[[Callable[[], None]], None],
        on_line: Callable[[npt.NDArray[np.float64]], None],
    ) -> None:
        self._viewer, self._image, self._defer, self._on_line = viewer, image, defer, on_line
        self._layer: Shapes | None = None

    @property
    def is_active(self) -> bool:
        """Whether the next drag draws the line."""
        active = self._viewer.layers.selection.active
        return self._layer is not None and active == self._layer  # not `is`: plugins get a proxy of the viewer

    def start(self, transforms: dict[str, Any]) -> None:
        """Have a line drawn; `transforms` put its layer where the image is."""
        self.stop()
        self._layer = Shapes(ndim=self._image.ndim, name="cut", **transforms)
        self._layer.mouse_pan = False  # a drag draws
        self._layer.mouse_drag_callbacks.append(self._on_dragged)
        self._viewer.layers.append(self._layer)
        self._viewer.layers.selection.active = self._layer

    def stop(self) -> None:
        """Wait no longer."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_dragged(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Draw the line as the mouse goes."""
        places = [layer.world_to_data(event.position)]
        yield
        while event.type == "mouse_move":
            places.append(layer.world_to_data(event.position))
            layer.data = [(np.array(places), "path")]
            layer.edge_color, layer.edge_width = COLOR, self._width()
            yield
        line = np.array(places)
        self._defer(lambda: self._finish(layer, line))

    def _finish(self, layer: Shapes, line: npt.NDArray[np.float64]) -> None:
        if layer is self._layer:
            self.stop()
            self._on_line(line)

    def _width(self) -> float:
        """Return two pixels of the screen, in those of the image."""
        zoom = getattr(self._viewer, "scene", self._viewer).camera.zoom
        return max(0.2, 2 / float(zoom * abs(self._image.scale[-1])))
