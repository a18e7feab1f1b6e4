"""The table of objects: it shows what it is told, and says what the user did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QHeaderView,
    QStyledItemDelegate,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_sam2refiner._qt.parts import Section, let_shrink, make_button
from napari_sam2refiner._qt.tables import RowModel, RowTable

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.objects import ObjectRow

COLUMNS = {
    "id": "The object, in its colour",
    "name": "Its name; double-click to change it",
    "class": "What it is; double-click to change it",
    "area": "Its pixels on the plane that is shown",
    "frames": "On how many planes along the sliders it is",
    "sure": "How good the model thought its outline was, where it was kept in this dock; a click here sorts by it",
}
NAME, KIND, FRAMES = 1, 2, 4
WIDEST = {0: "999 ■■", 3: "999,999", FRAMES: "frames ", 5: "100 % "}  # by column; names and classes get the rest
SWATCH = 16  # pixels
UNKNOWN = 2.0  # where no model was asked: after all scores


class ObjectsModel(RowModel["ObjectRow"]):
    """One object in each row, with its colour; names and classes can be changed.

    It sorts its rows itself: a proxy between it and the view would ask for what is compared cell by cell.
    """

    edited = Signal(int, int, str)  # object, column, text

    def __init__(self, columns: Mapping[str, str]) -> None:
        super().__init__(columns)
        self._sorted_by, self._is_descending = 0, False

    def set_rows(self, rows: Sequence[ObjectRow]) -> None:
        """List other rows, in their order."""
        column = self._sorted_by
        super().set_rows(sorted(rows, key=lambda row: _compared(row)[column], reverse=self._is_descending))

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by what a column says."""
        self._sorted_by, self._is_descending = max(0, column), order == Qt.SortOrder.DescendingOrder
        self.set_rows(self.rows)

    def texts(self, row: ObjectRow) -> Sequence[str]:
        """Return what the cells of a row say."""
        frames = "" if row.frames is None else str(row.frames)
        score = "" if row.score is None else f"{100 * row.score:.0f} %"
        return str(row.object_id), row.named.name, row.named.kind, f"{row.pixels:,}", frames, score

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, its colour, and where it stands."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return _swatch(QColor.fromRgbF(*row.color[:3]))
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (NAME, KIND):
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        if role in (Qt.ItemDataRole.EditRole, Qt.ItemDataRole.ToolTipRole) and column in (NAME, KIND):
            return self.texts(row)[column]
        return super().data(index, role)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Return whether a cell can be changed."""
        return super().flags(index) | (
            Qt.ItemFlag.ItemIsEditable if index.column() in (NAME, KIND) else Qt.ItemFlag.NoItemFlags
        )

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Say that a cell was changed; whoever lists the objects has the last word."""
        if role != Qt.ItemDataRole.EditRole or str(value) == self.data(index, role):
            return False
        self.edited.emit(self.rows[index.row()].object_id, index.column(), str(value))
        return True


def _swatch(color: QColor) -> QIcon:
    """Return a square of a colour that is the same in a chosen row; left to itself, Qt tints it there."""
    square = QPixmap(SWATCH, SWATCH)
    square.fill(color)
    icon = QIcon(square)
    icon.addPixmap(square, QIcon.Mode.Selected)
    return icon


def _compared(row: ObjectRow) -> tuple[Any, ...]:
    """Return by what rows are sorted, for each column."""
    score, named = UNKNOWN if row.score is None else row.score, row.named
    return row.object_id, named.name, named.kind, row.pixels, row.frames or 0, score


