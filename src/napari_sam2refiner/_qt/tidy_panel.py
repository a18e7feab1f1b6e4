"""What is done to masks before they are kept, and whose a pixel is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_sam2refiner._qt.parts import Section, let_shrink
from napari_sam2refiner.labels.tidy import Tidying

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.state import Overlap

TITLE = "Tidy masks and overlap"


class TidyPanel(QWidget):
    """Smoothing, holes, specks, and where objects overlap; closed at first."""

    chosen = Signal(object)
    overlap_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.smooth = QDoubleSpinBox()
        self.smooth.setRange(0, 20)
        self.smooth.setSingleStep(0.5)
        self.smooth.setDecimals(1)
        self.smooth.setSuffix(" px")
        self.smooth.setToolTip("Blur the mask so far and draw its outline anew: takes off spikes, 0 leaves it")
        self.fill_holes = QCheckBox("Fill holes")
        self.fill_holes.setToolTip("What an object encloses belongs to it")
        self.specks = QSpinBox()
        self.specks.setRange(0, 1_000_000)
        self.specks.setSuffix(" px")
        self.specks.setToolTip("Drop pieces of fewer pixels; the largest piece stays")
        self.overlap = QComboBox()
        self.overlap.setAccessibleName("Overlap")
        self.overlap.setToolTip("Whose a pixel is that already belongs to an object")
        self.overlap.addItem("Earlier object stays", "keep")
        self.overlap.addItem("New object wins", "overwrite")
        let_shrink(self.overlap)
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Smooth by", self.smooth)
        form.addRow("Drop specks below", self.specks)
        form.addRow(self.fill_holes)
        row = QHBoxLayout()  # of its own: beside the longest of the labels above its choices would be cut
        row.addWidget(QLabel("Overlap"))
        row.addWidget(self.overlap, 1)
        form.addRow(row)
        self._section = Section(TITLE, content, is_open=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._section)
        self.smooth.valueChanged.connect(self._on_changed)
        self.specks.valueChanged.connect(self._on_changed)
        self.fill_holes.toggled.connect(self._on_changed)
        self.overlap.activated.connect(lambda index: self.overlap_chosen.emit(self.overlap.itemData(index)))

    @property
    def tidying(self) -> Tidying:
        """What is chosen."""
        return Tidying(self.smooth.value(), self.fill_holes.isChecked(), self.specks.value())

    def set_tidying(self, tidying: Tidying) -> None:
        """Show a choice."""
        with signals_blocked(self):
            self.smooth.setValue(tidying.smooth)
            self.fill_holes.setChecked(tidying.fill_holes)
            self.specks.setValue(tidying.specks)

    def set_overlap(self, overlap: Overlap) -> None:
        """Show whose a shared pixel is."""
        self.overlap.setCurrentIndex(self.overlap.findData(overlap))

    def _on_changed(self) -> None:
        self._section.setText(f"{TITLE} (on)" if self.tidying else TITLE)
        self.chosen.emit(self.tidying)
