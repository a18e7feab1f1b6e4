"""Which other images are looked at together with the image, and what of each becomes black and white."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_sam2refiner._qt.parts import Section, let_shrink, wrapped
from napari_sam2refiner.viewer.channels import ChannelOffer

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.channels import ChannelItem

TITLE = "Channels and contrast"
MOST_ROWS = 5
KEY = Qt.ItemDataRole.UserRole


class ChannelPanel(QWidget):
    """A list of images to tick, and the choice of the contrast; closed at first."""

    channel_chosen = Signal(str, bool)  # key, whether it is wanted
    contrast_chosen = Signal(bool)  # as shown

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offer: ChannelOffer | None = None  # nothing is shown yet
        self.contrast, self.layers, self.note = QComboBox(), QListWidget(), wrapped()
        self.contrast.addItem("Automatic (percentiles)", False)
        self.contrast.addItem("As shown", True)
        self.contrast.setToolTip("What the model sees as black and white: percentiles, or each layer's contrast limits")
        let_shrink(self.contrast)
        self.layers.setToolTip("Other channels that the model looks at together with the image, two at most")
        self.layers.setAccessibleName("Channels")
        self.layers.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.layers.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Contrast", self.contrast)
        form.addRow(self.layers)
        form.addRow(self.note)
        self.section = Section(TITLE, content, is_open=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.section)
        self.contrast.activated.connect(lambda index: self.contrast_chosen.emit(self.contrast.itemData(index)))
        self.layers.itemChanged.connect(self._on_item_changed)
        self.set_offer(ChannelOffer())

    def set_offer(self, offer: ChannelOffer) -> None:
        """Show what can be chosen, and what is."""
        if offer == self._offer:
            return
        self._offer = offer
        with signals_blocked(self.layers):
            if [item.key for item in offer.items] != [self._item(row).data(KEY) for row in range(self.layers.count())]:
                self.layers.clear()
                for _ in offer.items:
                    self.layers.addItem(QListWidgetItem())
            for row, item in enumerate(offer.items):
                _show(self._item(row), item, can_change=item.chosen or not offer.is_full)
        height = max(self.layers.sizeHintForRow(0), self.layers.fontMetrics().height())
        rows = min(len(offer.items), MOST_ROWS)
        self.layers.setFixedHeight(rows * height + 2 * self.layers.frameWidth() + 4)
        self.layers.setVisible(bool(offer.items))
        self.contrast.setCurrentIndex(self.contrast.findData(offer.as_shown))
        self.note.setText(offer.note)
        self.note.setVisible(bool(offer.note))
        self.section.setText(TITLE if offer.is_default else f"{TITLE} (on)")

    def _item(self, row: int) -> QListWidgetItem:
        item = self.layers.item(row)
        assert item is not None
        return item

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        self.channel_chosen.emit(item.data(KEY), item.checkState() == Qt.CheckState.Checked)


def _show(row: QListWidgetItem, item: ChannelItem, *, can_change: bool) -> None:
    """Show another image in its row."""
    flags = Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsSelectable
    row.setFlags(flags | Qt.ItemFlag.ItemIsEnabled if can_change else flags)
    row.setData(KEY, item.key)
    row.setText(item.name)
    row.setCheckState(Qt.CheckState.Checked if item.chosen else Qt.CheckState.Unchecked)
