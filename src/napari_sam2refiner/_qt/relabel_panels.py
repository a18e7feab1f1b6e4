"""The parts of the dock that refines labels: they show what they are told, and say what the user did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QTableView,
    QWidget,
)

from napari_sam2refiner._qt.panels import SourcePanel
from napari_sam2refiner._qt.parts import LayerCombo, ThinBar, breakable, make_button, wrapped

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


class ChangesModel(QAbstractTableModel):
    """One object in each row."""

    def __init__(self, changes: Sequence[Change] = ()) -> None:
        super().__init__()
        self.changes = tuple(changes)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        """Return how many objects there are."""
        return len(self.changes)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        """Return how much is said of each."""
        return len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, and where it stands."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        change = self.changes[index.row()]
        pixels = (str(change.pixels_before), str(change.pixels_after))
        shares = (f"{change.iou:.2f}", f"{change.score:.2f}")
        return (str(change.object_id), *pixels, *shares, "kept" if change.kept else "")[index.column()]

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        """Return the name of a column, and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        texts = {Qt.ItemDataRole.DisplayRole: [*COLUMNS], Qt.ItemDataRole.ToolTipRole: [*COLUMNS.values()]}
        return texts[role][section] if role in texts else None  # type: ignore[index]


class ChangesTable(QTableView):
    """What became of each object; a click on one asks to see it."""

    object_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._changes = ChangesModel()
        self.setModel(self._changes)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("Click a row to see the object in the refined layer")
        self.setMinimumHeight(120)
        columns, rows = self.horizontalHeader(), self.verticalHeader()
        assert columns is not None
        assert rows is not None
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in (0, 3, 4, 5):
            columns.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        columns.setMinimumSectionSize(32)
        columns.setHighlightSections(False)
        rows.setDefaultSectionSize(24)
        rows.hide()
        self.clicked.connect(self._on_clicked)

    def set_changes(self, changes: Sequence[Change]) -> None:
        """List objects; those that are listed already stay selected."""
        if self._changes.changes != tuple(changes):
            self._changes.beginResetModel()
            self._changes.changes = tuple(changes)
            self._changes.endResetModel()

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Go to the next row by the keyboard, too."""
        super().currentChanged(current, previous)
        self._on_clicked(current)

    def _on_clicked(self, index: QModelIndex) -> None:
        if index.isValid():
            self.object_chosen.emit(self._changes.changes[index.row()].object_id)
