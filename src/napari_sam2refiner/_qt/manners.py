"""How the dock treats its user: what is set once and for all, keys, first steps, and a way to an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_sam2refiner._qt.first_use import FirstSteps, NoImagePanel
from napari_sam2refiner._qt.key_binding import BoundKeys, chosen_keys
from napari_sam2refiner._qt.key_sheet import KeySheet
from napari_sam2refiner._qt.parts import make_button, show_keys
from napari_sam2refiner._qt.preferences import PLUGIN, PreferenceStore
from napari_sam2refiner.errors import reason_of
from napari_sam2refiner.viewer.keys import SEGMENT_KEYS

if TYPE_CHECKING:
    import napari

    from napari_sam2refiner._qt.tidy_panel import TidyPanel
    from napari_sam2refiner.viewer.controller import Controller
    from napari_sam2refiner.viewer.state import Snapshot

SAMPLE = "cell"
TYPED_AFTER = 1500  # milliseconds without another letter in Preferences


class Manners(QObject):
    """Owns the widgets that say how to use the dock, and applies what users have set, when they set it.

    Parameters
    ----------
    viewer : napari.Viewer
    store : PreferenceStore

    Attributes
    ----------
    no_image, first_steps, help : QWidget
        To be put into the dock.
    """

    def __init__(self, viewer: napari.Viewer, store: PreferenceStore) -> None:
        super().__init__()
        self._viewer, self._store = viewer, store
        self._set = store.read()
        self._keys: BoundKeys | None = None
        self.no_image, self.first_steps = NoImagePanel(), FirstSteps()
        self.help = make_button("Keys", key="help")
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPED_AFTER)
        self._typing.timeout.connect(self._bind)
        self.no_image.open_asked.connect(self._on_open_asked)
        self.no_image.sample_asked.connect(self._on_sample_asked)
        self.first_steps.dismissed.connect(self._on_dismissed)
        self.help.clicked.connect(self.show_keys)

    def apply_to(self, content: QWidget, controller: Controller, tidy: TidyPanel, dock: QObject) -> Callable[[], None]:
        """Give the dock what is set, and its keys to the viewer; return what ends that, also without any widget."""
        self._content, self._controller, self._tidy = content, controller, tidy
        self._keys = keys = BoundKeys(self._viewer, SEGMENT_KEYS, (controller, self, dock))
        store = self._store
        controller.set_overlap(self._set.overlap_rule)
        controller.set_tidying(self._set.tidying)
        controller.state.first_steps = self._set.first_steps
        tidy.set_tidying(self._set.tidying)
        self._bind()
        store.watch(self._on_set)

        def end() -> None:
            store.close()
            keys.close()

        return end

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is left to be said; what was kept once needs no first steps any more."""
        self.no_image.setVisible(snapshot.needs_image)
        self.first_steps.setVisible(snapshot.needs_steps)
        if snapshot.knows_steps:
            self._on_dismissed()

    def show_keys(self) -> None:
        """Show the sheet of keys."""
        sheet = KeySheet(self._controller.state.keys, self._content.window() or self._content)
        sheet.show()

    def _bind(self) -> None:
        """Bind the keys as they are set, and say what cannot be."""
        assert self._keys is not None
        chosen, problems = chosen_keys(self._set.keyboard)
        bound = self._keys.bind(chosen)
        self._controller.state.keys = bound
        show_keys(self._content, bound)
        self.first_steps.set_keys(bound)
        for problem in problems:
            show_warning(problem)

    def _on_set(self) -> None:
        """Something was set: what is other than before is taken over, the rest stays as it was chosen in the dock."""
        before, self._set = self._set, self._store.read()
        if self._set.overlap != before.overlap:
            self._controller.set_overlap(self._set.overlap_rule)
        if self._set.tidying != before.tidying:
            self._tidy.set_tidying(self._set.tidying)
            self._controller.set_tidying(self._set.tidying)
        if self._set.keyboard != before.keyboard:
            self._typing.start()
        self._controller.state.first_steps = self._set.first_steps

    def _on_dismissed(self) -> None:
        self._controller.state.first_steps = False
        self._store.skip_first_steps()

    def _on_open_asked(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._content, "Open image")
        self._try(lambda: self._viewer.open(paths) if paths else None)

    def _on_sample_asked(self) -> None:
        self._try(lambda: self._viewer.open_sample(PLUGIN, SAMPLE))

    def _try(self, opening: Callable[[], Any]) -> None:
        try:
            opening()
        except Exception as error:  # whatever a reader raises
            show_error(f"That cannot be opened: {reason_of(error)}.")
