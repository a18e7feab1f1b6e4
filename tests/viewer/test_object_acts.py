"""Objects are merged, cut, named and classed; each act can be undone."""

from __future__ import annotations

import numpy as np
import pytest
from desk import SHAPE, Desk

from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.objects import Named
from napari_sam2refiner.viewer.state import resolve


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    for place in ((15, 15), (15, 24), (40, 60)):
        desk.canvas.click(*place)
        desk.controller.commit()
    return desk


def test_merged_objects_are_one_with_the_prompts_of_both(desk: Desk) -> None:
    before = desk.canvas.labels.copy()
    desk.controller.objects.merge([2, 1])
    np.testing.assert_array_equal(desk.canvas.labels == 1, np.isin(before, (1, 2)))
    assert [(row.object_id, row.score) for row in desk.state.objects] == [(1, None), (3, pytest.approx(0.9))]
    desk.controller.objects.reopen(1)
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(((15, 15, True), (15, 24, True)))
    desk.controller.undo()
    desk.controller.undo()
    np.testing.assert_array_equal(desk.canvas.labels, before)
    assert len(desk.state.objects) == 3
    assert desk.state.redo == "merging objects 1, 2"


def test_the_chosen_object_and_the_one_under_the_mouse_are_merged_by_default(desk: Desk) -> None:
    desk.controller.objects.merge()
    assert "Point at" in desk.state.news
    desk.canvas.object_under_mouse = 3
    desk.controller.objects.merge()
    assert "Choose two" in desk.state.news
    desk.controller.objects.choose([2])
    desk.controller.objects.merge()
    assert [row.object_id for row in desk.state.objects] == [1, 2]
    assert desk.state.selected == (2,)


def test_a_line_cuts_an_object_and_the_next_click_is_a_point(desk: Desk) -> None:
    desk.controller.objects.classify("round", [1])
    desk.controller.objects.start_splitting()
    assert desk.state.cutting
    assert "line across" in resolve(desk.state).hint
    before = desk.canvas.labels.copy()
    desk.canvas.draw((15, 0), (15, 20), (15, 79))
    assert [row.object_id for row in desk.state.objects] == [1, 2, 3, 4, 5]
    assert not desk.state.cutting
    assert desk.canvas.mode == "click"
    assert desk.state.news == "Objects 1, 2 split: objects 4, 5 are new."
    assert {row.object_id: row.named.kind for row in desk.state.objects}[4] == "round", "a part is of its class"
    np.testing.assert_array_equal(desk.canvas.labels > 0, before > 0)
    desk.controller.undo()
    np.testing.assert_array_equal(desk.canvas.labels, before)
    assert set(desk.canvas.names) == {1}
    desk.controller.redo()
    assert len(desk.state.objects) == 5


def test_a_line_beside_all_objects_is_no_act(desk: Desk) -> None:
    undo = desk.state.undo
    desk.controller.objects.start_splitting()
    desk.canvas.draw((55, 0), (55, 79))
    assert "crosses no object" in desk.state.news
    assert desk.state.undo == undo


def test_splitting_is_left_by_its_key_and_by_that_of_clicks(desk: Desk) -> None:
    for leave in (desk.controller.objects.start_splitting, desk.controller.toggle_negative):
        desk.controller.objects.start_splitting()
        leave()
        assert (desk.state.cutting, desk.state.negative, desk.canvas.mode) == (False, False, "click")


def test_what_is_open_is_neither_merged_nor_cut(desk: Desk) -> None:
    desk.controller.objects.reopen(1)
    before = desk.canvas.labels.copy()
    desk.controller.objects.merge([1, 2])
    assert "Keep object 1" in desk.state.news
    desk.canvas.draw((15, 0), (15, 79))
    np.testing.assert_array_equal(desk.canvas.labels, before)
    desk.controller.objects.merge([2, 3])
    assert desk.state.reopened == 1
    assert [row.object_id for row in desk.state.objects] == [1, 2]


def test_names_and_classes_are_listed_and_undone_one_by_one(desk: Desk) -> None:
    acts = desk.controller.objects
    acts.call(2, " Anna ")
    assert desk.state.news == "Object 2: Anna."
    acts.classify("dividing", [1, 2])
    assert desk.state.news == "Objects 1, 2: dividing."
    acts.call(2, "Anna")  # it is called so: no act
    assert [row.named for row in desk.state.objects] == [Named("", "dividing"), Named("Anna", "dividing"), Named()]
    assert resolve(desk.state).kinds == ("dividing",)
    assert desk.state.undo == "class of objects 1, 2"
    desk.controller.undo()
    assert [row.named for row in desk.state.objects] == [Named(), Named("Anna"), Named()]
    desk.controller.undo()
    assert not desk.canvas.names
    desk.controller.redo()
    desk.controller.redo()
    assert desk.canvas.names == {1: Named("", "dividing"), 2: Named("Anna", "dividing")}
    acts.classify("", [1, 2])
    assert desk.state.news == "Taken away: class of objects 1, 2."
    acts.call(2, "")
    assert not desk.canvas.names


