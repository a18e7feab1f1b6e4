"""What users paint into labels that are nobody's result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.layers.view import ImageView


class Strokes:
    """Tells where users may have painted into labels, or taken strokes back; rather once more than once too little.

    Parameters
    ----------
    viewer : napari.Viewer
    view : ImageView
        Of their image.
    layer : napari.layers.Labels
    on_painted : callable
        Takes the plane, None where it may be any.
    on_removed : callable
        Called when the layer is.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        view: ImageView,
        layer: Labels,
        on_painted: Callable[[PlaneIndex | None], None],
        on_removed: Callable[[], None],
    ) -> None:
        self._viewer, self._view, self._layer = viewer, view, layer
        self._on_painted, self._on_removed = on_painted, on_removed
        self._seen = view.plane
        for event, slot in self._connections():
            event.connect(slot)

    def close(self) -> None:
        """Listen no more."""
        for event, slot in self._connections():
            event.disconnect(slot)

    def _connections(self) -> list[tuple[Any, Callable[..., None]]]:
        events = self._layer.events
        return [
            (events.paint, self._on_stroke),
            (events.labels_update, self._on_stroke),
            (events.set_data, self._on_refreshed),
            (events.data, self._on_data),
            (self._viewer.layers.events.removed, self._on_layers_removed),
        ]

    def _on_stroke(self) -> None:
        """What is painted is painted on the plane that is shown, or around it."""
        if self._layer.n_edit_dimensions > 2 or self._view.obstacle:
            self._on_data()
        else:
            self._on_painted(self._view.as_label_plane(self._view.plane))

    def _on_refreshed(self) -> None:
        """Napari's own undo and redo say nothing but this; a slider that moves says it too."""
        is_another, self._seen = self._view.plane != self._seen, self._view.plane
        if not is_another and not self._view.obstacle:
            self._on_stroke()

    def _on_data(self) -> None:
        self._on_painted(None)

    def _on_layers_removed(self, event: Any) -> None:
        if event.value == self._layer:
            self._on_removed()
