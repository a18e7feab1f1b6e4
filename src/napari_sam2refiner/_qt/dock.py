"""The dock for clicks: builds the views, and wires them to the controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_sam2refiner._qt.channel_panel import ChannelPanel
from napari_sam2refiner._qt.everything_panel import EverythingPanel
from napari_sam2refiner._qt.export_panel import ExportPanel
from napari_sam2refiner._qt.guess_panel import GuessPanel
from napari_sam2refiner._qt.manners import Manners
from napari_sam2refiner._qt.model_dock import ModelDock
from napari_sam2refiner._qt.models import list_models, load_model, make_session
from napari_sam2refiner._qt.object_panel import ObjectPanel
from napari_sam2refiner._qt.panels import EarlierPanel, PromptPanel, SourcePanel, StatusPanel
from napari_sam2refiner._qt.parts import Scrolled
from napari_sam2refiner._qt.preferences import PreferenceStore
from napari_sam2refiner._qt.prompting_panel import PromptingPanel
from napari_sam2refiner._qt.session_panel import SessionPanel
from napari_sam2refiner._qt.settling import Settling
from napari_sam2refiner._qt.tidy_panel import TidyPanel
from napari_sam2refiner.viewer.controller import Controller
from napari_sam2refiner.viewer.exporter import Exporter
from napari_sam2refiner.viewer.layers.exchange import add_objects, image_at_hand, labels_at_hand
from napari_sam2refiner.viewer.layers.image import ImageLayers
from napari_sam2refiner.viewer.layers.pair import role_of
from napari_sam2refiner.viewer.layers.session_image import find_image, look_of
from napari_sam2refiner.viewer.segmenter import Segmenter, Tell
from napari_sam2refiner.viewer.state import DockState, resolve

if TYPE_CHECKING:
    import napari

    from napari_sam2refiner._qt.worker import Worker
    from napari_sam2refiner.labels.exchange.objects import LabelledObjects
    from napari_sam2refiner.sessions.base import PlaneSession
    from napari_sam2refiner.viewer.exporter import ImageAtHand
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.session_file import Look
    from napari_sam2refiner.viewer.state import ModelChoice


class SegmentDock(ModelDock):
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

    controller: Controller
    state: DockState

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
        store = PreferenceStore()
        self._preferences = store.read()
        self.manners = Manners(napari_viewer, store)
        self.state = DockState()
        self._settling, make_autosave = Settling(self), self._autosave_maker()
        self.controller = Controller(
            self.state,
            Segmenter(load, session),
            self._submit,
            lambda image: ImageLayers(napari_viewer, image, self._defer, self._later, self._settling.add),
            show_error,
            None if make_autosave is None else make_autosave(),
        )
        self.source, self.prompts, self.status = SourcePanel(), PromptPanel(), StatusPanel()
        self.objects, self.earlier, self.tidy = ObjectPanel(), EarlierPanel(), TidyPanel()
        self.exchange, self.prompting, self.guesses = ExportPanel(), PromptingPanel(), GuessPanel()
        self.everything, self.session, self.channels = EverythingPanel(), SessionPanel(), ChannelPanel()
        self._exporter = Exporter(
            self._submit,
            self._image_at_hand,
            self._chosen_objects,
            self._add_objects,
            self.exchange.set_note,
            show_error,
        )
        self._sessions = self.controller.make_session_files(
            self._look_at_hand, partial(find_image, napari_viewer), self._choose_image
        )
        above = (self.source, self.earlier, self.prompts, self.guesses, self.status)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 6, 6, 6)
        manners = self.manners
        below = (
            manners.no_image,
            manners.first_steps,
            self.prompting,
            self.everything,
            self.channels,
            self.tidy,
            self.objects,
            self.session,
            self.exchange,
            manners.help,
        )
        for panel in (*above, *below):
            column.addWidget(panel)
        column.addStretch(1)
        frame = QVBoxLayout(self)
        frame.setContentsMargins(0, 0, 0, 0)
        frame.addWidget(Scrolled(content))
        self._connect()
        self.controller.set_models(tuple(list_models() if models is None else models))
        end_manners = manners.apply_to(content, self.controller, self.tidy, self)
        self._release = partial(_release, end_manners, self.controller, self._worker)
        self._start()

    def _connect(self) -> None:
        controller = self.controller
        self.source.image_chosen.connect(self._on_image_chosen)
        prompts = self.prompts
        prompts.polarity_chosen.connect(self._on_polarity_chosen)
        prompts.box_chosen.connect(controller.start_boxing)
        prompts.scribble_chosen.connect(controller.prompting.start_scribbling)
        self.prompting.apart_chosen.connect(controller.prompting.set_apart)
        self.prompting.label_asked.connect(controller.prompting.take_label)
        self.prompting.prompts_asked.connect(self._on_prompts_asked)
        prompts.guess_asked.connect(controller.next_candidate)
        prompts.keep_asked.connect(controller.commit)
        prompts.undo_asked.connect(controller.undo)
        prompts.redo_asked.connect(controller.redo)
        prompts.clear_asked.connect(controller.clear)
        self.tidy.chosen.connect(controller.set_tidying)
        self.tidy.overlap_chosen.connect(controller.set_overlap)
        self.channels.channel_chosen.connect(self._on_channel_chosen)
        self.channels.contrast_chosen.connect(controller.channels.set_as_shown)
        everything = controller.everything
        everything.state.events.connect(self._on_state_changed)
        self.everything.score_chosen.connect(everything.set_score)
        self.everything.area_chosen.connect(everything.set_area)
        self.everything.find_asked.connect(everything.find)
        self.everything.cancel_asked.connect(everything.cancel)
        self.earlier.wanted.connect(controller.bring_back)
        self.earlier.unwanted.connect(controller.discard_found)
        self.objects.object_chosen.connect(controller.objects.look_at)
        self.objects.reopen_asked.connect(controller.objects.reopen)
        self.objects.objects_selected.connect(controller.objects.choose)
        self.objects.delete_asked.connect(controller.objects.delete)
        self.session.save_asked.connect(self._sessions.save)
        self.session.open_asked.connect(self._sessions.open)
        self.exchange.export_asked.connect(self._exporter.export)
        self.exchange.import_asked.connect(self._exporter.load)
        self.objects.merge_asked.connect(controller.objects.merge)
        self.objects.split_asked.connect(controller.objects.start_splitting)
        self.objects.named.connect(controller.objects.call)
        self.objects.classified.connect(controller.objects.classify)
        self.guesses.chosen.connect(controller.choose_candidate)

    def _begin(self) -> None:
        """Begin with the active layer where that is an image, once the dock is where its combo can see the viewer.

        The model comes after: while it is imported, making layers would wait for the interpreter.
        """
        active = self._viewer.layers.selection.active
        self.reset_choices()
        if isinstance(active, Image):
            self.source.set_image(active)
        self.state.has_begun = True
        self.controller.choose_image(self.source.image)
        self._later(lambda: self.controller.choose_model(self._preferences.model_among(self.state.models)))

    def _on_image_chosen(self) -> None:
        """Take the image, but not while napari is adding it: what is added last becomes active."""
        self._defer(lambda: self.controller.choose_image(self.source.image))

    def reset_choices(self, event: Any = None) -> None:
        """List the viewer's layers anew."""
        super().reset_choices(event)
        if not self.controller.is_closed:
            others = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
            others = [layer for layer in others if role_of(layer) not in ("result", "preview")]
            self.prompting.set_labels(others)
            self.exchange.set_labels(others)

    def _on_prompts_asked(self) -> None:
        self.controller.prompting.take_prompts([*self._viewer.layers.selection])

    def _on_polarity_chosen(self, negative: bool) -> None:
        self.controller.choose_polarity(negative)

    def _on_channel_chosen(self, key: str, wanted: bool) -> None:
        """Take the choice, but not while the list is telling of it: it is shown there anew."""
        self._defer(lambda: self.controller.channels.choose(key, wanted))

    def _image_at_hand(self) -> ImageAtHand | None:
        in_hand = self.controller.in_hand
        return None if in_hand is None else image_at_hand(*in_hand)

    def _chosen_objects(self) -> ImageAtHand | None:
        labels, in_hand = self.exchange.objects.layer, self.controller.in_hand
        if labels is None:
            return self._image_at_hand()
        return labels_at_hand(labels, None if in_hand is None else in_hand[0])

    def _look_at_hand(self) -> Look:
        in_hand = self.controller.in_hand
        return {} if in_hand is None else look_of(in_hand[0])

    def _choose_image(self, image: Image) -> None:
        self.reset_choices()
        self.source.set_image(image)
        self.controller.choose_image(image)

    def _add_objects(self, objects: LabelledObjects, name: str) -> str:
        in_hand = self.controller.in_hand
        return add_objects(self._viewer, None if in_hand is None else in_hand[0], objects, name)

    def _show(self) -> None:
        super()._show()
        snapshot = resolve(self.state)
        self.prompts.set_snapshot(snapshot)
        self.tidy.set_overlap(self.state.overlap)
        self.status.set_snapshot(snapshot)
        self.prompting.set_state(apart=self.state.apart, can_click=snapshot.can_click)
        can_find = snapshot.can_click and not self.state.loading
        self.everything.set_state(self.controller.everything.state, can_find=can_find)
        self.channels.set_offer(self.state.channels)
        self.channels.setVisible(not snapshot.needs_image)
        self.manners.show_snapshot(snapshot)
        self.earlier.set_offer(snapshot.earlier)
        self.guesses.set_guesses(snapshot.guesses, snapshot.guess)
        self.objects.set_objects(
            self.state.objects,
            snapshot.listed,
            can_change=snapshot.can_change,
            kinds=snapshot.kinds,
            cutting=self.state.cutting,
        )

    def choose_next_object(self) -> None:
        """Choose the next object of the table."""
        self.objects.table.step(1)

    def choose_last_object(self) -> None:
        """Choose the object before this one in the table."""
        self.objects.table.step(-1)


def _release(end_manners: Callable[[], None], controller: Controller, worker: Worker | None) -> None:
    """Let go of everything that is not a widget; may be called again, also when the widgets are gone."""
    controller.state.events.disconnect()
    controller.everything.state.events.disconnect()
    end_manners()
    controller.close()
    if worker is not None:
        worker.close()