def test_the_class_given_last_is_given_to_the_object_under_the_mouse(desk: Desk) -> None:
    desk.canvas.object_under_mouse = 3
    desk.controller.objects.classify()
    assert "class below the list" in desk.state.news
    desk.controller.objects.classify("round", [1])
    desk.controller.objects.classify()
    assert set(desk.canvas.names) == {1, 3}
    desk.canvas.object_under_mouse = 0
    desk.controller.objects.choose((2,))
    desk.controller.objects.classify()
    assert set(desk.canvas.names) == {1, 2, 3}


def test_merged_objects_keep_the_first_name_and_class(desk: Desk) -> None:
    desk.controller.objects.call(2, "Ben")
    desk.controller.objects.classify("round", [3])
    desk.controller.objects.merge([1, 2, 3])
    assert desk.canvas.names == {1: Named("Ben", "round")}
    desk.controller.undo()
    assert desk.canvas.names == {2: Named("Ben"), 3: Named("", "round")}


def test_a_name_goes_with_its_object_and_comes_back_with_it(desk: Desk) -> None:
    desk.controller.objects.call(3, "Anna")
    desk.controller.objects.delete([3, 2])
    assert not desk.canvas.names
    assert desk.state.undo == "deleting objects 3, 2"
    desk.canvas.click(40, 60)
    desk.controller.commit()
    assert not desk.canvas.names, "another object has this id now"
    desk.controller.undo()
    desk.controller.undo()
    desk.controller.undo()
    assert desk.canvas.names == {3: Named("Anna")}


def test_a_name_stays_while_the_object_is_on_another_plane() -> None:
    desk = Desk((2, *SHAPE))
    desk.canvas.labels[:, 5:9, 5:9] = 4
    desk.canvas.labels_changed.emit(None)
    desk.controller.objects.call(4, "Anna")
    desk.controller.objects.delete([4])
    assert desk.canvas.names == {4: Named("Anna")}
    desk.canvas.slide(1)
    desk.controller.objects.delete([4])
    assert not desk.canvas.names


def test_names_that_somebody_else_gave_since_stay(desk: Desk) -> None:
    desk.controller.objects.call(1, "Anna")
    desk.canvas.names = {1: Named("Mine")}
    desk.canvas.names_changed.emit()
    assert desk.state.objects[0].named == Named("Mine")
    desk.controller.undo()
    assert desk.canvas.names == {1: Named("Mine")}


def test_the_lowest_score_on_any_plane_is_noted() -> None:
    desk = Desk((2, *SHAPE))
    desk.canvas.click(20, 20)
    desk.controller.commit()
    desk.canvas.slide(1)
    desk.canvas.labels[1, 10:30, 10:30] = 1
    desk.controller.objects.reopen(1)
    desk.canvas.click(40, 40)
    desk.controller.commit()
    assert desk.canvas.scores[1] == pytest.approx(0.9)
    desk.controller.undo()
    assert desk.canvas.scores[1] == pytest.approx(0.9)
    for _ in range(3):
        desk.controller.undo()
    assert desk.canvas.scores[1] is None


def test_guesses_are_named_by_their_size_and_chosen(desk: Desk) -> None:
    desk.canvas.click(45, 20)
    assert resolve(desk.state).guesses == ((0, "part 90 %"), (1, "whole 80 %"), (2, "larger 70 %"))
    small = desk.preview.sum()
    desk.controller.choose_candidate(2)
    assert resolve(desk.state).guess == 2
    assert desk.preview.sum() > small
    assert desk.state.undo == "guess 3"
    desk.controller.choose_candidate(2)  # it is shown: no act
    desk.controller.undo()
    assert desk.preview.sum() == small
    desk.canvas.click(45, 24)
    assert resolve(desk.state).guesses == ()


def test_frames_of_a_stack_are_counted_and_kept_up_to_date() -> None:
    desk = Desk((4, *SHAPE))
    desk.canvas.labels[1:, 5:9, 5:9] = 4
    desk.canvas.labels[0, 20:24, 5:9] = 2
    desk.canvas.labels_changed.emit(None)
    assert [(row.object_id, row.frames) for row in desk.state.objects] == [(2, 1)]
    desk.canvas.slide(2)
    assert [(row.object_id, row.frames) for row in desk.state.objects] == [(4, 3)]
    desk.controller.objects.delete([4])
    desk.canvas.slide(3)
    assert [row.frames for row in desk.state.objects] == [2]
    desk.controller.undo()
    assert [row.frames for row in desk.state.objects] == [3]


def test_a_plane_has_no_frames(desk: Desk) -> None:
    assert {row.frames for row in desk.state.objects} == {None}
