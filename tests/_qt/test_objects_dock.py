"""Objects in a real viewer: merged, cut, named, classed and gone through, by mouse and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes import RADII, disc
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit

from napari_sam2refiner._qt.guess_panel import GuessPanel
from napari_sam2refiner.sessions.base import Candidate, Prediction
from napari_sam2refiner.viewer.guesses import Guesses
from napari_sam2refiner.viewer.objects import Named

if TYPE_CHECKING:
    from bench import Bench

SHAPE = (60, 80)
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def user(bench: Any) -> Bench:
    """Return a user who has kept three objects, two of which touch."""
    user = bench(layer={})
    for n, place in enumerate(((15, 15), (15, 26), (45, 60))):
        user.click(*place)
        user.press("K")
        wait_for(user, n + 1)
    return user


def wait_for(user: Bench, rows: int) -> None:
    user.wait(lambda: len(user.dock.state.objects) == rows and user.is_idle())


def cell(user: Bench, row: int, column: int) -> QPoint:
    """Return where a cell of the table is, scrolled to."""
    table = user.dock.objects.table
    index = table.model().index(row, column)
    table.scrollTo(index)
    return table.visualRect(index).center()


def click_row(user: Bench, row: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    viewport = user.dock.objects.table.viewport()
    user.qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, modifier, cell(user, row, 3))


def point_at(user: Bench, object_id: int, *world: float) -> None:
    """Move the mouse onto an object; a view that was just moved may take its time."""

    def is_there() -> bool:
        user.hover(*world)
        return user.dock.controller._work.canvas.object_under_mouse == object_id

    user.wait(is_there)


def text(user: Bench, row: int, column: int) -> str:
    return str(user.dock.objects.table.model().index(row, column).data())


def test_the_colour_of_an_object_is_the_same_in_a_chosen_row(user: Bench) -> None:
    table = user.dock.objects.table
    user.wait(user.is_idle)

    def swatch() -> str:
        area = table.visualRect(table.model().index(0, 0))
        return table.viewport().grab().toImage().pixelColor(area.left() + 10, area.center().y()).name()

    before = swatch()
    assert before == QColor.fromRgbF(*user.dock.state.objects[0].color[:3]).name()
    click_row(user, 0)
    assert table.selected == (1,)
    assert swatch() == before


def test_rows_chosen_with_ctrl_are_merged_by_the_button(user: Bench) -> None:
    before = user.result().copy()
    click_row(user, 0)
    assert not user.dock.objects.merge.isEnabled()
    click_row(user, 1, Qt.KeyboardModifier.ControlModifier)
    user.dock.objects.merge.click()
    wait_for(user, 2)
    np.testing.assert_array_equal(user.result() == 1, np.isin(before, (1, 2)))
    user.press("U")
    np.testing.assert_array_equal(user.result(), before)


def test_the_chosen_object_is_merged_with_the_one_under_the_mouse(user: Bench) -> None:
    click_row(user, 0)
    user.wait(user.is_idle)
    point_at(user, 2, 15, 28)
    user.press("M", SHIFT)
    wait_for(user, 2)
    assert set(np.unique(user.result())) == {0, 1, 3}


def test_a_drawn_line_cuts_an_object(user: Bench) -> None:
    user.press("X", SHIFT)
    assert user.dock.objects.split.isChecked()
    assert user.viewer.layers.selection.active.name == "cut"
    center = tuple(getattr(user.viewer, "scene", user.viewer).camera.center)
    before = user.result().copy()
    user.drag((45, 50), (45, 70))
    wait_for(user, 4)
    assert center == tuple(getattr(user.viewer, "scene", user.viewer).camera.center), "a drag draws, it does not pan"
    assert "cut" not in user.viewer.layers
    assert user.viewer.layers.selection.active.name == "prompts"
    assert not user.dock.objects.split.isChecked()
    np.testing.assert_array_equal(user.result() > 0, before > 0)
    assert {int(user.result()[42, 60]), int(user.result()[48, 60])} == {3, 4}
    user.click(30, 40)
    user.press("U")
    user.press("U")
    np.testing.assert_array_equal(user.result(), before)


@pytest.mark.parametrize("layer", [{"scale": (3, 3), "translate": (10, 5)}, {"rotate": 45}])
def test_an_object_of_a_moved_image_is_cut_where_the_line_was(bench: Any, layer: dict[str, Any]) -> None:
    user = bench(layer=layer)
    image = user.viewer.layers["cells"]
    user.viewer.reset_view()
    user.click(*image.data_to_world((30, 40)))
    user.press("K")
    wait_for(user, 1)
    user.dock.objects.split.click()
    user.drag(tuple(image.data_to_world((20, 40))), tuple(image.data_to_world((40, 40))))
    wait_for(user, 2)
    assert {int(user.result()[30, 36]), int(user.result()[30, 44])} == {1, 2}
    columns = [np.nonzero(user.result() == n)[1].mean() for n in (1, 2)]
    assert sorted(columns) == pytest.approx([37, 43], abs=1.5)


def test_cutting_is_left_without_a_line_and_with_the_image(user: Bench) -> None:
    user.dock.objects.split.click()
    user.press("N")
    assert "cut" not in user.viewer.layers
    assert not user.dock.state.negative
    user.dock.objects.split.click()
    user.viewer.add_image(np.zeros((20, 20)), name="other")
    user.choose("other")
    assert "cut" not in user.viewer.layers


def test_a_name_is_typed_into_the_table(user: Bench) -> None:
    table = user.dock.objects.table
    viewport = table.viewport()
    user.qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=cell(user, 1, 1))
    user.qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=cell(user, 1, 1))
    assert user.dock.state.reopened == 0, "that is for the other columns"
    (editor,) = viewport.findChildren(QLineEdit)
    user.qtbot.keyClicks(editor, "Anna")
    user.qtbot.keyClick(editor, Qt.Key.Key_Return)
    user.wait(lambda: text(user, 1, 1) == "Anna")
    features = user.viewer.layers["cells objects"].features
    assert features.set_index("index").loc[2, "name"] == "Anna"
    user.press("U")
    user.wait(lambda: text(user, 1, 1) == "")
    user.qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=cell(user, 1, 3))
    user.qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=cell(user, 1, 3))
    assert user.dock.state.reopened == 2


def test_a_class_is_set_for_chosen_rows_chosen_in_the_table_and_given_again_by_its_key(user: Bench) -> None:
    panel = user.dock.objects
    table = panel.table
    click_row(user, 0)
    click_row(user, 1, Qt.KeyboardModifier.ControlModifier)
    user.qtbot.keyClicks(panel.kind.lineEdit(), "round")
    panel.classify.click()
    user.wait(lambda: text(user, 0, 2) == text(user, 1, 2) == "round")
    assert table.selected == (1, 2), "they stay chosen"
    user.wait(lambda: panel.kind.count() == 1)
    point_at(user, 3, 45, 60)
    user.press("C", SHIFT)
    user.wait(lambda: text(user, 2, 2) == "round")
    table.edit(table.model().index(0, 2))
    (editor,) = table.viewport().findChildren(QComboBox)
    assert [editor.itemText(n) for n in range(editor.count())] == ["round"]
    editor.setEditText("dividing")
    user.qtbot.keyClick(editor, Qt.Key.Key_Return)
    user.wait(lambda: text(user, 0, 2) == "dividing")
    assert user.dock.controller._work.canvas.names[1] == Named("", "dividing")
    for _ in range(3):
        user.press("U")
    user.wait(lambda: [text(user, row, 2) for row in range(3)] == ["", "", ""])


def test_classes_show_under_the_mouse_and_edits_of_the_layer_count(user: Bench) -> None:
    user.dock.controller.objects.classify("round", [1])
    layer = user.viewer.layers["cells objects"]
    assert "class: round" in str(layer.get_status((15, 15), world=True))
    features = layer.features.copy()
    features["marker"] = [0.5] * len(features)
    features.loc[features["index"] == 1, "class"] = "flat"
    layer.features = features
    user.wait(lambda: text(user, 0, 2) == "flat")
    user.dock.controller.objects.call(2, "Ben")
    assert layer.features["marker"].tolist() == [0.5] * 3, "columns of others stay"
    assert layer.features.set_index("index").loc[1, "class"] == "flat"


def test_a_key_goes_through_the_table_in_its_order(bench: Any) -> None:
    user = bench(layer={})
    user.click(15, 15)
    user.press("K")
    user.click(15, 40)
    user.press("G")
    user.press("G")
    user.press("K")
    user.click(45, 60)
    user.press("G")
    user.press("K")
    wait_for(user, 3)
    camera = getattr(user.viewer, "scene", user.viewer).camera
    user.dock.objects.table.sortByColumn(5, Qt.SortOrder.AscendingOrder)
    visited = []
    for key in "NNNNB":
        user.press(key, SHIFT)
        visited.append(user.dock.state.selected)
    assert visited == [(2,), (3,), (1,), (2,), (1,)], "the doubtful first; after the last comes the first"
    assert camera.center[-2:] == pytest.approx((15, 15), abs=1.5)


def test_guesses_are_offered_with_their_scores_and_clicked(bench: Any) -> None:
    user = bench(layer={})
    panel = user.dock.guesses
    assert not panel.isVisible()
    user.click(30, 40)
    user.wait(panel.isVisible)
    assert [button.text() for button in panel.buttons] == ["Part 90 %", "Whole 80 %", "Larger 70 %"]
    y, x = user.viewer.layers["prompts"].data[0]
    panel.buttons[1].click()
    np.testing.assert_array_equal(user.preview, disc(SHAPE, y, x, RADII[1]))
    assert [button.isChecked() for button in panel.buttons] == [False, True, False]
    panel.buttons[1].click()
    assert panel.buttons[1].isChecked()
    user.press("G")
    assert panel.buttons[2].isChecked()
    user.press("K")
    assert not panel.isVisible()


def test_frames_are_counted_for_stacks_alone(bench: Any) -> None:
    user = bench(np.zeros((4, *SHAPE)))
    user.viewer.dims.set_point(0, 0)
    table = user.dock.objects.table
    assert table.isColumnHidden(4), "nothing is on any frame yet"
    user.click(30, 40)
    user.press("K")
    user.wait(lambda: table.model().rowCount() == 1 and text(user, 0, 4) == "1")
    assert not table.isColumnHidden(4)
    layer = user.viewer.layers["cells objects"]
    layer.data[2] = layer.data[0]
    layer.data = layer.data
    user.wait(lambda: text(user, 0, 4) == "2")
    user.viewer.add_image(np.zeros(SHAPE), name="flat")
    user.choose("flat")
    user.click(30, 40)
    user.press("K")
    user.wait(lambda: table.model().rowCount() == 1 and text(user, 0, 4) == "")
    assert table.isColumnHidden(4)


def test_strokes_between_acts_stay_where_they_are_through_undo_and_redo(user: Bench) -> None:
    layer = user.viewer.layers["cells objects"]
    layer.brush_size = 3
    layer.paint((15, 15), 9)
    user.dock.controller.objects.merge([1, 2])
    layer.paint((15, 30), 11)
    end = user.result().copy()
    for _ in range(7):
        user.press("U")
    assert sorted(np.unique(user.result())) == [0, 9, 11]
    for _ in range(7):
        user.press("U", SHIFT)
    np.testing.assert_array_equal(user.result(), end)


def test_names_are_there_again_after_the_window_was_closed(bench: Any) -> None:
    first = bench(layer={})
    first.click(30, 40)
    first.press("K")
    first.dock.controller.objects.call(1, "Anna")
    first.close()
    first.viewer.layers.clear()
    first.viewer.add_image(np.zeros(SHAPE), name="cells")
    second = bench(viewer=first.viewer)
    second.wait(second.dock.earlier.isVisible)
    second.dock.earlier.bring_back.click()
    second.wait(lambda: [row.named for row in second.dock.state.objects] == [Named("Anna")])
    second.press("U")
    assert len(second.viewer.layers["cells objects"].features) == 0
    QApplication.processEvents()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_guesses_do_not_widen_the_dock(qtbot: Any, count: int) -> None:
    panel = GuessPanel()
    qtbot.addWidget(panel)
    masks = [np.arange(60 * 80).reshape(SHAPE) < 200 * n for n in range(1, count + 1)]
    candidates = tuple(Candidate(mask, np.where(mask, 1, -1).astype(np.float32), 1.0) for mask in masks)
    guesses = Guesses().of(Prediction(masks[0], candidates[0].logits, 1.0, candidates))
    panel.set_guesses([(n, guess.text) for n, guess in enumerate(guesses)], 0)
    panel.show()
    assert len(panel.buttons) == count
    assert panel.minimumSizeHint().width() <= 290, "what 320 pixels leave, of which the bar takes some"
    names = "".join(guess.name for guess in guesses)
    assert names.isalpha(), "numbers are for the order in which they are shown"
