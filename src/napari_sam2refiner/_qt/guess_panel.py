"""The masks that a click may mean, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_sam2refiner._qt.parts import make_button

MOST_BESIDE = 3  # buttons in a row; of more there are rows of two, lest they widen the dock


class GuessPanel(QWidget):
    """A button for each guess, from the smallest, with its score; not there where there is no choice."""

    chosen = Signal(int)  # which of the guesses

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[QPushButton] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._guesses: tuple[tuple[int, str], ...] = ()
        self.setVisible(False)

    def set_guesses(self, guesses: Sequence[tuple[int, str]], shown: int) -> None:
        """Offer guesses, by their numbers and texts; one of them is shown."""
        if self._guesses != tuple(guesses):
            self._guesses = tuple(guesses)
            self._make_buttons()
        for (number, _), button in zip(self._guesses, self.buttons, strict=True):
            button.setChecked(number == shown)
        self.setVisible(bool(guesses))

    def _make_buttons(self) -> None:
        for button in self.buttons:
            self._grid.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
        columns = len(self._guesses) if len(self._guesses) <= MOST_BESIDE else 2
        for place, (number, text) in enumerate(self._guesses):
            button = make_button(text.capitalize(), "Show this guess; how good the model thinks it is stands beside it")
            button.setCheckable(True)
            button.clicked.connect(partial(self._on_clicked, number))
            self._grid.addWidget(button, *divmod(place, columns))
            self.buttons.append(button)

    def _on_clicked(self, number: int, is_checked: bool) -> None:
        if is_checked:
            self.chosen.emit(number)
        else:  # the one that is shown stays so
            for (other, _), button in zip(self._guesses, self.buttons, strict=True):
                button.setChecked(other == number)
