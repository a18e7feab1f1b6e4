from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_sam2refiner._qt.object_panel import ObjectPanel
from napari_sam2refiner._qt.panels import PromptPanel, SourcePanel, StatusPanel
from napari_sam2refiner._qt.parts import Scrolled
from napari_sam2refiner._qt.tidy_panel import TidyPanel
from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer.objects import ObjectRow
from napari_sam2refiner.viewer.state import DockState, ModelChoice, resolve

MODELS = (
    ModelChoice("micro", 25_000_000, True),
    ModelChoice("sam2.1_hiera_tiny", 156_000_000, False, "SAM 2.1, refiner untrained: plain SAM 2.1"),
)
BUSY = DockState(image="cells", model="micro", positives=1, candidates=3, pixels=10, score=0.9, undo="positive point")


def test_buttons_follow_the_snapshot(qtbot: Any) -> None:
    panel = PromptPanel()
    qtbot.addWidget(panel)
    panel.set_snapshot(resolve(BUSY))
    assert panel.keep.isEnabled()
    assert panel.guess.text() == "Guess 1 of 3 (G)"
    assert panel.undo.isEnabled()
    assert panel.undo.toolTip() == "positive point [U]"
    assert not panel.redo.isEnabled()
    panel.set_snapshot(resolve(DockState()))
    assert not panel.keep.isEnabled()
    assert not panel.positive.isEnabled()


@pytest.mark.parametrize(
    ("button", "signal"),
    [
        ("box", "box_chosen"),
        ("guess", "guess_asked"),
        ("keep", "keep_asked"),
        ("undo", "undo_asked"),
        ("clear", "clear_asked"),
        ("negative", "polarity_chosen"),
    ],
)
def test_buttons_say_what_the_user_did(qtbot: Any, button: str, signal: str) -> None:
    panel = PromptPanel()
    qtbot.addWidget(panel)
    panel.set_snapshot(resolve(BUSY))
    with qtbot.waitSignal(getattr(panel, signal)):
        getattr(panel, button).click()


def test_models_are_listed_with_size_place_and_note(qtbot: Any) -> None:
    panel = SourcePanel()
    qtbot.addWidget(panel)
    panel.set_models(MODELS, "micro")
    box = panel._model
    assert box.currentText() == "micro (25 MB, on disk)"
    assert box.itemText(1) == "sam2.1_hiera_tiny (156 MB, download)"
    with qtbot.waitSignal(panel.model_chosen) as chosen:
        box.activated.emit(1)
    assert chosen.args == ["sam2.1_hiera_tiny"]
    with qtbot.waitSignal(panel.file_asked):
        box.activated.emit(2)


def test_everything_fits_320_pixels(qtbot: Any) -> None:
    for panel in (SourcePanel(), PromptPanel(), StatusPanel(), TidyPanel()):
        qtbot.addWidget(panel)
        assert panel.minimumSizeHint().width() <= 320 - 30, type(panel).__name__


def test_a_long_path_does_not_widen_the_dock(qtbot: Any) -> None:
    panel = StatusPanel()
    qtbot.addWidget(panel)
    panel.set_snapshot(resolve(DockState(image="cells", news=f"/home/{'someone' * 30}/weights.pt is truncated.")))
    assert panel.minimumSizeHint().width() <= 320 - 30
    assert panel.status.text().replace("\u200b", "").endswith("/weights.pt is truncated.")


def test_refining_with_micro_is_offered_where_it_is_a_question(qtbot: Any) -> None:
    panel = SourcePanel()
    qtbot.addWidget(panel)
    box = panel._borrowing
    panel.set_borrowing(None)
    assert box.isHidden()
    panel.set_borrowing(False)
    assert not box.isHidden()
    assert not box.isChecked()
    with qtbot.waitSignal(panel.borrowing_chosen) as chosen:
        box.click()
    assert chosen.args == [True]


