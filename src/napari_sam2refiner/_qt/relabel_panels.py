"""The parts of the dock that refines labels: they show what they are told, and say what the user did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import QModelIndex, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QWidget

from napari_sam2refiner._qt.panels import SourcePanel
from napari_sam2refiner._qt.parts import LayerCombo, ThinBar, breakable, make_button, wrapped
from napari_sam2refiner._qt.tables import RowModel, RowTable

if TYPE_CHECKING:
    from napari_sam2refiner.sessions.relabel import Change
    from napari_sam2refiner.viewer.relabeller import RelabelState

COLUMNS = {
    "id": "The object",
    "before": "Pixels before",
    "after": "Pixels after",
    "IoU": "Overlap of the outline found with the one before: 1 is the same, 0 is elsewhere",
    "score": "How good the model thinks its outline is, 0 to 1",
    "": "Kept: it would have changed by more than the limit",
}


class LabelsSourcePanel(SourcePanel):
    """Which image, which labels, which model."""

    labels_chosen = Signal(object)

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._labels = LayerCombo(Labels, tooltip)
        self._labels.chosen.connect(self.labels_chosen)
        self._form.insertRow(1, "Labels", self._labels.native)

    @property
    def labels(self) -> Labels | None:
        """The chosen labels layer."""
        return self._labels.layer

    def set_labels(self, labels: Labels) -> None:
        """Choose labels; those that are not listed are left alone."""
        self._labels.set_layer(labels)

    def reset_choices(self) -> None:
        """List the viewer's images and labels anew; the chosen ones stay chosen."""
        super().reset_choices()
        self._labels.reset_choices()

    def close_combos(self) -> None:
        """Let go of the layers."""
        super().close_combos()
        self._labels.close()


class RunPanel(QWidget):
    """How much may change, the run, and how it goes."""

    most_change_chosen = Signal(float)
    refine_asked = Signal()
    cancel_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.most_change = QDoubleSpinBox()
        self.most_change.setRange(0, 1)
        self.most_change.setSingleStep(0.05)
        self.most_change.setToolTip(
            "An object is kept as it was if its IoU with the outline found is below one minus this; "
            "0 changes nothing, 1 takes all that is found"
        )
        self.refine = make_button("Refine", "Refine every object on the plane that is shown, into a new layer")
        self.cancel = make_button("Cancel", "Stop; nothing is written")
        self.bar = ThinBar()
        self.status = wrapped()
        self._lay_out()
        self.most_change.valueChanged.connect(self.most_change_chosen)
        self.refine.clicked.connect(self.refine_asked)
        self.cancel.clicked.connect(self.cancel_asked)

    def set_state(self, state: RelabelState) -> None:
        """Show what happens and what can be done."""
        self.most_change.setValue(state.most_change)
        self.most_change.setEnabled(not state.running)
        self.refine.setEnabled(state.can_refine)
        self.cancel.setEnabled(state.running)
        self.bar.setVisible(state.running or state.loading)
        self.bar.set_share(state.share)
        self.status.setText(breakable(state.status))

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Most change"), 0, 0)
        grid.addWidget(self.most_change, 0, 1)
        grid.addWidget(self.refine, 1, 0)
        grid.addWidget(self.cancel, 1, 1)
        grid.addWidget(self.bar, 2, 0, 1, 2)
        grid.addWidget(self.status, 3, 0, 1, 2)


class ChangesModel(RowModel["Change"]):
    """One object in each row."""

    def texts(self, row: Change) -> Sequence[str]:
        """Return what the cells of a row say."""
        pixels = (str(row.pixels_before), str(row.pixels_after))
        return (str(row.object_id), *pixels, f"{row.iou:.2f}", f"{row.score:.2f}", "kept" if row.kept else "")


class ChangesTable(RowTable):
    """What became of each object; a click on one asks to see it."""

    object_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._changes = ChangesModel(COLUMNS)
        self.setModel(self._changes)
        self.setToolTip("Click a row to see the object in the refined layer")
        self.fit_columns((0, 3, 4, 5))
        self.row_chosen.connect(self._on_row_chosen)

    def set_changes(self, changes: Sequence[Change]) -> None:
        """List objects; those that are listed already stay selected."""
        if self._changes.rows != tuple(changes):
            self._changes.set_rows(changes)

    def _on_row_chosen(self, index: QModelIndex) -> None:
        self.object_chosen.emit(self._changes.rows[index.row()].object_id)
