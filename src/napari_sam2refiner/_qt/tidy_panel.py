"""What is done to masks before they are kept."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QSpinBox, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_sam2refiner._qt.parts import Section
from napari_sam2refiner.labels.tidy import Tidying


class TidyPanel(QWidget):
    """Smoothing, holes and specks; closed at first."""

    chosen = Signal(object)

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
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Smooth by", self.smooth)
        form.addRow("Drop specks below", self.specks)
        form.addRow(self.fill_holes)
        self._section = Section("Tidy masks", content, is_open=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._section)
        self.smooth.valueChanged.connect(self._on_changed)
        self.specks.valueChanged.connect(self._on_changed)
        self.fill_holes.toggled.connect(self._on_changed)

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

    def _on_changed(self) -> None:
        self._section.setText("Tidy masks (on)" if self.tidying else "Tidy masks")
        self.chosen.emit(self.tidying)
