"""Small parts that panels are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, create_widget
from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam2refiner.viewer.keys import Bindings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

FOCUS = "border: 1px solid #3f8cff"  # napari's themes do not show it; seen on light and on dark ground
FOCUSABLE = ("QPushButton", "QToolButton", "QComboBox", "QAbstractSpinBox", "QCheckBox", "QTableView", "QListView")
FOCUS_STYLE = f"{', '.join(f'{kind}:focus' for kind in FOCUSABLE)} {{ {FOCUS}; }}"
KEYED = "sam2refiner_key"  # a button's property: name of its key, text, tooltip


class LayerCombo(QObject):
    """napari's own combo of the layers of one kind.

    Parameters
    ----------
    kind : type
        Of layers.
    tooltip : str
    """

    chosen = Signal(object)

    def __init__(self, kind: type[Layer], tooltip: str) -> None:
        super().__init__()
        combo = create_widget(annotation=kind, options={"tooltip": tooltip})
        assert isinstance(combo, ComboBox)
        self._combo = combo
        self.native: QComboBox = combo.native
        let_shrink(self.native)
        combo.changed.connect(self.chosen.emit)

    @property
    def layer(self) -> Any:
        """The chosen layer, None where there is none."""
        return self._combo.value

    def set_layer(self, layer: Layer) -> None:
        """Choose a layer; one that is not listed is left alone."""
        if layer in self._combo.choices:
            self._combo.value = layer

    def reset_choices(self) -> None:
        """List the viewer's layers anew; the chosen one stays chosen.

        The combo goes by names: a renamed layer is gone to it, and the first of the list takes its place.
        """
        before = self.layer
        with self._combo.changed.blocked():
            self._combo.reset_choices()
            if before is not None:
                self.set_layer(before)
        if self.layer is not before:
            self.chosen.emit(self.layer)

    def close(self) -> None:
        """Let go of the layers."""
        self._combo.changed.disconnect()
        self._combo.choices = ()


class LayerChooser(QComboBox):
    """A combo of given layers, which the chosen one stays in.

    Parameters
    ----------
    tooltip : str
    first : str
        What stands above them, for none of them; nothing when left out.
    """

    def __init__(self, tooltip: str, first: str = "") -> None:
        super().__init__()
        self._first, self._layers = [first] if first else [], list[Any]()
        self.addItems(self._first)
        self.setToolTip(tooltip)
        let_shrink(self)

    @property
    def layer(self) -> Any:
        """The chosen layer, None where there is none."""
        place = self.currentIndex() - len(self._first)
        return self._layers[place] if 0 <= place < len(self._layers) else None

    def set_layers(self, layers: Sequence[Layer]) -> None:
        """List layers."""
        chosen, self._layers = self.layer, list(layers)
        self.clear()
        self.addItems([*self._first, *(str(layer.name) for layer in layers)])
        if chosen in self._layers:
            self.setCurrentIndex(len(self._first) + self._layers.index(chosen))


def make_button(text: str, tooltip: str = "", key: str = "", *, names_key: bool = True) -> QPushButton:
    """Return a button that leaves the keyboard to the image, whose keys do the same.

    Parameters
    ----------
    text, tooltip : str
        The tooltip is by default what the key does.
    key : str
        Name of the key that does the same, if there is one; `show_keys` shows another that is chosen for it.
    names_key : bool
        Whether the button's text names the key, too.
    """
    button = QPushButton(text)
    button.setToolTip(tooltip)
    if key:
        button.setProperty(KEYED, (key, text if names_key else "", tooltip))
        _show_key(button, Bindings())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + 12)
    return button


def make_menu_button(tooltip: str, menu: QMenu) -> QToolButton:
    """Return a small button that opens a menu."""
    button = QToolButton()
    button.setText("⋯")
    button.setToolTip(tooltip)
    button.setAccessibleName(tooltip)
    button.setMenu(menu)
    button.setStyleSheet("QToolButton::menu-indicator { image: none; }")  # the dots say it, and it would hide them
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def show_keys(widget: QWidget, keys: Bindings) -> None:
    """Let every button in a widget say which key does the same."""
    for button in widget.findChildren(QPushButton):
        if button.property(KEYED) is not None:
            _show_key(button, keys)


def _show_key(button: QPushButton, keys: Bindings) -> None:
    name, text, tooltip = button.property(KEYED)
    button.setToolTip(keys.tip(name, tooltip))
    if text:
        button.setText(text + keys.after(name))


class ThinBar(QProgressBar):
    """A line that shows how far something is; that it comes and goes does not push what is around it.

    Where that is not known it stands still: a line that runs has Qt put the whole window together again for each step,
    canvas and all, which takes as much time as what is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)
        self.setFixedHeight(4)
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)

    def set_share(self, share: float | None) -> None:
        """Show the share that is done, 0 to 1; all of the line where it is not known."""
        self.setValue(100 if share is None else round(100 * share))


class Section(QWidget):
    """A part of a dock under a title, which a click on the title closes and opens.

    Superqt's collapsible keeps the height that a wrapped text has at another width, and cuts it off.

    Parameters
    ----------
    title : str
    content : QWidget
    is_open : bool
        At first.
    """

    def __init__(self, title: str, content: QWidget, *, is_open: bool = True) -> None:
        super().__init__()
        self._content = content
        self._title = QToolButton()
        self._title.setCheckable(True)
        self._title.setChecked(is_open)
        self._title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        # An open section is no chosen option, which is what a theme's colour for checked buttons would say.
        plain = "background: transparent; border: none; padding: 2px;"
        self._title.setStyleSheet(f"QToolButton {{ {plain} }} QToolButton:focus {{ {FOCUS}; }}")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._title)
        column.addWidget(content)
        self._title.toggled.connect(self._on_toggled)
        self.setText(title)
        self._on_toggled(is_open)

    def text(self) -> str:
        """Return the title."""
        return self._title.text()

    def setText(self, title: str) -> None:
        """Change the title."""
        self._title.setText(title)

    def _on_toggled(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self._title.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)


class Scrolled(QScrollArea):
    """The content of a dock, which scrolls where the window is too low for it, but is never narrower.

    Parameters
    ----------
    content : QWidget
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        for chooser in (*content.findChildren(QComboBox), *content.findChildren(QAbstractSpinBox)):
            chooser.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            chooser.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let the wheel scroll, and choose nothing on the way."""
        is_wheel = event is not None and event.type() == QEvent.Type.Wheel
        if is_wheel and event is not None and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def minimumSizeHint(self) -> QSize:
        """As wide as the content and the bar, and as low as one likes."""
        content, bar = self.widget(), self.verticalScrollBar()
        assert content is not None
        assert bar is not None
        return QSize(content.minimumSizeHint().width() + bar.sizeHint().width(), 200)


def wrapped(text: str = "") -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def breakable(text: str, longest: int = 24) -> str:
    """Let long words, paths and addresses say, be broken between lines, lest they widen the dock."""
    return " ".join(
        "\u200b".join(word[start : start + longest] for start in range(0, len(word), longest))
        for word in text.split(" ")
    )


def let_shrink(box: QComboBox) -> None:
    """Let long names be cut rather than widen the dock."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
