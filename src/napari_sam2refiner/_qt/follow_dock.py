"""The dock that follows objects through a stack: makes the model, the views and the worker, and joins them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils import progress
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QVBoxLayout

from napari_sam2refiner._qt.follow_panels import FollowPanel, LookPanel, WayPanel
from napari_sam2refiner._qt.key_binding import BoundKeys, chosen_keys
from napari_sam2refiner._qt.model_dock import ModelDock
from napari_sam2refiner._qt.models import list_models, load_model, make_session, make_stack
from napari_sam2refiner._qt.parts import show_keys
from napari_sam2refiner._qt.preferences import PreferenceStore
from napari_sam2refiner._qt.relabel_panels import LabelsSourcePanel
from napari_sam2refiner.viewer.follower import Follower, FollowState
from napari_sam2refiner.viewer.keys import FOLLOW_KEYS
from napari_sam2refiner.viewer.labels_keeping import LabelsKeeping
from napari_sam2refiner.viewer.layers.followed import FollowedLabels
from napari_sam2refiner.viewer.layers.pair import choose_pair
from napari_sam2refiner.viewer.segmenter import Segmenter, Tell
from napari_sam2refiner.viewer.state import default_model

if TYPE_CHECKING:
    import napari

    from napari_sam2refiner._qt.worker import Worker
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.segmenter import FollowingSession
    from napari_sam2refiner.viewer.state import ModelChoice

TOOLTIP = "The labels: they show the objects on one frame, and take them on the others"


class FollowDock(ModelDock):
    """Follows the objects that are labelled on one frame through a time-lapse or a z-stack.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        By this name napari hands it in.
    models : sequence of ModelChoice, optional
        What can be chosen; the registry's when left out.
    load : callable, optional
        Name of a model, and what to tell the downloaded share -> the model.
    stack : callable, optional
        Model and frames -> a `FollowingSession`.
    submit : callable, optional
        What runs jobs; a worker thread when left out.
    """

    controller: Follower
    source: LabelsSourcePanel
    state: FollowState

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        *,
        models: Sequence[ModelChoice] | None = None,
        load: Callable[[str, Tell], Any] = load_model,
        stack: Callable[[Any, Any], FollowingSession] = make_stack,
        submit: Submit | None = None,
    ) -> None:
        super().__init__(napari_viewer, submit)
        self.state = FollowState()
        segmenter = Segmenter(load, make_session, make_stack=stack)
        keeping = LabelsKeeping(self._autosave_maker())
        self.controller = Follower(
            self.state, segmenter, self._submit, partial(FollowedLabels, napari_viewer, keeping=keeping), show_error
        )
        self._is_telling = False
        self._activities: list[Any] = []  # napari's own progress bar, while there is one
        self._keys = BoundKeys(napari_viewer, FOLLOW_KEYS, (self,))
        self._release = partial(
            _release,
            napari_viewer,
            self._keys,
            self._on_dims_changed,
            self._activities,
            self.controller,
            keeping,
            self._worker,
        )
        self.source, self.way = LabelsSourcePanel(TOOLTIP), WayPanel()
        self.run, self.look = FollowPanel(), LookPanel()
        column = QVBoxLayout(self)
        for panel in (self.source, self.way, self.run, self.look):
            column.addWidget(panel)
        column.addStretch(1)
        self._connect()
        self.controller.set_models(tuple(list_models() if models is None else models))
        self._start()

    def _connect(self) -> None:
        controller, viewer = self.controller, self._viewer
        viewer.layers.events.removed.connect(controller.check_layers)
        viewer.dims.events.connect(self._on_dims_changed)
        self.source.image_chosen.connect(self._on_layers_chosen)
        self.source.labels_chosen.connect(self._on_layers_chosen)
        self.way.axis_chosen.connect(controller.choose_axis)
        self.way.frames_chosen.connect(controller.choose_frames)
        self.way.direction_chosen.connect(controller.choose_direction)
        self.way.early_stop_chosen.connect(controller.choose_early_stop)
        self.run.follow_asked.connect(self._on_follow_asked)
        self.run.cancel_asked.connect(controller.cancel)
        self.run.undo_asked.connect(controller.undo)
        self.run.redo_asked.connect(controller.redo)
        self.look.frame_chosen.connect(controller.show_frame)
        self.look.weak_asked.connect(self._on_weak_asked)
        chosen, _ = chosen_keys(PreferenceStore().read().keyboard)
        show_keys(self, self._keys.bind(chosen))

    def _begin(self) -> None:
        """Begin with the active layer and what fits it."""
        image, labels = choose_pair(self._viewer)
        self.reset_choices()
        if image is not None:
            self.source.set_image(image)
        if labels is not None:
            self.source.set_labels(labels)
        self._look_at()
        self.controller.choose_model(default_model(self.state.models))

    def _show(self) -> None:
        super()._show()
        self.source.setEnabled(not self.state.running)
        for panel in (self.way, self.run, self.look):
            panel.set_state(self.state)
        self._show_activity()

    def _show_activity(self) -> None:
        """Show how far it is, and how long it will take, where napari shows such things.

        napari's bar lets the window work whenever it is told something, so that this may be called again meanwhile.
        """
        if self._is_telling:
            return
        self._is_telling = True
        try:
            if self.state.running and not self._activities:
                self._activities.append(progress(total=100, desc="Following objects"))
            for activity in self._activities:
                more = round(100 * (self.state.share or 0)) - activity.n
                if more > 0:
                    activity.update(more)
            if not self.state.running:
                _end(self._activities)
        finally:
            self._is_telling = False

    def _frame(self) -> int | None:
        """Return the frame that is shown."""
        axis = self.state.axis
        if axis is None:
            return None
        pair = self._pair()
        return None if pair is None else pair.plane.steps[axis.axis]

    def _pair(self) -> FollowedLabels | None:
        image, labels = self.source.image, self.source.labels
        return None if image is None or labels is None else FollowedLabels(self._viewer, image, labels)

    def _look_at(self) -> None:
        self.controller.look_at(self.source.image, self.source.labels)
        self.look.strip.set_here(self._frame())

    def _on_layers_chosen(self) -> None:
        """Look at the layers, but not while napari is adding them."""
        self._defer(self._look_at)

    def _on_dims_changed(self) -> None:
        self._defer(self._look_at)

    def show_next_weak(self) -> None:
        """Show the next frame that is worth a look."""
        self._on_weak_asked(1)

    def show_last_weak(self) -> None:
        """Show the frame before this one that is worth a look."""
        self._on_weak_asked(-1)

    def _on_weak_asked(self, step: int) -> None:
        frame = self._frame()
        if frame is not None:
            self.controller.show_weak(frame, step)

    def _on_follow_asked(self) -> None:
        self.way.finish_typing()
        self.controller.follow(self.source.image, self.source.labels)


def _end(activities: list[Any]) -> None:
    """Take napari's progress bar away."""
    while activities:
        activities.pop().close()


def _release(
    viewer: Any,
    keys: BoundKeys,
    on_dims_changed: Callable[[], None],
    activities: list[Any],
    controller: Follower,
    keeping: LabelsKeeping,
    worker: Worker | None,
) -> None:
    """Let go of everything that is not a widget; may be called again, also when the widgets are gone."""
    controller.state.events.disconnect()
    viewer.layers.events.removed.disconnect(controller.check_layers)
    viewer.dims.events.disconnect(on_dims_changed)
    _end(activities)
    keys.close()
    controller.close()
    keeping.close()
    if worker is not None:
        worker.close()
