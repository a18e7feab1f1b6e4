"""The dock: builds the views, and wires them to the controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QVBoxLayout, QWidget

from napari_sam2refiner._qt.models import list_models, load_model, make_session
from napari_sam2refiner._qt.panels import PromptPanel, SourcePanel, StatusPanel
from napari_sam2refiner._qt.worker import Worker
from napari_sam2refiner.viewer.controller import Controller, Submit
from napari_sam2refiner.viewer.layers.image import ImageLayers
from napari_sam2refiner.viewer.segmenter import Segmenter, Tell
from napari_sam2refiner.viewer.state import DockState, ModelChoice, default_model, resolve

if TYPE_CHECKING:
    import napari

    from napari_sam2refiner.sessions.base import PlaneSession

# Letters that napari gives to no layer and no viewer.
KEYS = {
    "N": "toggle_negative",
    "G": "next_candidate",
    "K": "commit",
    "U": "undo",
    "Shift-U": "redo",
    "W": "clear",
    "Q": "start_boxing",
}


class SegmentDock(QWidget):
    """Segments objects of an image by clicks, boxes and outlines.

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

    _deferred = Signal(object)

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        *,
        models: Sequence[ModelChoice] | None = None,
        load: Callable[[str, Tell], Any] = load_model,
        session: Callable[[Any], PlaneSession] = make_session,
        submit: Submit | None = None,
    ) -> None:
        super().__init__()
        self._viewer = viewer = napari_viewer
        self._worker = None if submit is not None else Worker(self)
        self._had_parent = False
        self._bound_keys: list[str] = []
        self._shown_models: tuple[tuple[ModelChoice, ...], str | None] = ((), None)
        self.state = DockState()
        self.controller = Controller(
            self.state,
            Segmenter(load, session),
            submit if submit is not None else self._submit,
            lambda image: ImageLayers(viewer, image, self._defer),
            show_error,
        )
        self._release = partial(_release, viewer, self._bound_keys, self.controller, self._worker)
        self.source, self.prompts, self.status = SourcePanel(), PromptPanel(), StatusPanel()
        column = QVBoxLayout(self)
        for panel in (self.source, self.prompts, self.status):
            column.addWidget(panel)
        column.addStretch(1)
        self._connect()
        self.controller.set_models(tuple(list_models() if models is None else models))
        self._bind_keys()
        self._show()
        self._defer(self._begin)

    def reset_choices(self, event: Any = None) -> None:  # noqa: ARG002
        """List the viewer's images anew; napari calls this when layers come, go or change names."""
        if not self.controller.is_closed:
            self.source.reset_choices()

    def shut_down(self) -> None:
        """Unbind the keys, take the tool layers away and let the worker end; may be called again."""
        if not self.controller.is_closed:  # else the window may be gone, and every widget with it
            self.source.close_combos()
            self._release()

    def changeEvent(self, event: QEvent | None) -> None:
        """Shut down when napari takes the widget out of its dock."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._had_parent = True
            elif self._had_parent:
                self.shut_down()
                self.deleteLater()

    def _connect(self) -> None:
        self._deferred.connect(self._on_deferred, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        self.state.events.connect(self._on_state_changed)
        controller = self.controller
        self.source.image_chosen.connect(self._on_image_chosen)
        self.source.model_chosen.connect(controller.choose_model)
        self.source.file_asked.connect(self._on_file_asked)
        prompts = self.prompts
        prompts.polarity_chosen.connect(self._on_polarity_chosen)
        prompts.box_chosen.connect(controller.start_boxing)
        prompts.guess_asked.connect(controller.next_candidate)
        prompts.keep_asked.connect(controller.commit)
        prompts.undo_asked.connect(controller.undo)
        prompts.redo_asked.connect(controller.redo)
        prompts.clear_asked.connect(controller.clear)
        prompts.overlap_chosen.connect(controller.set_overlap)
        self.destroyed.connect(self._release)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self._on_about_to_quit)

    def _on_about_to_quit(self) -> None:
        """Shut down, and wait for the thread: it must not compute while the interpreter ends."""
        self.shut_down()
        if self._worker is not None:
            self._worker.join()

    def _submit(self, job: Any, done: Any) -> None:
        assert self._worker is not None
        self._worker.submit(job, done)

    def _defer(self, call: Callable[[], None]) -> None:
        """Call after the event at hand."""
        self._deferred.emit(call)

    def _on_deferred(self, call: Callable[[], None]) -> None:
        if not self.controller.is_closed:
            call()

    def _begin(self) -> None:
        """Begin with the active layer where that is an image, once the dock is where its combo can see the viewer.

        The model comes after: while it is imported, making layers would wait for the interpreter.
        """
        active = self._viewer.layers.selection.active
        self.reset_choices()
        if isinstance(active, Image):
            self.source.set_image(active)
        self.controller.choose_image(self.source.image)
        self.controller.choose_model(default_model(self.state.models))

    def _on_image_chosen(self) -> None:
        """Take the image, but not while napari is adding it: what is added last becomes active."""
        self._defer(lambda: self.controller.choose_image(self.source.image))

    def _on_polarity_chosen(self, negative: bool) -> None:
        self.controller.set_negative(negative)
        self.controller.start_clicking()

    def _on_file_asked(self) -> None:
        """Let the user choose a weight file."""
        path, _ = QFileDialog.getOpenFileName(self, "Weight file", "", "Weights (*.pt *.pth *.safetensors)")
        if path:
            self.controller.choose_file(path)
        self._show_models()

    def _on_state_changed(self) -> None:
        self._show()

    def _show(self) -> None:
        snapshot = resolve(self.state)
        self.prompts.set_snapshot(snapshot)
        self.prompts.set_overlap(self.state.overlap)
        self.status.set_snapshot(snapshot)
        self.source.set_note(snapshot.model_note)
        if self._shown_models != (self.state.models, self.state.model):
            self._show_models()

    def _show_models(self) -> None:
        self._shown_models = (self.state.models, self.state.model)
        self.source.set_models(*self._shown_models)

    def _bind_keys(self) -> None:
        """Bind the keys to the viewer; one that somebody else has taken stays theirs."""
        for key, action in KEYS.items():
            method = getattr(self.controller, action)
            try:
                self._viewer.bind_key(key, lambda viewer, method=method: method())  # noqa: ARG005
            except ValueError:
                continue
            self._bound_keys.append(key)


def _release(viewer: Any, keys: list[str], controller: Controller, worker: Worker | None) -> None:
    """Let go of everything that is not a widget; may be called again, also when the widgets are gone."""
    controller.state.events.disconnect()
    while keys:
        viewer.bind_key(keys.pop(), None)
    controller.close()
    if worker is not None:
        worker.close()
