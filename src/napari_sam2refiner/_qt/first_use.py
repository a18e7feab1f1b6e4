"""What is seen before anything has been done: the first steps, and what to do where no image is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QToolButton, QWidget

from napari_sam2refiner._qt.parts import make_button, wrapped

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.keys import Bindings


class FirstSteps(QWidget):
    """Three lines that say how it goes; the cross takes them away."""

    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = wrapped()
        self.cross = QToolButton()
        self.cross.setText("×")
        self.cross.setToolTip("I know; show this no more")
        self.cross.setAccessibleName("Close the first steps")
        self.cross.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.text, 0, 0)
        grid.addWidget(self.cross, 0, 1, Qt.AlignmentFlag.AlignTop)
        grid.setColumnStretch(0, 1)
        self.cross.clicked.connect(self.dismissed)

    def set_keys(self, keys: Bindings) -> None:
        """Name the keys that are meant."""
        switch = keys.by_name.get("switch")
        remove = f"press {switch}, then" if switch else "choose Removes, then"
        keep = keys.by_name.get("keep")
        lines = (
            "Click on an object: its outline appears.",
            f"Click what is missing; {remove} click what is too much.",
            f"Press {keep or 'Keep'} to keep it, and click the next one.",
        )
        self.text.setText("\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)))


class NoImagePanel(QWidget):
    """Ways to an image; not there where there is one."""

    open_asked = Signal()
    sample_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.open = make_button("Open image ...", "Choose image files")
        self.sample = make_button("Open a sample", "Cells in phase contrast, to try things out on")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.open, 0, 0)
        grid.addWidget(self.sample, 0, 1)
        self.open.clicked.connect(self.open_asked)
        self.sample.clicked.connect(self.sample_asked)
        self.setVisible(False)
