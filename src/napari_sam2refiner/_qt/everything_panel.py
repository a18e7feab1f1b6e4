"""The part of the dock that segments everything: it shows what it is told, and says what the user did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_sam2refiner._qt.parts import Section, ThinBar, breakable, make_button, wrapped

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.everything import EverythingState


class EverythingPanel(QWidget):
    """Least score and area, the run, and how it goes; closed at first."""

    score_chosen = Signal(float)
    area_chosen = Signal(int)
    find_asked = Signal()
    cancel_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.score = QSpinBox()
        self.score.setRange(0, 100)
        self.score.setSingleStep(5)
        self.score.setSuffix(" %")
        self.score.setToolTip("Objects that the model is less sure of are left out; lower finds more, also false ones")
        self.area = QSpinBox()
        self.area.setRange(1, 1_000_000)
        self.area.setSuffix(" px")
        self.area.setToolTip("Objects of fewer pixels are left out")
        self.find_all = make_button("Find all", "Segment every object on the plane that is shown, as new objects")
        self.cancel = make_button("Cancel", "Stop; nothing is written")
        self.bar = ThinBar()
        self.status = wrapped()
        self.section = Section("Segment everything", self._content(), is_open=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.section)
        self.score.valueChanged.connect(lambda percent: self.score_chosen.emit(percent / 100))
        self.area.valueChanged.connect(self.area_chosen)
        self.find_all.clicked.connect(self.find_asked)
        self.cancel.clicked.connect(self.cancel_asked)

    def set_state(self, state: EverythingState, *, can_find: bool) -> None:
        """Show what happens and what can be done."""
        self.score.setValue(round(100 * state.score))
        self.area.setValue(state.area)
        for chooser in (self.score, self.area):
            chooser.setEnabled(not state.running)
        self.find_all.setEnabled(can_find and not state.running)
        self.cancel.setEnabled(state.running)
        self.bar.setVisible(state.running)
        self.bar.set_share(state.share)
        self.status.setText(breakable(state.status))

    def _content(self) -> QWidget:
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        for row, (text, chooser) in enumerate((("At least sure", self.score), ("At least as large as", self.area))):
            grid.addWidget(QLabel(text), row, 0)
            grid.addWidget(chooser, row, 1)
        grid.addWidget(self.find_all, 2, 0)
        grid.addWidget(self.cancel, 2, 1)
        grid.addWidget(self.bar, 3, 0, 1, 2)
        grid.addWidget(self.status, 4, 0, 1, 2)
        return content
