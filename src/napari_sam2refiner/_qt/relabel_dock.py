"""The dock that refines labels: builds the views, and wires them to the relabeller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QVBoxLayout

from napari_sam2refiner._qt.model_dock import ModelDock
from napari_sam2refiner._qt.models import list_models, load_model, make_session
from napari_sam2refiner._qt.relabel_panels import ChangesTable, LabelsSourcePanel, RunPanel
from napari_sam2refiner.viewer.labels_keeping import LabelsKeeping
from napari_sam2refiner.viewer.layers.pair import choose_pair
from napari_sam2refiner.viewer.layers.refined import RefinedLabels
from napari_sam2refiner.viewer.relabeller import Relabeller, RelabelState
from napari_sam2refiner.viewer.segmenter import Segmenter, Tell
from napari_sam2refiner.viewer.state import default_model

if TYPE_CHECKING:
    import napari

    from napari_sam2refiner._qt.worker import Worker
    from napari_sam2refiner.sessions.base import PlaneSession
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.state import ModelChoice


TOOLTIP = "The labels to refine; they stay as they are"


class RefineLabelsDock(ModelDock):
    """Gives every object of a labels layer a better outline, in a new layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        By this name napari hands it in.
    models : sequence of ModelChoice, optional
        What can be chosen; the registry's when left out.
    load : callable, optional
        Name of a model, and what to tell the downloaded share -> the model.
    session : callable, optional
        Model -> a `PlaneSession` without an image.
    submit : callable, optional
        What runs jobs; a worker thread when left out.
    """

    controller: Relabeller
    source: LabelsSourcePanel
    state: RelabelState

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        *,
        models: Sequence[ModelChoice] | None = None,
        load: Callable[[str, Tell], Any] = load_model,
        session: Callable[[Any], PlaneSession] = make_session,
        submit: Submit | None = None,
    ) -> None:
        super().__init__(napari_viewer, submit)
        self.state = RelabelState()
        keeping = LabelsKeeping(self._autosave_maker())
        self.controller = Relabeller(
            self.state,
            Segmenter(load, session),
            self._submit,
            partial(RefinedLabels, napari_viewer, keeping=keeping),
            show_error,
        )
        removed = napari_viewer.layers.events.removed
        removed.connect(self.controller.check_layers)
        self._release = partial(_release, removed, self.controller, keeping, self._worker)
        self.source, self.run, self.table = LabelsSourcePanel(TOOLTIP), RunPanel(), ChangesTable()
        column = QVBoxLayout(self)
        for panel in (self.source, self.run, self.table):
            column.addWidget(panel)
        column.setStretch(2, 1)
        self.run.most_change_chosen.connect(self.controller.set_most_change)
        self.run.refine_asked.connect(self._on_refine_asked)
        self.run.cancel_asked.connect(self.controller.cancel)
        self.table.object_chosen.connect(self.controller.show_object)
        self.controller.set_models(tuple(list_models() if models is None else models))
        self._start()

    def _begin(self) -> None:
        """Begin with the active layer and what fits it."""
        image, labels = choose_pair(self._viewer)
        self.reset_choices()
        if image is not None:
            self.source.set_image(image)
        if labels is not None:
            self.source.set_labels(labels)
        self.controller.choose_model(default_model(self.state.models))

    def _show(self) -> None:
        super()._show()
        self.source.setEnabled(not self.state.running)
        self.run.set_state(self.state)
        self.table.set_changes(self.state.changes)

    def _on_refine_asked(self) -> None:
        self.controller.refine(self.source.image, self.source.labels)


def _release(removed: Any, controller: Relabeller, keeping: LabelsKeeping, worker: Worker | None) -> None:
    """Let go of everything that is not a widget; may be called again, also when the widgets are gone."""
    controller.state.events.disconnect()
    removed.disconnect(controller.check_layers)
    controller.close()
    keeping.close()
    if worker is not None:
        worker.close()
