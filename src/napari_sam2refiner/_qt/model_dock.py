"""What every dock with a model has: the choice of the model, a worker, and a clean end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_sam2refiner._qt.collecting import IdleCollection
from napari_sam2refiner._qt.parts import FOCUS_STYLE
from napari_sam2refiner._qt.preferences import PreferenceStore
from napari_sam2refiner._qt.turns import Turns
from napari_sam2refiner._qt.worker import Done, Worker, warm_up
from napari_sam2refiner.viewer.autosave import Autosave, root

if TYPE_CHECKING:
    import napari

    from napari_sam2refiner._qt.panels import SourcePanel
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.segmenter import Job
    from napari_sam2refiner.viewer.state import ModelChoice, ModelState


class ModelController(Protocol):
    """What a dock needs of its controller."""

    is_closed: bool

    def choose_model(self, name: str | None) -> None:
        """Load a model."""

    def choose_file(self, path: str) -> None:
        """Load a model from the user's own file."""

    def unload_model(self) -> None:
        """Give the memory back that the model takes up."""

    def reload_model(self) -> None:
        """Load the model again that was taken out of memory."""

    def set_borrowing(self, borrowing: bool) -> None:
        """Choose whether `micro` refines the masks of a model without a refiner."""


class ModelDock(QWidget):
    """A dock with a model; the subclass builds state, controller and views, then calls `_start`.

    Parameters
    ----------
    viewer : napari.Viewer
    submit : callable, optional
        What runs jobs; a worker thread when left out.
    """

    controller: ModelController
    source: SourcePanel
    state: ModelState
    _release: Callable[[], None]  # lets go of everything that is not a widget; may be called again
    _deferred = Signal(object)

    def __init__(self, viewer: napari.Viewer, submit: Submit | None) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker = None if submit is not None else Worker(self)
        self._submit = submit if submit is not None else self._submit_to_worker
        self._had_parent = False
        self._turns = Turns(self)
        self._garbage = IdleCollection(self)
        viewer.layers.events.removed.connect(self._garbage.note_removed)
        self._is_warm = warm_up(self._worker, lambda: self._defer(self._begin))
        self._shown_models: tuple[tuple[ModelChoice, ...], str | None] = ((), None)

    def reset_choices(self, event: Any = None) -> None:  # noqa: ARG002
        """List the viewer's layers anew; napari calls this when layers come, go or change names."""
        if not self.controller.is_closed:
            self.source.reset_choices()

    def shut_down(self) -> None:
        """Let go of the viewer and let the worker end; may be called again."""
        if not self.controller.is_closed:  # else the window may be gone, and every widget with it
            self._viewer.layers.events.removed.disconnect(self._garbage.note_removed)
            self._garbage.close()
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

    def _start(self) -> None:
        """Follow the state; begin once the dock is where its combos can see the viewer."""
        self._deferred.connect(self._on_deferred, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        self.state.events.connect(self._on_state_changed)
        self.source.model_chosen.connect(self.controller.choose_model)
        self.source.file_asked.connect(self._on_file_asked)
        self.source.borrowing_chosen.connect(self.controller.set_borrowing)
        self.source.unload_asked.connect(self.controller.unload_model)
        self.source.load_asked.connect(self.controller.reload_model)
        self.destroyed.connect(self._release)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self._on_about_to_quit)
        self.setStyleSheet(FOCUS_STYLE)
        self._show()
        if self._is_warm:
            self._defer(self._begin)

    def _autosave_maker(self) -> Callable[[], Autosave] | None:
        """Return what makes an autosave that says in the window what goes wrong; None where users want none."""
        deferred = self._deferred
        if not PreferenceStore().read().autosave:
            return None
        return lambda: Autosave(root(), lambda error: deferred.emit(partial(show_error, error)))

    def _begin(self) -> None:
        """Choose what to begin with."""
        raise NotImplementedError

    def _show(self) -> None:
        """Show the state."""
        self.source.set_note(self.state.model_note)
        self.source.set_memory(can_unload=self.state.can_unload, can_load=self.state.unloaded)
        self.source.set_borrowing(self.state.borrowing if self.state.can_borrow else None)
        if self._shown_models != (self.state.models, self.state.model):
            self._show_models()

    def _show_models(self) -> None:
        self._shown_models = (self.state.models, self.state.model)
        self.source.set_models(*self._shown_models)

    def _submit_to_worker(self, job: Job, done: Done) -> None:
        assert self._worker is not None
        self._worker.submit(job, done)

    def _later(self, call: Callable[[], None]) -> None:
        """Call once the window has drawn, after what was to be called later before."""
        self._turns.add(partial(self._on_deferred, call))

    def _defer(self, call: Callable[[], None]) -> None:
        """Call after the event at hand."""
        self._deferred.emit(call)

    def _on_deferred(self, call: Callable[[], None]) -> None:
        if not self.controller.is_closed:
            call()

    def _on_state_changed(self) -> None:
        self._garbage.note_work()
        self._show()

    def _on_file_asked(self) -> None:
        """Let the user choose a weight file."""
        path, _ = QFileDialog.getOpenFileName(self, "Weight file", "", "Weights (*.pt *.pth *.safetensors)")
        if path:
            self.controller.choose_file(path)
        self._show_models()

    def _on_about_to_quit(self) -> None:
        """Shut down, and wait for the thread: it must not compute while the interpreter ends."""
        self.shut_down()
        if self._worker is not None:
            self._worker.join()