class KindEditor(QStyledItemDelegate):
    """Lets a class be typed, or chosen from those that there are."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.kinds: tuple[str, ...] = ()

    def createEditor(self, parent: QWidget | None, option: Any, index: QModelIndex) -> QWidget:  # noqa: ARG002
        """Return a combo with the classes."""
        combo = QComboBox(parent)
        combo.setEditable(True)
        combo.addItems(self.kinds)
        return combo

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        """Show the class of a row."""
        assert isinstance(editor, QComboBox)
        editor.setEditText(index.data(Qt.ItemDataRole.EditRole))

    def setModelData(self, editor: QWidget | None, model: Any, index: QModelIndex) -> None:
        """Take what was typed or chosen."""
        assert isinstance(editor, QComboBox)
        model.setData(index, editor.currentText(), Qt.ItemDataRole.EditRole)


class ObjectsTable(RowTable):
    """The objects of the plane that is shown; a click on one asks to see it, a double click to open it again."""

    object_chosen = Signal(int)
    object_opened = Signal(int)
    objects_selected = Signal(object)  # ids, in the order of the table
    edited = Signal(int, int, str)  # object, column, text

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._objects = ObjectsModel(COLUMNS)
        self._listed: tuple[ObjectRow, ...] = ()
        self._held: tuple[int | None, tuple[int, ...]] = (None, ())  # what was chosen before other rows came
        self._objects.modelAboutToBeReset.connect(self._hold)
        self.setModel(self._objects)
        self._objects.modelReset.connect(self._select_again)  # after the view, whose selection is gone by then
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self._narrow_columns()
        self.setColumnHidden(FRAMES, True)  # until something is on some
        self.kinds = KindEditor(self)
        self.setItemDelegateForColumn(KIND, self.kinds)
        self.setToolTip("Click a row to see the object, double-click its number to correct it")
        self.row_chosen.connect(lambda index: self.object_chosen.emit(self._id_at(index)))
        self.doubleClicked.connect(self._on_double_clicked)
        self._objects.edited.connect(self.edited)
        selection = self.selectionModel()
        assert selection is not None
        selection.selectionChanged.connect(lambda: self.objects_selected.emit(self.selected))

    @property
    def chosen(self) -> int | None:
        """Id of the object that was chosen last."""
        index = self.currentIndex()
        return self._id_at(index) if index.isValid() else None

    @property
    def selected(self) -> tuple[int, ...]:
        """Ids of all objects that are chosen."""
        selection = self.selectionModel()
        if selection is None:
            return ()
        ranges = selection.selection()  # not cell by cell: it may be all of them
        chosen = (range(ranges[n].top(), ranges[n].bottom() + 1) for n in range(len(ranges)))
        rows = sorted({row for some in chosen for row in some})
        return tuple(self._objects.rows[row].object_id for row in rows)

    def set_objects(self, rows: Sequence[ObjectRow]) -> None:
        """List objects; those that are chosen stay chosen."""
        if rows is self._listed or self._listed == tuple(rows):  # mostly the first: the dock shows all that it has
            return
        self._listed = tuple(rows)
        self._objects.set_rows(rows)
        self.setColumnHidden(FRAMES, all(row.frames is None for row in rows))

    def step(self, by: int) -> None:
        """Choose the next row, or another so many rows on; after the last comes the first."""
        count = self._objects.rowCount()
        if count:
            current = self.currentIndex()
            row = (current.row() + by) % count if current.isValid() else (0 if by > 0 else count - 1)
            selection = self.selectionModel()
            assert selection is not None
            flag = selection.SelectionFlag  # whatever keys are down: Shift would choose a range
            selection.setCurrentIndex(self._objects.index(row, 0), flag.ClearAndSelect | flag.Rows)

    def _narrow_columns(self) -> None:
        """Leave the room to names and classes: by their own measure, headers keep some for an arrow."""
        header = self.horizontalHeader()
        assert header is not None
        for column, text in WIDEST.items():
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Interactive)
            header.resizeSection(column, self.fontMetrics().horizontalAdvance(text) + 8)

    def _hold(self) -> None:
        self._held = self.chosen, self.selected

    def _select_again(self) -> None:
        """Choose objects again that were chosen before, as far as they are listed; in one go, and without a word."""
        (chosen, selected), right = self._held, self._objects.columnCount() - 1
        places = {row.object_id: n for n, row in enumerate(self._objects.rows)}
        ranges = QItemSelection()
        for first, last in _runs(sorted(places[one] for one in selected if one in places)):
            ranges.select(self._objects.index(first, 0), self._objects.index(last, right))
        selection, flag = self.selectionModel(), QItemSelectionModel.SelectionFlag
        assert selection is not None
        with signals_blocked(self):
            selection.select(ranges, flag.ClearAndSelect)
            if chosen in places:
                selection.setCurrentIndex(self._objects.index(places[chosen], 0), flag.NoUpdate)

    def _on_double_clicked(self, index: QModelIndex) -> None:
        if index.column() not in (NAME, KIND):
            self.object_opened.emit(self._id_at(index))

    def _id_at(self, index: QModelIndex) -> int:
        return self._objects.rows[index.row()].object_id


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give the first and the last number of each run of rising numbers without a gap."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield members[0], members[-1]


class ObjectPanel(QWidget):
    """The objects of the plane that is shown, and what can be done with those that are chosen."""

    object_chosen = Signal(int)
    objects_selected = Signal(object)
    reopen_asked = Signal(object)  # its id
    delete_asked = Signal(object)  # ids
    merge_asked = Signal(object)
    split_asked = Signal()
    named = Signal(int, str)
    classified = Signal(str, object)  # class, ids

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._can_change = False
        self.table = ObjectsTable()
        self.reopen = make_button(
            "Reopen", "Correct the chosen object, or by the key the one under the mouse", "reopen"
        )
        self.delete = make_button(
            "Delete", "Delete the chosen objects here, or by the key the one under the mouse", "delete"
        )
        self.merge = make_button(
            "Merge",
            "Make the chosen objects one here, or by the key the chosen one and the one under the mouse",
            "merge",
        )
        self.split = make_button("Split", key="split")
        self.split.setCheckable(True)
        self.kind = QComboBox()
        self.kind.setEditable(True)
        self.kind.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.kind.setAccessibleName("Class")
        self.kind.setToolTip("A class: type one, or choose one that there is")
        let_shrink(self.kind)
        line = self.kind.lineEdit()
        assert line is not None
        line.setPlaceholderText("class")
        line.returnPressed.connect(self._on_classify)
        self.classify = make_button(
            "Set class", "Give it to the chosen objects, or by the key once more to the one under the mouse", "classify"
        )
        self._lay_out()
        self._connect()
        self.set_objects((), "Objects", can_change=False)

    def set_objects(
        self,
        rows: Sequence[ObjectRow],
        title: str,
        *,
        can_change: bool,
        kinds: Sequence[str] = (),
        cutting: bool = False,
    ) -> None:
        """List objects under a title with the classes that there are, and say what can be done."""
        self._section.setText(title)
        self.table.set_objects(rows)
        if self.table.kinds.kinds != tuple(kinds):
            self.table.kinds.kinds = tuple(kinds)
            typed = self.kind.currentText()
            self.kind.clear()
            self.kind.addItems(kinds)
            self.kind.setEditText(typed)
        self.split.setChecked(cutting)
        self._can_change = can_change
        self._enable()

    def _lay_out(self) -> None:
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.table, 0, 0, 1, 2)
        buttons = (self.reopen, self.delete, self.merge, self.split, self.kind, self.classify)
        for place, widget in enumerate(buttons):
            grid.addWidget(widget, 1 + place // 2, place % 2)
        self._section = Section("", content)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._section)

    def _connect(self) -> None:
        table = self.table
        table.object_chosen.connect(self.object_chosen)
        table.objects_selected.connect(self._on_selected)
        table.object_opened.connect(self.reopen_asked.emit)
        table.edited.connect(self._on_edited)
        self.reopen.clicked.connect(lambda: self.reopen_asked.emit(table.chosen))
        self.delete.clicked.connect(lambda: self.delete_asked.emit(table.selected))
        self.merge.clicked.connect(lambda: self.merge_asked.emit(table.selected))
        self.split.clicked.connect(self.split_asked)
        self.classify.clicked.connect(self._on_classify)

    def _on_selected(self, ids: tuple[int, ...]) -> None:
        self._enable()
        self.objects_selected.emit(ids)

    def _on_edited(self, object_id: int, column: int, text: str) -> None:
        if column == NAME:
            self.named.emit(object_id, text)
        else:
            self.classified.emit(text, (object_id,))

    def _on_classify(self) -> None:
        if self.table.selected:
            self.classified.emit(self.kind.currentText(), self.table.selected)

    def _enable(self) -> None:
        count = len(self.table.selected) if self._can_change else 0
        self.reopen.setEnabled(count == 1)
        self.merge.setEnabled(count > 1)
        self.split.setEnabled(self._can_change)
        for button in (self.delete, self.classify):
            button.setEnabled(count > 0)
