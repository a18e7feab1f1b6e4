"""The table of objects: it shows what it is told, and says what the user did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_sam2refiner._qt.parts import Section, make_button
from napari_sam2refiner._qt.tables import RowModel, RowTable

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.objects import ObjectRow

COLUMNS = {
    "id": "The object, in its colour",
    "pixels": "Its area on the plane that is shown",
    "sure": "How good the model thought its outline was, where it was kept in this dock; a click here sorts by it",
}
SORTED = Qt.ItemDataRole.UserRole
UNKNOWN = 2.0  # where no model was asked: after all scores


class ObjectsModel(RowModel["ObjectRow"]):
    """One object in each row, with its colour, and with what it is sorted by."""

    def texts(self, row: ObjectRow) -> Sequence[str]:
        """Return what the cells of a row say."""
        return str(row.object_id), f"{row.pixels:,}", "" if row.score is None else f"{100 * row.score:.0f} %"

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, its colour, where it stands, and what it is sorted by."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return QColor.fromRgbF(*row.color[:3])
        if role == SORTED:
            return (row.object_id, row.pixels, UNKNOWN if row.score is None else row.score)[column]
        return super().data(index, role)


class ObjectsTable(RowTable):
    """The objects of the plane that is shown; a click on one asks to see it, a double click to open it again."""

    object_chosen = Signal(int)
    object_opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._objects, self._order = ObjectsModel(COLUMNS), QSortFilterProxyModel()
        self._order.setSourceModel(self._objects)
        self._order.setSortRole(SORTED)
        self.setModel(self._order)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setToolTip("Click a row to see the object, double-click it to correct it")
        self.row_chosen.connect(lambda index: self.object_chosen.emit(self._id_at(index)))
        self.doubleClicked.connect(lambda index: self.object_opened.emit(self._id_at(index)))

    @property
    def chosen(self) -> int | None:
        """Id of the chosen object."""
        index = self.currentIndex()
        return self._id_at(index) if index.isValid() else None

    def set_objects(self, rows: Sequence[ObjectRow]) -> None:
        """List objects; the chosen one stays chosen."""
        if self._objects.rows == tuple(rows):
            return
        chosen = self.chosen
        self._objects.set_rows(rows)
        ids = [row.object_id for row in rows]
        if chosen in ids:
            index = self._order.mapFromSource(self._objects.index(ids.index(chosen), 0))
            with signals_blocked(self):
                self.setCurrentIndex(index)

    def _id_at(self, index: QModelIndex) -> int:
        return self._objects.rows[self._order.mapToSource(index).row()].object_id


class ObjectPanel(QWidget):
    """The objects of the plane that is shown, and what can be done with the chosen one."""

    object_chosen = Signal(int)
    reopen_asked = Signal(object)  # its id; None: the one under the mouse
    delete_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._can_change = False
        self.table = ObjectsTable()
        self.reopen = make_button("Reopen (⇧K)", "Correct the chosen object, or by the key the one under the mouse")
        self.delete = make_button("Delete (⇧W)", "Delete the chosen object here, or by the key the one under the mouse")
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.table, 0, 0, 1, 2)
        grid.addWidget(self.reopen, 1, 0)
        grid.addWidget(self.delete, 1, 1)
        self._section = Section("", content)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._section)
        self.table.object_chosen.connect(self._on_chosen)
        self.table.object_opened.connect(self.reopen_asked.emit)
        self.reopen.clicked.connect(lambda: self.reopen_asked.emit(self.table.chosen))
        self.delete.clicked.connect(lambda: self.delete_asked.emit(self.table.chosen))
        self.set_objects((), "Objects", can_change=False)

    def set_objects(self, rows: Sequence[ObjectRow], title: str, *, can_change: bool) -> None:
        """List objects under a title, and say what can be done."""
        self._section.setText(title)
        self.table.set_objects(rows)
        self._can_change = can_change
        self._enable()

    def _on_chosen(self, object_id: int) -> None:
        self._enable()
        self.object_chosen.emit(object_id)

    def _enable(self) -> None:
        is_chosen = self.table.chosen is not None
        for button in (self.reopen, self.delete):
            button.setEnabled(self._can_change and is_chosen)
