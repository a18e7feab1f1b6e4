"""The parts of the dock: they show what they are told, and say what the user did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from napari_sam2refiner._qt.parts import (
    LayerCombo,
    ThinBar,
    breakable,
    let_shrink,
    make_button,
    make_menu_button,
    wrapped,
)

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.state import ModelChoice, Snapshot


class SourcePanel(QWidget):
    """Which image, which model."""

    image_chosen = Signal(object)
    model_chosen = Signal(str)
    file_asked = Signal()
    borrowing_chosen = Signal(bool)
    unload_asked = Signal()
    load_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image = LayerCombo(Image, "The image to segment")
        self._model = QComboBox()
        self._model.setAccessibleName("Model")
        self._model.setToolTip("The network; what is not on disk is downloaded once when chosen")
        let_shrink(self._model)
        menu = QMenu(self)
        self.unload, self.load = QAction("Unload the model", menu), QAction("Load it again", menu)
        menu.addActions([self.unload, self.load])
        self.more = make_menu_button("Give the model's memory back", menu)
        self._borrowing = QCheckBox("Refine with micro")
        self._borrowing.setToolTip("Let micro, which knows microscopy, follow the outline of each mask of this model")
        self._note = wrapped()
        self._form = form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self._image.native)
        models = QHBoxLayout()
        models.addWidget(self._model)
        models.addWidget(self.more)
        form.addRow("Model", models)
        form.addRow(self._borrowing)
        form.addRow(self._note)  # below, as it comes and goes with the tick
        self._image.chosen.connect(self.image_chosen)
        self._model.activated.connect(self._on_model_activated)
        self._borrowing.clicked.connect(self.borrowing_chosen)
        self.unload.triggered.connect(self.unload_asked)
        self.load.triggered.connect(self.load_asked)

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._image.layer

    def set_image(self, image: Image) -> None:
        """Choose an image; one that is not listed is left alone."""
        self._image.set_layer(image)

    def reset_choices(self) -> None:
        """List the viewer's images anew; the chosen one stays chosen."""
        self._image.reset_choices()

    def set_models(self, models: Sequence[ModelChoice], chosen: str | None) -> None:
        """List the models."""
        self._model.clear()
        for model in models:
            self._model.addItem(model.label, model.name)
            if model.note:
                self._model.setItemData(self._model.count() - 1, model.note, Qt.ItemDataRole.ToolTipRole)
        self._model.addItem("From a file ...", None)
        self._model.setCurrentIndex(self._model.findData(chosen) if chosen else -1)

    def set_note(self, note: str) -> None:
        """Say something about the chosen model; nothing takes no room."""
        self._note.setText(breakable(note))
        self._note.setVisible(bool(note))

    def set_borrowing(self, borrowing: bool | None) -> None:
        """Show whether `micro` refines the model's masks; None where that is no question."""
        self._borrowing.setVisible(borrowing is not None)
        self._borrowing.setChecked(bool(borrowing))

    def set_memory(self, *, can_unload: bool, can_load: bool) -> None:
        """Say whether the model can be taken out of memory, or brought back."""
        self.unload.setEnabled(can_unload)
        self.load.setEnabled(can_load)

    def close_combos(self) -> None:
        """Let go of the layers."""
        self._image.close()

    def _on_model_activated(self, index: int) -> None:
        name = self._model.itemData(index)
        if name is None:
            self.file_asked.emit()
        else:
            self.model_chosen.emit(name)


