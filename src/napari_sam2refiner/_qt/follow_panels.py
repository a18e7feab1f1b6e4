"""The parts of the dock that follows objects: they show what they are told, and say what the user did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QRectF, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolTip,
    QWidget,
)

from napari_sam2refiner._qt.parts import ThinBar, breakable, let_shrink, make_button, wrapped

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.follower import FollowState, FrameReport

DIRECTIONS = {"both": "Both ways", "forward": "Forwards", "backward": "Backwards"}
SURE, WEAK, GIVEN, HERE = QColor(90, 170, 110), QColor(220, 110, 60), QColor(90, 130, 210), QColor(128, 128, 128)
LEAST_BAR = 0.15  # of the strip's height, so that a frame without any score can be seen and clicked


class WayPanel(QWidget):
    """Along which axis, through which frames, which way."""

    axis_chosen = Signal(object)
    frames_chosen = Signal(int, int)
    direction_chosen = Signal(str)
    early_stop_chosen = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axis = QComboBox()
        self.axis.setToolTip("What the frames follow each other on; the other sliders stay where they are")
        self.direction = QComboBox()
        self.direction.setToolTip("Which way from the frame that is shown")
        for value, text in DIRECTIONS.items():
            self.direction.addItem(text, value)
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setToolTip("The first frame to go to")
        self.last.setToolTip("The last frame to go to")
        for box in (self.axis, self.direction):
            let_shrink(box)
        row = QHBoxLayout()
        row.addWidget(self.first, 1)
        row.addWidget(QLabel("to"))
        row.addWidget(self.last, 1)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Along", self.axis)
        form.addRow("Frames", row)
        form.addRow("Way", self.direction)
        self.early_stop = QCheckBox("Stop objects that are in doubt")
        self.early_stop.setToolTip(
            "From the first frame on where an object goes, falls apart, jumps in size or scores low, it is not followed"
        )
        form.addRow(self.early_stop)
        self.axis.activated.connect(lambda index: self.axis_chosen.emit(self.axis.itemData(index)))
        self.direction.activated.connect(lambda index: self.direction_chosen.emit(self.direction.itemData(index)))
        self.early_stop.clicked.connect(self.early_stop_chosen)
        for frames in (self.first, self.last):
            frames.setKeyboardTracking(False)  # else 120 would be 1 and 12 before
            frames.valueChanged.connect(self._on_frames_edited)

    def set_state(self, state: FollowState) -> None:
        """Show what can be chosen and what is."""
        self.setEnabled(not state.running)
        if [self.axis.itemData(row) for row in range(self.axis.count())] != list(state.axes):
            self.axis.clear()
            for axis in state.axes:
                self.axis.addItem(f"{axis.name} ({axis.size} frames)", axis)
        self.axis.setCurrentIndex(self.axis.findData(state.axis))
        self.direction.setCurrentIndex(self.direction.findData(state.direction))
        self.early_stop.setChecked(state.early_stop)
        most = 0 if state.axis is None else state.axis.size - 1
        with QSignalBlocker(self.first), QSignalBlocker(self.last):
            for box, value in ((self.first, state.first), (self.last, state.last)):
                box.setRange(0, most)
                if box.value() != value:  # what is being typed stays
                    box.setValue(value)

    def finish_typing(self) -> None:
        """Take what was typed: a click on a button does not end it."""
        for box in (self.first, self.last):
            box.interpretText()

    def _on_frames_edited(self) -> None:
        self.frames_chosen.emit(self.first.value(), self.last.value())


class FollowPanel(QWidget):
    """The run, how it goes, and taking it back."""

    follow_asked = Signal()
    cancel_asked = Signal()
    undo_asked = Signal()
    redo_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.follow = make_button(
            "Follow", "Follow every object that is labelled on this frame to the others; corrected ones go on from here"
        )
        self.cancel = make_button("Cancel", "Stop; the frames that are done stay")
        self.undo = make_button("Undo", "Take back what was written, on all frames")
        self.redo = make_button("Redo", "Write it again")
        self.bar = ThinBar()
        self.status = wrapped()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column in (0, 1):
            grid.setColumnStretch(column, 1)
        for place, button in enumerate((self.follow, self.cancel, self.undo, self.redo)):
            grid.addWidget(button, place // 2, place % 2)
        grid.addWidget(self.bar, 2, 0, 1, 2)
        grid.addWidget(self.status, 3, 0, 1, 2)
        self.follow.clicked.connect(self.follow_asked)
        self.cancel.clicked.connect(self.cancel_asked)
        self.undo.clicked.connect(self.undo_asked)
        self.redo.clicked.connect(self.redo_asked)

    def set_state(self, state: FollowState) -> None:
        """Show what happens and what can be done."""
        self.follow.setEnabled(state.can_follow)
        self.cancel.setEnabled(state.running)
        self.undo.setEnabled(bool(state.next_undo) and not state.running)
        self.redo.setEnabled(bool(state.next_redo) and not state.running)
        self.bar.setVisible(state.running or state.loading)
        self.bar.set_share(state.share)
        self.status.setText(breakable(state.status))


class ConfidenceStrip(QWidget):
    """A bar for each frame, as high as its lowest score; those worth a look stand out. A click asks for the frame."""

    frame_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reports: dict[int, FrameReport] = {}
        self._frames = 0
        self._here: int | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        """Return the size it likes."""
        return QSize(200, 44)

    def set_reports(self, reports: dict[int, FrameReport], frames: int) -> None:
        """Show how sure the model is of each of so many frames."""
        if (reports, frames) != (self._reports, self._frames):
            self._reports, self._frames = reports, frames
            self.update()

    def set_here(self, frame: int | None) -> None:
        """Mark the frame that is shown."""
        if frame != self._here:
            self._here = frame
            self.update()

    def frame_at(self, x: float) -> int:
        """Return the frame under a place of the strip."""
        return min(max(int(x * self._frames / max(self.width(), 1)), 0), max(self._frames - 1, 0))

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002
        """Draw the bars."""
        painter = QPainter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        width, height = self.width() / max(self._frames, 1), self.height()
        ground = self.palette().mid().color()
        ground.setAlpha(60)
        painter.fillRect(self.rect(), ground)
        if self._here is not None:
            painter.fillRect(QRectF(self._here * width, 0, max(width, 2.0), height), HERE)
        gap = 1.0 if width >= 4 else 0.0
        # Weak ones last: where several frames share a pixel, these are seen.
        for frame, report in sorted(self._reports.items(), key=lambda item: bool(item[1].weak)):
            high = height * max(LEAST_BAR, min(1.0, report.score))
            bar = QRectF(frame * width, height - high, max(width - gap, 1.0), high)
            painter.fillRect(bar, GIVEN if report.is_given else WEAK if report.weak else SURE)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Ask for the frame under the pointer."""
        if event is not None and self._frames:
            self.frame_chosen.emit(self.frame_at(event.position().x()))

    def event(self, event: QEvent | None) -> bool:
        """Say what is known of the frame under the pointer."""
        if isinstance(event, QHelpEvent) and self._frames:
            frame = self.frame_at(event.pos().x())
            report = self._reports.get(frame)
            known = "not followed to" if report is None else report.words
            QToolTip.showText(event.globalPos(), f"Frame {frame}: {known}", self)
            return True
        return super().event(event)


class LookPanel(QWidget):
    """How sure the model is, frame by frame, and the ways to the frames that are worth a look."""

    frame_chosen = Signal(int)
    weak_asked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.strip = ConfidenceStrip()
        self.before = make_button("◀ Weak", key="last_weak", names_key=False)
        self.after = make_button("Weak ▶", key="next_weak", names_key=False)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.strip, 0, 0, 1, 2)
        grid.addWidget(self.before, 1, 0)
        grid.addWidget(self.after, 1, 1)
        self.strip.frame_chosen.connect(self.frame_chosen)
        self.before.clicked.connect(lambda: self.weak_asked.emit(-1))
        self.after.clicked.connect(lambda: self.weak_asked.emit(1))

    def set_state(self, state: FollowState) -> None:
        """Show the frames; nothing before there are some."""
        self.setVisible(bool(state.reports))
        self.strip.set_reports(state.reports, 0 if state.axis is None else state.axis.size)
        for button in (self.before, self.after):
            button.setEnabled(bool(state.weak_frames))
