"""Objects to other programs' files, and back: which format, which file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_sam2refiner._qt.parts import LayerChooser, Section, breakable, let_shrink, make_button, wrapped
from napari_sam2refiner.labels.exchange.formats import FORMATS, Format
from napari_sam2refiner.viewer.exporter import Wish

if TYPE_CHECKING:
    from napari.layers import Labels

STACKS = {"Time-lapse": "T", "Z-stack": "Z"}


class ExportPanel(QWidget):
    """Objects, format, file, and what came of it; closed at first."""

    export_asked = Signal(object)  # a Wish
    import_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_busy = False
        self.objects = LayerChooser("What is exported: what this dock has kept, or any labels layer", "Of this image")
        self.formats = QComboBox()
        self.formats.setToolTip("What the file is for; docs/export.md says what each format keeps")
        for one in FORMATS:
            self.formats.addItem(one.title, one)
        self.stacks = QComboBox()
        self.stacks.setToolTip("What the first axis of a stack is")
        for title, axis in STACKS.items():
            self.stacks.addItem(title, axis)
        for box in (self.formats, self.stacks):
            let_shrink(box)
        self.export = make_button("Export ...", "Write these objects, as they are now")
        self.load = make_button("Import ...", "Add the objects of a file as a new labels layer")
        self.note = wrapped()
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Objects", self.objects)
        form.addRow("Format", self.formats)
        form.addRow("A stack is a", self.stacks)
        buttons = QHBoxLayout()
        buttons.addWidget(self.export)
        buttons.addWidget(self.load)
        form.addRow(buttons)
        form.addRow(self.note)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(Section("Export and import", content, is_open=False))
        self.formats.currentIndexChanged.connect(self._enable)
        self.export.clicked.connect(self._on_export_clicked)
        self.load.clicked.connect(self._on_load_clicked)
        self.set_note("", False)

    @property
    def format(self) -> Format:
        """What is chosen."""
        found: Format = self.formats.currentData()
        return found

    def set_labels(self, layers: Sequence[Labels]) -> None:
        """List labels that can be exported beside the image's objects."""
        self.objects.set_layers(layers)

    def set_note(self, note: str, is_busy: bool) -> None:
        """Say what happened, and whether something is under way."""
        self._is_busy = is_busy
        self.note.setText(breakable(note))
        self.note.setVisible(bool(note))
        self._enable()

    def _enable(self) -> None:
        self.export.setEnabled(not self._is_busy)
        self.load.setEnabled(not self._is_busy and self.format.read is not None)

    def _on_export_clicked(self) -> None:
        one = self.format
        suffix = one.suffixes[0] if one.suffixes else ""
        what = "Name of a new folder" if one.is_folder else "File"
        chosen, _ = QFileDialog.getSaveFileName(self, f"{what} for {one.title}", f"objects{suffix}", _filter(one))
        if not chosen:
            return
        path = Path(chosen)
        # The dialog has asked whether a file may be replaced, but of that name, and of no folder.
        is_asked = not one.is_folder
        if one.suffixes and path.suffix.lower() not in one.suffixes:
            path, is_asked = path.with_name(path.name + suffix), False
        self.export_asked.emit(Wish(path, one.name, self.stacks.currentData(), is_asked))

    def _on_load_clicked(self) -> None:
        one = self.format
        if one.is_folder:
            chosen = QFileDialog.getExistingDirectory(self, f"Folder of {one.title}")
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, f"File of {one.title}", "", _filter(one))
        if chosen:
            self.import_asked.emit(Wish(Path(chosen), one.name, self.stacks.currentData()))


def _filter(one: Format) -> str:
    """Return which files a dialog shows."""
    return f"{one.title} ({' '.join(f'*{suffix}' for suffix in one.suffixes) or '*'})"