class PromptPanel(QWidget):
    """What the next click means, the guesses, keep, undo, redo, clear."""

    polarity_chosen = Signal(bool)  # whether negative
    box_chosen = Signal()
    scribble_chosen = Signal()
    guess_asked = Signal()
    keep_asked = Signal()
    undo_asked = Signal()
    redo_asked = Signal()
    clear_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.positive = make_button("Adds", "Click what belongs to the object", "switch", names_key=False)
        self.negative = make_button(
            "Removes", "Click what does not belong to it; Alt-click does so once", "switch", names_key=False
        )
        self.box = make_button(
            "Box", "Drag a box around the object; polygons and ellipses in that layer are rough outlines", "box"
        )
        self.scribble = make_button(
            "Scribble", "Draw a line over what belongs to the object, or does not, as Adds or Removes says", "scribble"
        )
        self.guess = make_button("Next guess", key="guess", names_key=False)
        self.keep = make_button("Keep", key="keep", names_key=False)
        self.undo = make_button("Undo", key="undo")
        self.redo = make_button("Redo", key="redo")
        self.clear = make_button("Clear", key="clear")
        self._polarity = QButtonGroup(self)
        for button in (self.positive, self.negative):
            button.setCheckable(True)
            self._polarity.addButton(button)
        self._lay_out()
        self._connect()

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Show what can be done."""
        (self.negative if snapshot.negative else self.positive).setChecked(True)
        for button in (self.positive, self.negative, self.box, self.scribble):
            button.setEnabled(snapshot.can_click)
        self.guess.setEnabled(snapshot.can_cycle)
        self.guess.setText(snapshot.cycle)
        self.keep.setEnabled(snapshot.can_keep)
        self.keep.setText(snapshot.keep)
        self.clear.setEnabled(snapshot.can_clear)
        for button, name, what in ((self.undo, "undo", snapshot.undo), (self.redo, "redo", snapshot.redo)):
            button.setEnabled(bool(what))
            button.setToolTip(snapshot.keys.tip(name, what or "nothing"))

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        # Six columns, so that rows of two and of three buttons have one width.
        for column, button in enumerate((self.positive, self.negative)):
            grid.addWidget(button, 0, 3 * column, 1, 3)
        for column, button in enumerate((self.box, self.scribble)):
            grid.addWidget(button, 1, 3 * column, 1, 3)
        for column, button in enumerate((self.guess, self.keep)):
            grid.addWidget(button, 2, 3 * column, 1, 3)
        for column, button in enumerate((self.undo, self.redo, self.clear)):
            grid.addWidget(button, 3, 2 * column, 1, 2)

    def _connect(self) -> None:
        self.positive.clicked.connect(lambda: self.polarity_chosen.emit(False))
        self.negative.clicked.connect(lambda: self.polarity_chosen.emit(True))
        self.box.clicked.connect(self.box_chosen)
        self.scribble.clicked.connect(self.scribble_chosen)
        self.guess.clicked.connect(self.guess_asked)
        self.keep.clicked.connect(self.keep_asked)
        self.undo.clicked.connect(self.undo_asked)
        self.redo.clicked.connect(self.redo_asked)
        self.clear.clicked.connect(self.clear_asked)


class EarlierPanel(QWidget):
    """Offers earlier work on the image; not there where there is none."""

    wanted = Signal()
    unwanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = wrapped()
        self.bring_back = make_button("Bring back", "Go on with that: its objects, and the prompts at hand")
        self.discard = make_button("Discard", "Throw it away")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.text, 0, 0, 1, 2)
        grid.addWidget(self.bring_back, 1, 0)
        grid.addWidget(self.discard, 1, 1)
        self.bring_back.clicked.connect(self.wanted)
        self.discard.clicked.connect(self.unwanted)
        self.setVisible(False)

    def set_offer(self, offer: str) -> None:
        """Offer something; nothing takes no room."""
        self.text.setText(offer)
        self.setVisible(bool(offer))


class StatusPanel(QWidget):
    """What happens, and what to do next."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar = ThinBar()
        self._bar.set_share(None)
        self.status, self.hint = wrapped(), wrapped()
        font = self.status.font()
        font.setBold(True)
        self.status.setFont(font)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self._bar, self.status, self.hint):
            column.addWidget(widget)

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Show what happens."""
        self._bar.setVisible(snapshot.busy)
        self.status.setText(breakable(snapshot.status))
        self.hint.setText(breakable(snapshot.hint))
