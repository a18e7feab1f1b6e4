"""Tables with one thing in each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

R = TypeVar("R")


class RowModel(QAbstractTableModel, Generic[R]):
    """What a table lists; the subclass says what the cells say.

    Parameters
    ----------
    columns : mapping of str to str
        Name of each column, and what it means.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        super().__init__()
        self._columns = columns
        self.rows: tuple[R, ...] = ()

    def texts(self, row: R) -> Sequence[str]:
        """Return what the cells of a row say."""
        raise NotImplementedError

    def set_rows(self, rows: Sequence[R]) -> None:
        """List other rows."""
        self.beginResetModel()
        self.rows = tuple(rows)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        """Return how many rows there are."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        """Return how much is said of each."""
        return len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, and where it stands."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.DisplayRole:
            return self.texts(self.rows[index.row()])[index.column()]
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        """Return the name of a column, and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        texts = {Qt.ItemDataRole.DisplayRole: [*self._columns], Qt.ItemDataRole.ToolTipRole: [*self._columns.values()]}
        return texts[role][section] if role in texts else None  # type: ignore[index]


class RowTable(QTableView):
    """A table whose rows are chosen one at a time, by a click or the keyboard."""

    row_chosen = Signal(QModelIndex)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(120)
        columns, rows = self.horizontalHeader(), self.verticalHeader()
        assert columns is not None
        assert rows is not None
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        columns.setMinimumSectionSize(32)
        columns.setHighlightSections(False)
        rows.setDefaultSectionSize(24)
        rows.hide()
        self.clicked.connect(self._choose)

    def fit_columns(self, columns: Sequence[int]) -> None:
        """Make columns as narrow as what they say."""
        header = self.horizontalHeader()
        assert header is not None
        for column in columns:
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Go to the next row by the keyboard, too."""
        super().currentChanged(current, previous)
        self._choose(current)

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid():
            self.row_chosen.emit(index)
