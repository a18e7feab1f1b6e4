"""Other prompts than clicks and a box: each box an object of its own, labels and prompts of other layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_sam2refiner._qt.parts import Section, let_shrink, make_button

if TYPE_CHECKING:
    from napari.layers import Labels

TITLE = "More prompts"


class PromptingPanel(QWidget):
    """The switch for boxes, a chooser of labels, and what takes prompts from elsewhere; closed at first."""

    apart_chosen = Signal(bool)
    label_asked = Signal(object)  # of which layer
    prompts_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers: list[Labels] = []
        self.boxes, self.labels = QComboBox(), QComboBox()
        self.boxes.setToolTip("What several boxes mean; also of those that are drawn already")
        self.boxes.addItem("One object", False)
        self.boxes.addItem("Each its own", True)
        self.labels.setToolTip("Labels whose objects can be rough outlines here")
        for chooser in (self.boxes, self.labels):
            let_shrink(chooser)
        self.use_label = make_button(
            "Use label",
            "Take the label that is selected in that layer as a rough outline, or by the key the one under the mouse",
            "label",
        )
        self.take_prompts = make_button(
            "Take prompts", "Take those of the Points and Shapes layers that are selected in the layer list"
        )
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        for row, (name, chooser) in enumerate((("Boxes", self.boxes), ("Labels", self.labels))):
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(chooser, row, 1, 1, 3)
        grid.addWidget(self.use_label, 2, 0, 1, 2)
        grid.addWidget(self.take_prompts, 2, 2, 1, 2)
        self._section = Section(TITLE, content, is_open=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._section)
        self.boxes.activated.connect(lambda index: self.apart_chosen.emit(self.boxes.itemData(index)))
        self.use_label.clicked.connect(lambda: self.label_asked.emit(self._layers[self.labels.currentIndex()]))
        self.take_prompts.clicked.connect(self.prompts_asked)
        self.set_state(apart=False, can_click=False)

    def set_labels(self, layers: Sequence[Labels]) -> None:
        """List labels; the chosen ones stay chosen."""
        index = self.labels.currentIndex()
        chosen = self._layers[index] if 0 <= index < len(self._layers) else None
        self._layers = list(layers)
        self.labels.clear()
        self.labels.addItems([str(layer.name) for layer in layers])
        if chosen in self._layers:
            self.labels.setCurrentIndex(self._layers.index(chosen))
        self._enable()

    def set_state(self, *, apart: bool, can_click: bool) -> None:
        """Show what boxes mean, and what can be done."""
        self.boxes.setCurrentIndex(self.boxes.findData(apart))
        self._section.setText(f"{TITLE} (each box its own object)" if apart else TITLE)
        self._can_click = can_click
        self._enable()

    def _enable(self) -> None:
        self.use_label.setEnabled(self._can_click and bool(self._layers))
        self.take_prompts.setEnabled(self._can_click)
