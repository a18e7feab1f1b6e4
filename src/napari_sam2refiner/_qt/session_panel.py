"""The work at hand to a file, and back."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_sam2refiner._qt.parts import Section, make_button
from napari_sam2refiner.viewer.session_file import SUFFIX

FILES = f"Sessions (*{SUFFIX})"


class SessionPanel(QWidget):
    """Saves and opens sessions; closed at first."""

    save_asked = Signal(object)  # a Path
    open_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.save = make_button("Save session ...", "Objects, prompts and how the image is shown, in one file")
        self.open = make_button("Open session ...", "Go on with what was saved; its image is opened, too")
        content = QWidget()
        row = QHBoxLayout(content)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.save)
        row.addWidget(self.open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(Section("Session", content, is_open=False))
        self.save.clicked.connect(self._on_save_clicked)
        self.open.clicked.connect(self._on_open_clicked)

    def _on_save_clicked(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Save session", f"session{SUFFIX}", FILES)
        if chosen:
            path = Path(chosen)
            self.save_asked.emit(path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX))

    def _on_open_clicked(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Open session", "", FILES)
        if chosen:
            self.open_asked.emit(Path(chosen))
