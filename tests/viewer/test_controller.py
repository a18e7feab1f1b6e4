"""The controller against a session that paints discs and a canvas without napari."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

import numpy as np
import pytest
from desk import MODELS, SHAPE, Desk
from fakes import RADII, FakeCanvas, FakeSession, disc

from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer import controller
from napari_sam2refiner.viewer.marks import Marks, Region
from napari_sam2refiner.viewer.segmenter import Job, Outcome, perform
from napari_sam2refiner.viewer.state import resolve


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_click_gives_a_preview(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[0]))
    assert desk.state.score == pytest.approx(0.9)
    assert desk.state.candidates == 3
    assert desk.state.undo == "positive point"


def test_second_click_corrects_the_first_answer(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.toggle_negative()
    desk.canvas.click(30, 45)
    (_, _, none), (_, prompts, previous) = desk.predictions
    assert none is None
    assert prompts.labels.tolist() == [True, False]
    np.testing.assert_array_equal(previous.mask, disc(SHAPE, 30, 40, RADII[0]))
    assert not desk.preview[30, 45]


def test_negative_click_alone_asks_for_nothing(desk: Desk) -> None:
    desk.controller.set_negative(True)
    desk.canvas.click(30, 40)
    assert desk.predictions == []
    assert "positive" in resolve(desk.state).hint


def test_chosen_guess_is_what_the_next_click_corrects(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.next_candidate()
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[1]))
    assert desk.state.candidate == 1
    assert desk.state.score == pytest.approx(0.8)
    assert len(desk.predictions) == 1, "the guesses are there already"
    desk.canvas.click(30, 45)
    assert desk.predictions[-1][2].memo == ("memo", RADII[1])


def test_masks_are_shown_and_kept_tidied(desk: Desk) -> None:
    desk.canvas.change(Marks(((30, 40, True),), (Region("rectangle", ((5, 5), (5, 8), (8, 8), (8, 5))),)))
    speck = desk.preview.sum()
    asked = len(desk.predictions)
    desk.controller.set_tidying(Tidying(specks=20))
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[1]))
    assert desk.state.pixels == desk.preview.sum() == speck - 9
    assert len(desk.predictions) == asked
    desk.controller.commit()
    np.testing.assert_array_equal(desk.canvas.labels > 0, disc(SHAPE, 30, 40, RADII[1]))
    desk.controller.set_tidying(Tidying())
    desk.controller.undo()
    assert desk.preview.sum() == speck


def half(y: int, x: int) -> Any:
    """What is seen of a disc at a first look."""
    return disc(SHAPE, y, x, RADII[0]) & (np.arange(SHAPE[0])[:, None] < y)


def test_a_first_look_is_shown_until_the_last_is_there() -> None:
    desk = Desk(looks_twice=True)
    seen: list[Any] = []
    desk.meanwhile = lambda: seen.append((desk.preview.copy(), resolve(desk.state)))
    desk.canvas.click(30, 40)
    np.testing.assert_array_equal(seen[0][0], half(30, 40))
    assert seen[0][1].status == "Looking closer ..."
    assert seen[0][1].busy
    assert seen[0][1].can_keep
    assert not seen[0][1].can_cycle
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[0]))
    assert not resolve(desk.state).busy


class Beside(Desk):
    """Asks the model in a thread; its answer is dealt with when told, as by a window that is busy with a click."""

    def submit(self, job: Job, done: Callable[[Outcome], None]) -> None:
        if job.kind != "answer":
            super().submit(job, done)
            return
        thread = Thread(target=lambda: self.waiting.append((job, partial(done, perform(job)))))
        self.end = thread.join
        thread.start()


def test_what_is_there_at_once_is_shown_with_the_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "AT_ONCE", 10.0)
    desk = Beside(looks_twice=True)
    desk.canvas.click(30, 40)
    np.testing.assert_array_equal(desk.preview, half(30, 40))
    assert desk.state.answering
    desk.end()
    [(_, answer)] = desk.waiting
    answer()
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[0]))
    assert not desk.state.answering


def test_what_is_kept_between_looks_is_the_last() -> None:
    desk = Desk(looks_twice=True)
    desk.meanwhile = desk.controller.commit
    desk.canvas.click(30, 40)
    np.testing.assert_array_equal(desk.canvas.labels == 1, disc(SHAPE, 30, 40, RADII[0]))
    assert desk.state.undo == "object 1"
    assert desk.state.positives == 0


def test_a_click_between_looks_ends_the_second_and_is_not_kept() -> None:
    desk = Desk(looks_twice=True)

    def go_on() -> None:
        desk.meanwhile = lambda: None
        desk.controller.commit()
        desk.canvas.click(30, 60)

    desk.meanwhile = go_on
    desk.canvas.click(30, 40)
    assert not desk.canvas.labels.any()
    assert desk.state.positives == 2
    assert desk.predictions[-1][2] is None, "the first look was no answer to go on from"
    assert desk.preview[30, 60]


def test_guesses_go_round(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    for _ in range(3):
        desk.controller.next_candidate()
    assert desk.state.candidate == 0


def test_the_chosen_guess_stays_chosen_when_asked_again(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.next_candidate()
    desk.controller.choose_model("tiny")
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[1]))
    assert resolve(desk.state).cycle.startswith("Guess 2 of 3")
    desk.canvas.click(30, 45)
    assert desk.predictions[-1][2].memo == ("memo", RADII[1])


def test_a_guess_that_the_new_model_has_not_becomes_its_last(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.canvas.click(30, 40)
    desk.controller.next_candidate()
    desk.controller.next_candidate()
    monkeypatch.setattr("fakes.RADII", RADII[:2])
    desk.controller.choose_model("tiny")
    assert resolve(desk.state).cycle.startswith("Guess 2 of 2")
    desk.controller.next_candidate()
    assert resolve(desk.state).cycle.startswith("Guess 1 of 2")


def test_commit_undo_redo(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    mask = disc(SHAPE, 30, 40, RADII[0])
    desk.controller.commit()
    np.testing.assert_array_equal(desk.canvas.labels, mask.astype(np.uint32))
    assert desk.preview is None
    assert not desk.canvas.read_marks(desk.canvas.plane)
    assert desk.state.next_id == 2
    desk.controller.undo()
    assert not desk.canvas.labels.any()
    np.testing.assert_array_equal(desk.preview, mask)
    assert desk.state.positives == 1
    desk.controller.undo()
    assert desk.preview is None
    desk.controller.redo()
    desk.controller.redo()
    np.testing.assert_array_equal(desk.canvas.labels, mask.astype(np.uint32))
    assert len(desk.predictions) == 1, "what was answered once is not asked again"


def test_every_act_is_undoable(desk: Desk) -> None:
    canvas, plane = desk.canvas, desk.canvas.plane
    box = Region("rectangle", ((5, 5), (5, 15), (15, 15), (15, 5)))
    canvas.click(30, 40)
    seen = [canvas.marks[plane]]
    for marks in (
        Marks(((31, 41, True),)),  # moved
        Marks(((31, 41, True),), (box,)),
        Marks((), (box,)),  # deleted
    ):
        canvas.change(marks)
        seen.append(marks)
    desk.controller.clear()
    names = []
    for marks in reversed(seen):
        names.append(desk.state.undo)
        desk.controller.undo()
        assert canvas.marks[plane] == marks
    assert names == ["clearing", "deleting a point", "box", "moving a point"]
    desk.controller.undo()
    assert not canvas.marks[plane]
    for marks in seen:
        desk.controller.redo()
        assert canvas.marks[plane] == marks


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"obstacle": "Switch to the 2D view."}, "2D view"),
        ({"answering": True, "candidates": 0}, "on its way"),
        ({"pixels": 0}, "the mask is empty"),
    ],
)
def test_keys_do_no_more_than_the_buttons_and_say_why(desk: Desk, state: dict[str, Any], words: str) -> None:
    desk.canvas.click(30, 40)
    for name, value in state.items():
        setattr(desk.state, name, value)
    if "pixels" not in state:
        desk.controller.next_candidate()
        assert desk.state.candidate == 0
    desk.controller.commit()
    assert words in desk.state.news
    assert not desk.canvas.labels.any()


def test_nothing_to_keep_says_so(desk: Desk) -> None:
    desk.controller.commit()
    assert desk.state.news == "There is nothing to keep yet."


def test_what_cannot_be_written_is_one_sentence(desk: Desk) -> None:
    desk.canvas.labels = np.full(SHAPE, 255, np.uint8)
    desk.canvas.click(30, 40)
    desk.controller.commit()
    (error,) = desk.errors
    assert error.startswith("The object cannot be written: object id 256")
    assert error.endswith("larger dtype.")
    assert desk.preview is not None


def test_from_boxes_back_to_clicks_that_say_what_they_said(desk: Desk) -> None:
    desk.controller.start_boxing()
    desk.controller.toggle_negative()
    assert (desk.canvas.mode, desk.state.negative) == ("click", False)
    desk.controller.toggle_negative()
    assert (desk.canvas.mode, desk.state.negative) == ("click", True)
    desk.controller.start_boxing()
    desk.canvas.change(Marks(regions=(Region("rectangle", ((5, 5), (5, 15), (15, 15), (15, 5))),)))
    desk.controller.commit()
    assert (desk.canvas.mode, desk.state.negative) == ("click", False)


def test_moving_a_prompt_starts_afresh(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.canvas.change(Marks(((31, 41, True),)))
    assert desk.predictions[-1][2] is None


def test_strokes_painted_after_a_commit_survive_its_undo(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.commit()
    desk.canvas.labels[30, 40] = 9
    desk.controller.undo()
    assert np.flatnonzero(desk.canvas.labels).size == 1
    assert desk.canvas.labels[30, 40] == 9


def test_a_mask_that_is_wholly_covered_is_not_lost(desk: Desk) -> None:
    desk.canvas.labels[:] = 3
    desk.canvas.click(30, 40)
    desk.controller.commit()
    assert (desk.canvas.labels == 3).all()
    assert "(see Tidy masks and overlap)" in desk.state.news
    assert desk.preview is not None
    desk.controller.set_overlap("overwrite")
    desk.controller.commit()
    assert desk.canvas.labels[30, 40] == 4


@pytest.mark.parametrize("act", ["click", "slide", "undo", "clear", "model", "image", "close"])
def test_what_nobody_waits_for_is_not_answered(act: str) -> None:
    desk = Desk((4, *SHAPE), at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.canvas.click(30, 40)
    {
        "click": lambda: desk.canvas.click(10, 10),
        "slide": lambda: desk.canvas.slide(1),
        "undo": desk.controller.undo,
        "clear": desk.controller.clear,
        "model": lambda: desk.controller.choose_model("tiny"),
        "image": lambda: desk.controller.choose_image(None),
        "close": desk.controller.close,
    }[act]()
    desk.run()
    assert desk.predictions == []


def test_what_was_seen_of_a_removed_image_is_let_go(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.canvas.exists = False
    desk.canvas.image_removed.emit()
    assert not desk.controller._segmenter._sessions
    assert not desk.controller._answers._by_draft


def test_newest_prompt_wins() -> None:
    desk = Desk(at_once=False)
    desk.run()  # the model
    desk.waiting.clear()
    desk.canvas.click(10, 10)
    desk.canvas.click(30, 40)
    assert [job.kind for job, _ in desk.waiting] == ["answer", "answer"]
    desk.run(1)
    both = desk.preview.copy()
    desk.run(0)  # late, and stale
    np.testing.assert_array_equal(desk.preview, both)
    assert both[10, 10]
    assert both[30, 40]


def test_the_mask_before_stays_until_the_new_one_comes() -> None:
    desk = Desk(at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.canvas.click(30, 40)
    desk.run()
    desk.canvas.click(30, 60)
    assert desk.preview is not None
    assert not resolve(desk.state).can_keep


def test_error_becomes_one_report_and_the_next_click_works(desk: Desk) -> None:
    desk.canvas.change(Marks(regions=(Region("polygon", ((90, 90), (90, 99), (99, 99))),)))
    (error,) = desk.errors
    assert "mask is empty" in error
    assert desk.preview is None
    assert not desk.state.answering
    desk.controller.undo()
    desk.canvas.click(30, 40)
    assert desk.preview is not None


def test_a_click_outside_the_image_changes_nothing(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    before = desk.preview
    desk.canvas.click(300, 40)
    (error,) = desk.errors
    assert "(300, 40) is outside" in error
    np.testing.assert_array_equal(desk.preview, before)
    assert len(desk.canvas.read_marks(desk.canvas.plane).points) == 1
    assert desk.state.undo == "positive point"
    assert len(desk.predictions) == 1


def test_an_image_too_large_for_labels_is_refused(desk: Desk) -> None:
    large = FakeCanvas(np.zeros((20, 20)), "large")
    large.is_too_large = True
    desk.controller.choose_image(large)
    assert "not enough memory for labels of all of large" in desk.errors[0]
    assert desk.state.image is None
    large.is_too_large = False
    desk.controller.choose_image(large)
    assert desk.state.image == "large", "it can be tried again"
    desk.controller.choose_image(desk.canvas)
    desk.canvas.click(30, 40)
    assert desk.preview is not None


def test_unexpected_error_is_reported_in_one_sentence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FakeSession, "predict", explode)
    desk.canvas.click(30, 40)
    assert len(desk.errors) == 1
    assert "ZeroDivisionError" in desk.errors[0]


def test_image_removed_while_working() -> None:
    desk = Desk(at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.canvas.click(30, 40)
    desk.canvas.exists = False
    desk.canvas.image_removed.emit()
    assert desk.state.image is None
    assert "stopped" in desk.state.news
    desk.run()
    assert desk.preview is None
    assert not desk.canvas.attached
    assert desk.errors == []


def test_image_reshaped_while_working_ends_the_job_and_starts_anew() -> None:
    desk = Desk(at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.canvas.click(30, 40)
    desk.canvas.marks.clear()
    desk.canvas.image_changed.emit(True)
    assert desk.state.image == "cells"
    assert "another shape" in desk.state.news
    desk.run()
    assert desk.preview is None
    assert desk.state.undo == ""


def test_new_pixels_of_the_same_shape_are_looked_at_again(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.canvas.image_changed.emit(False)
    assert len(desk.predictions) == 2
    assert desk.preview is not None


def test_renamed(desk: Desk) -> None:
    desk.canvas.name = "other"
    desk.canvas.image_renamed.emit()
    assert desk.state.image == "other"


def test_each_plane_has_its_own_object() -> None:
    desk = Desk((4, *SHAPE))
    canvas = desk.canvas
    canvas.click(30, 40)
    first = canvas.plane
    canvas.slide(2)
    assert desk.state.positives == 0
    assert desk.state.candidates == 0
    canvas.click(10, 10)
    desk.controller.commit()
    assert canvas.labels[2, 10, 10] == 1
    assert not canvas.labels[0].any()
    canvas.slide(0)
    assert desk.state.positives == 1
    assert desk.state.candidates == 3
    desk.controller.undo()
    assert canvas.plane.steps[0] == 2, "undo goes where it can be seen"
    assert not canvas.labels.any()
    assert first in canvas.previews


def test_slider_moved_while_working_drops_the_answer_and_asks_again_on_return() -> None:
    desk = Desk((4, *SHAPE), at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.canvas.click(30, 40)
    desk.canvas.slide(1)
    desk.run()
    assert desk.canvas.previews == {}
    desk.canvas.slide(0)
    desk.run(-1)
    assert desk.preview is not None


def test_work_on_another_image_waits_and_comes_back(desk: Desk) -> None:
    other = FakeCanvas(np.zeros((20, 20)), "other")
    desk.canvas.click(30, 40)
    desk.controller.choose_image(other)
    assert (desk.state.image, desk.state.positives, desk.state.undo) == ("other", 0, "")
    assert not desk.canvas.attached
    desk.controller.choose_image(desk.canvas)
    assert desk.state.positives == 1
    assert desk.state.undo == "positive point"
    desk.controller.choose_image(None)
    assert desk.state.image is None


def test_an_image_left_while_it_was_answered_is_asked_again_on_return() -> None:
    desk = Desk(at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.canvas.click(30, 40)
    desk.controller.choose_image(None)
    desk.run()
    assert desk.canvas.previews == {}
    desk.controller.choose_image(desk.canvas)
    desk.run()
    assert desk.preview is not None


def test_a_model_chosen_elsewhere_answers_on_return(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.choose_image(FakeCanvas(np.zeros((20, 20)), "other"))
    desk.controller.choose_model("tiny")
    assert len(desk.predictions) == 1
    desk.controller.choose_image(desk.canvas)
    assert len(desk.predictions) == 2
    assert desk.state.candidates == 3


def test_choosing_another_model_asks_again_without_the_old_memory(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.choose_model("tiny")
    assert desk.loaded == ["micro", "tiny"]
    assert [entry[2] for entry in desk.predictions] == [None, None]
    assert desk.state.models[1].on_disk
    assert desk.state.model == "tiny"


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(desk: Desk) -> None:
    def fail(*_: Any) -> None:
        msg = "no source answered; check the network."
        raise OSError(msg)

    desk.canvas.click(30, 40)
    before = desk.preview
    desk.controller._segmenter._load_model = fail
    desk.controller.choose_model("tiny")
    assert desk.state.model == "micro"
    assert not desk.state.loading
    assert "tiny cannot be loaded" in desk.errors[0]
    np.testing.assert_array_equal(desk.preview, before)
    desk.canvas.click(30, 50)
    assert (desk.preview != before).any()
    assert len(desk.errors) == 1


def test_without_any_model_another_can_be_chosen() -> None:
    desk = Desk(at_once=False)
    desk.waiting[0][1](Outcome(error="truncated"))
    desk.waiting.clear()
    assert desk.state.model is None
    desk.at_once = True
    desk.controller.choose_model("micro")
    desk.canvas.click(30, 40)
    assert desk.preview is not None


def test_a_superseded_model_that_arrives_is_the_one_to_fall_back_on() -> None:
    desk = Desk(at_once=False)
    desk.controller.choose_model("tiny")
    for outcome in (Outcome("micro"), Outcome(error="truncated")):
        _, done = desk.waiting.pop(0)
        done(outcome)
    assert desk.state.model == "micro"


def test_only_the_newest_chosen_model_counts() -> None:
    desk = Desk(at_once=False)
    desk.controller.choose_model("tiny")
    desk.run(0)
    assert desk.state.loading
    desk.run(0)
    assert not desk.state.loading
    assert desk.state.news == "tiny is ready."


def test_a_click_while_the_model_loads_is_answered_when_it_is_there() -> None:
    desk = Desk(at_once=False)
    desk.canvas.click(30, 40)
    while desk.waiting:
        desk.run()
    assert desk.preview is not None
    assert len(desk.predictions) == 1


def test_own_file_is_listed_and_loaded_as_often_as_it_is_chosen(desk: Desk) -> None:
    for _ in range(2):
        desk.controller.choose_file("/somewhere/mine.pt")
    assert desk.loaded == ["micro", "/somewhere/mine.pt", "/somewhere/mine.pt"]
    assert [model.short_name for model in desk.state.models] == ["micro", "tiny", "mine.pt"]


def test_own_file_that_cannot_be_loaded_is_not_listed(desk: Desk) -> None:
    desk.controller._segmenter._load_model = lambda *_: 1 / 0
    desk.controller.choose_file("/somewhere/mine.pt")
    assert desk.state.models == MODELS
    assert desk.state.model == "micro"


def test_a_deleted_result_comes_back_with_undo(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.commit()
    lost = desk.canvas.labels
    desk.canvas.labels = np.zeros_like(lost)
    desk.canvas.layer_lost.emit("result", lost)
    assert desk.state.undo == "deleting the result"
    desk.controller.undo()
    assert desk.canvas.labels is lost


def test_obstacle_blocks_requests(desk: Desk) -> None:
    desk.canvas.obstacle = "Switch to the 2D view."
    desk.canvas.click(30, 40)
    assert desk.predictions == []


def test_close_is_idempotent_and_lets_go(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    desk.controller.close()
    desk.controller.close()
    assert not desk.canvas.attached
    assert len(desk.canvas.marks_changed) == 0
    desk.controller.choose_image(desk.canvas)
    assert not desk.canvas.attached


def test_masks_of_a_model_without_a_refiner_are_refined_where_that_is_wanted(desk: Desk) -> None:
    desk.controller.choose_model("tiny")
    desk.canvas.click(30, 40)
    assert desk.state.score == pytest.approx(0.85)
    desk.controller.set_borrowing(True)
    assert desk.state.score == pytest.approx(0.9), "what is shown is asked for again"
    assert desk.state.model_note == "", "it is not plain any more"
    desk.controller.set_borrowing(False)
    assert desk.state.score == pytest.approx(0.85)
    assert desk.state.model_note == "plain"


def test_a_model_with_its_own_refiner_always_refines(desk: Desk) -> None:
    desk.canvas.click(30, 40)
    assert desk.state.score == pytest.approx(0.9)
    asked = len(desk.predictions)
    desk.controller.set_borrowing(True)
    assert not desk.state.can_borrow
    assert len(desk.predictions) == asked, "nothing changes"