def test_objects_are_sorted_and_the_chosen_one_stays(qtbot: Any) -> None:
    panel = ObjectPanel()
    qtbot.addWidget(panel)
    red = (1.0, 0.0, 0.0, 1.0)
    rows = (ObjectRow(1, red, 50, 0.9), ObjectRow(2, red, 1200, 0.6), ObjectRow(7, red, 9, None))
    panel.set_objects(rows, "Objects: 3", can_change=True)
    table = panel.table
    assert panel._section.text() == "Objects: 3"
    table.sortByColumn(5, Qt.SortOrder.AscendingOrder)
    cells = [[table.model().index(row, column).data() for column in (0, 3, 5)] for row in range(3)]
    assert cells == [["2", "1,200", "60 %"], ["1", "50", "90 %"], ["7", "9", ""]], "doubtful ones first"
    with qtbot.waitSignal(panel.object_chosen) as chosen:
        table.selectRow(0)
    assert chosen.args == [2]
    with qtbot.assertNotEmitted(panel.object_chosen):
        panel.set_objects(rows[1:], "Objects: 2", can_change=True)
    with qtbot.waitSignal(panel.delete_asked) as asked:
        panel.delete.click()
    assert asked.args == [(2,)]
    panel.set_objects(rows[2:], "Objects: 1", can_change=True)
    assert not panel.reopen.isEnabled()
    panel.set_objects(rows, "Objects: 3", can_change=False)
    table.selectRow(1)
    assert not panel.delete.isEnabled()


def test_several_chosen_objects_stay_chosen_in_another_order(qtbot: Any) -> None:
    panel, red = ObjectPanel(), (1.0, 0.0, 0.0, 1.0)
    qtbot.addWidget(panel)
    rows = tuple(ObjectRow(n, red, 100 - (n * 7) % 10, None) for n in range(1, 10))
    panel.set_objects(rows, "Objects: 9", can_change=True)
    table = panel.table
    table.selectAll()
    assert table.selected == tuple(range(1, 10))
    table.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    assert [table.model().index(n, 3).data() for n in range(3)] == ["99", "98", "97"]
    assert set(table.selected) == set(range(1, 10))
    left = tuple(row for row in rows if row.object_id != 5)
    with qtbot.assertNotEmitted(panel.objects_selected), qtbot.assertNotEmitted(panel.object_chosen):
        panel.set_objects(left, "Objects: 8", can_change=True)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert table.selected == (1, 2, 3, 4, 6, 7, 8, 9)
    panel.set_objects((), "Objects: none", can_change=True)
    assert table.selected == ()
    assert table.chosen is None


def test_tidying_is_said_as_it_is_chosen(qtbot: Any) -> None:
    panel = TidyPanel()
    qtbot.addWidget(panel)
    assert not panel.tidying
    with qtbot.waitSignal(panel.chosen) as chosen:
        panel.smooth.setValue(1.5)
    assert chosen.args == [Tidying(smooth=1.5)]
    panel.fill_holes.click()
    with qtbot.waitSignal(panel.chosen) as chosen:
        panel.specks.setValue(30)
    assert chosen.args == [Tidying(1.5, True, 30)]
    assert panel._section.text().endswith("(on)")


def test_the_rule_where_objects_overlap_is_with_what_tidies(qtbot: Any) -> None:
    panel = TidyPanel()
    qtbot.addWidget(panel)
    assert panel._section.text() == "Tidy masks and overlap"
    assert not panel.overlap.isVisibleTo(panel), "not needed for the first click"
    with qtbot.assertNotEmitted(panel.overlap_chosen):
        panel.set_overlap("overwrite")
    assert panel.overlap.currentText() == "New object wins"
    with qtbot.waitSignal(panel.overlap_chosen) as chosen:
        panel.overlap.activated.emit(0)
    assert chosen.args == ["keep"]
    with qtbot.assertNotEmitted(panel.overlap_chosen):
        panel.smooth.setValue(1)


def test_the_wheel_scrolls_and_chooses_nothing(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = TidyPanel()
    scrolled = Scrolled(panel)
    qtbot.addWidget(scrolled)
    scrolled.show()
    place = QPointF(3, 3)
    event = QWheelEvent(
        place,
        place,
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(panel.specks, event)
    assert panel.specks.value() == 0
    monkeypatch.setattr(panel.specks, "hasFocus", lambda: True)  # windows get none without a window manager
    QApplication.sendEvent(panel.specks, event)
    assert panel.specks.value() == 1
