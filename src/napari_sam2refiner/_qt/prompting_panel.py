"""Other prompts than clicks and a box: each box an object of its own, labels and prompts of other layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_sam2refiner._qt.parts import LayerChooser, Section, let_shrink, make_button

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
        self.boxes = QComboBox()
        self.boxes.setToolTip("What several boxes mean; also of those that are drawn already")
        self.boxes.addItem("One object", False)
        self.boxes.addItem("Each its own", True)
        let_shrink(self.boxes)
        self.labels = LayerChooser("Labels whose objects can be rough outlines here")
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
        self.use_label.clicked.connect(lambda: self.label_asked.emit(self.labels.layer))
        self.take_prompts.clicked.connect(self.prompts_asked)
        self.set_state(apart=False, can_click=False)

    def set_labels(self, layers: Sequence[Labels]) -> None:
        """List labels; the chosen ones stay chosen."""
        self.labels.set_layers(layers)
        self._enable()

    def set_state(self, *, apart: bool, can_click: bool) -> None:
        """Show what boxes mean, and what can be done."""
        self.boxes.setCurrentIndex(self.boxes.findData(apart))
        self._section.setText(f"{TITLE} (each box its own object)" if apart else TITLE)
        self._can_click = can_click
        self._enable()

    def _enable(self) -> None:
        self.use_label.setEnabled(self._can_click and self.labels.layer is not None)
        self.take_prompts.setEnabled(self._can_click)
