"""The sheet of keys: every key and gesture of the docks, in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_sam2refiner._qt.parts import Scrolled, wrapped
from napari_sam2refiner.viewer.keys import GESTURES, KEYS

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.keys import Bindings

ADVICE = (
    "Other keys can be chosen by the names on the right: Preferences > SAM2Refiner > Other keys, napari 0.9 and later. "
    "A key that another plugin had before stays that plugin's."
)


class KeySheet(QDialog):
    """A small window that stays open beside the work; Escape closes it.

    Parameters
    ----------
    keys : Bindings
    parent : QWidget
    """

    def __init__(self, keys: Bindings, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of SAM2Refiner")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        content = QWidget()
        self._grid = grid = QGridLayout(content)
        grid.setColumnStretch(1, 1)
        grid.setHorizontalSpacing(16)
        for group, rows in rows_of(keys).items():
            self._add_heading(group)
            for row in rows:
                self._add(*row)
        advice = wrapped(ADVICE)
        grid.addWidget(advice, grid.rowCount(), 0, 1, 3)
        grid.setRowStretch(grid.rowCount(), 1)
        column = QVBoxLayout(self)
        column.addWidget(Scrolled(content))
        self.resize(560, 620)

    def _add_heading(self, text: str) -> None:
        heading = QLabel(text)
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        row = self._grid.rowCount()
        self._grid.setRowMinimumHeight(row, heading.sizeHint().height() + 12)
        self._grid.addWidget(heading, row, 0, 1, 3, Qt.AlignmentFlag.AlignBottom)

    def _add(self, key: str, does: str, name: str) -> None:
        row = self._grid.rowCount()
        for column, label in enumerate((QLabel(key), wrapped(does), QLabel(name))):
            self._grid.addWidget(label, row, column, Qt.AlignmentFlag.AlignTop)


def rows_of(keys: Bindings) -> dict[str, list[tuple[str, str, str]]]:
    """Return what the sheet says: under each heading keys and gestures, what they do, and names of keys."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for gesture, does, group in GESTURES:
        groups.setdefault(group, []).append((gesture, does, ""))
    for key in KEYS:
        groups.setdefault(key.group, []).append((keys.by_name.get(key.name, "–"), key.does, key.name))
    return groups
