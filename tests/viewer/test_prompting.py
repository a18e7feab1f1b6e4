"""Several objects at hand, scribbles, labels and prompts of other layers; without Qt and napari."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from desk import SHAPE, Desk
from fakes import FakeSession, FakeSource, disc

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.viewer.autosave import Autosave
from napari_sam2refiner.viewer.drafts import Answers, Draft
from napari_sam2refiner.viewer.marks import Marks, Region
from napari_sam2refiner.viewer.segmenter import Request, Segmenter
from napari_sam2refiner.viewer.several import TOGETHER, Found, Known, draw_objects, find_each
from napari_sam2refiner.viewer.state import resolve


def box(y: float, x: float, height: float = 10, width: float = 10) -> Region:
    return Region("rectangle", ((y, x), (y, x + width), (y + height, x + width), (y + height, x)))


def pixels(*boxes: Region) -> Any:
    mask = np.zeros(SHAPE, bool)
    for one in boxes:
        y0, x0, y1, x1 = map(int, one.box)
        mask[y0:y1, x0:x1] = True
    return mask


FIRST, SECOND, THIRD = box(5, 5), box(5, 30), box(40, 50)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def draw(desk: Desk, *regions: Region) -> None:
    for region in regions:
        desk.canvas.mark(Marks(regions=(region,)))


def test_boxes_are_one_object_unless_each_is_its_own(desk: Desk) -> None:
    draw(desk, FIRST, SECOND)
    assert desk.predictions[-1][1].boxes.shape == (2, 4)
    assert desk.state.at_hand == 1
    desk.controller.prompting.set_apart(True)
    assert desk.state.at_hand == 2
    assert desk.state.boxes == 2
    assert desk.predictions[-1][1].boxes.tolist() == [list(SECOND.box)], "the first was answered when it was alone"
    np.testing.assert_array_equal(desk.preview == 1, pixels(FIRST))
    np.testing.assert_array_equal(desk.preview == 2, pixels(SECOND))
    assert "2 objects: 200 pixels" in resolve(desk.state).status
    desk.controller.undo()
    assert desk.state.at_hand == 1
    desk.controller.redo()
    desk.controller.prompting.set_apart(False)
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(regions=(FIRST, SECOND))


def test_only_what_changed_is_asked_for(desk: Desk) -> None:
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, SECOND)
    asked = len(desk.predictions)
    draw(desk, THIRD)
    assert len(desk.predictions) == asked + 1
    marks = desk.canvas.read_marks(desk.canvas.plane)
    moved = box(30, 5)
    desk.canvas.change(Marks.of([Marks(regions=(moved,)), *marks.others]))
    assert len(desk.predictions) == asked + 2
    assert desk.predictions[-1][2] is None, "the box before was another wish"
    np.testing.assert_array_equal(desk.preview > 0, pixels(moved, SECOND, THIRD))
    desk.canvas.change(Marks.of(marks.others))
    assert len(desk.predictions) == asked + 2
    desk.canvas.change(Marks.of(marks.others[:1]))
    np.testing.assert_array_equal(desk.preview, pixels(SECOND))


def test_a_click_corrects_one_object_from_what_was_found_of_it(desk: Desk) -> None:
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, SECOND)
    asked = len(desk.predictions)
    desk.controller.toggle_negative()
    desk.canvas.click(10, 35)
    assert len(desk.predictions) == asked + 1
    _, prompts, previous = desk.predictions[-1]
    assert prompts.boxes.tolist() == [list(SECOND.box)]
    assert prompts.labels.tolist() == [False]
    np.testing.assert_array_equal(previous.mask, pixels(SECOND))
    np.testing.assert_array_equal(previous.logits > 0, pixels(SECOND))
    np.testing.assert_array_equal(desk.preview == 2, pixels(SECOND) & ~disc(SHAPE, 10, 35, 5))
    np.testing.assert_array_equal(desk.preview == 1, pixels(FIRST))


def test_an_object_left_with_a_negative_point_is_left_out(desk: Desk) -> None:
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, SECOND)
    desk.canvas.change(Marks.of([Marks(regions=(FIRST,)), Marks(((10.0, 35.0, False),))]))
    np.testing.assert_array_equal(desk.preview > 0, pixels(FIRST))
    desk.controller.commit()
    assert sorted(np.unique(desk.canvas.labels)) == [0, 1]


def test_all_are_kept_in_one_act_and_reopened_one_by_one(desk: Desk) -> None:
    desk.canvas.labels[5:10, 5:10] = 4
    desk.canvas.labels_changed.emit(None)
    before = desk.canvas.labels.copy()
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, SECOND)
    desk.controller.commit()
    assert sorted(np.unique(desk.canvas.labels)) == [0, 4, 5, 6]
    assert (desk.canvas.labels[before > 0] == 4).all(), "the earlier object stays"
    assert [row.score for row in desk.state.objects] == [None, pytest.approx(0.9), pytest.approx(0.9)]
    assert desk.state.undo == "2 objects"
    assert desk.preview is None
    desk.controller.undo()
    np.testing.assert_array_equal(desk.canvas.labels, before)
    assert desk.state.at_hand == 2
    desk.controller.redo()
    desk.controller.objects.reopen(6)
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(regions=(SECOND,))
    draw(desk, box(5, 45))
    assert desk.state.at_hand == 1, "a box corrects what was reopened"


def test_where_boxes_overlap_the_rule_decides_in_the_preview_too(desk: Desk) -> None:
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, box(5, 10))
    assert desk.preview[8, 12] == 1
    desk.controller.set_overlap("overwrite")
    assert desk.preview[8, 12] == 2
    desk.controller.commit()
    assert desk.canvas.labels[8, 12] == 2


def test_nothing_is_kept_where_all_pixels_are_others(desk: Desk) -> None:
    desk.canvas.labels[:] = 3
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, SECOND)
    desk.controller.commit()
    assert "Nothing was kept" in desk.state.news
    assert (desk.canvas.labels == 3).all()
    desk.canvas.labels[15:, :] = desk.canvas.labels[:, 25:] = 0
    desk.controller.commit()
    assert "1 had no pixels left" in desk.state.news
    assert sorted(np.unique(desk.canvas.labels)) == [0, 3, 5]


def test_several_objects_are_tidied_as_one_alone_is() -> None:
    rng = np.random.default_rng(0)
    mask = disc(SHAPE, 6, 12, 9) & (rng.random(SHAPE) > 0.2)
    tidying = Tidying(1.5, True, 4)
    prediction = FakeSession().set_image(np.zeros(SHAPE)).predict(Marks(((6, 12, True),)).prompts(SHAPE))
    found = Found.of(Marks(), type(prediction)(mask, np.where(mask, 1, -1).astype(np.float32), 0.5))
    from napari_sam2refiner.labels.tidy import tidy

    picture = draw_objects([found], SHAPE, tidying, "keep").whole()
    np.testing.assert_array_equal(picture == 1, tidy(Part.of(mask), tidying).whole())
    np.testing.assert_array_equal(found.prediction().mask, mask)


def test_many_objects_are_asked_for_in_batches_that_can_be_ended() -> None:
    class EndedError(Exception):
        pass

    log: list[Any] = []
    session = FakeSession(log).set_image(np.zeros(SHAPE))
    objects = [Marks(((float(n % 60), float(n % 80), True),)) for n in range(TOGETHER + 3)]
    shares: list[float] = []
    found = find_each(session, objects, Known({}, {}), refine=True, tell=shares.append)
    assert [one.marks for one in found] == objects
    assert [entry[1] for entry in log if entry[0] == "many"] == [TOGETHER, 3]
    assert shares == sorted(shares)
    log.clear()

    def tell(share: float) -> None:
        if share > 0:
            raise EndedError

    known = Known({}, {})
    with pytest.raises(EndedError):
        find_each(session, objects, known, refine=True, tell=tell)
    assert len([entry for entry in log if entry[0] == "many"]) == 1
    assert list(known.found) == objects[:TOGETHER], "what is found stays found"


def test_the_segmenter_answers_several_as_it_answers_each() -> None:
    segmenter = Segmenter(lambda name, _: name, lambda _: FakeSession())
    segmenter.load("micro", lambda _: None)
    marks = Marks.of([Marks(regions=(FIRST,)), Marks(regions=(SECOND,))])
    request = Request(FakeSource(np.zeros(SHAPE)), PlaneIndex((0, 0)), marks, known=Known({}, {}))
    answered = segmenter.answer(request, lambda _: None)
    np.testing.assert_array_equal(answered.prediction.mask, pixels(FIRST, SECOND))
    assert [one.marks for one in answered.found] == list(marks.objects)
    assert answered.choose(1) is answered


def test_several_objects_wait_on_their_plane_and_come_back_after_a_crash(tmp_path: Any) -> None:
    reports: list[str] = []
    first = Desk((2, *SHAPE), autosave=Autosave(tmp_path, reports.append))
    first.controller.prompting.set_apart(True)
    draw(first, FIRST, SECOND)
    draw(first, Region("path", ((10.0, 6.0), (10.0, 12.0)), positive=False))
    held = first.canvas.read_marks(first.canvas.plane)
    first.canvas.slide(1)
    assert first.state.at_hand == 0
    first.canvas.slide(0)
    assert first.state.at_hand == 2
    first.controller.close()
    second = Desk((2, *SHAPE), autosave=Autosave(tmp_path, reports.append))
    second.controller.bring_back()
    assert second.canvas.read_marks(second.canvas.plane) == held
    assert second.state.at_hand == 2
    np.testing.assert_array_equal(second.preview, first.preview)
    second.controller.close()
    assert reports == []


def test_another_model_is_asked_for_all_of_them_at_once(desk: Desk) -> None:
    desk.controller.prompting.set_apart(True)
    draw(desk, FIRST, SECOND)
    asked = len(desk.predictions)
    desk.controller.choose_model("tiny")
    assert len(desk.predictions) == asked + 2
    assert ("many", 2) in desk.log, "in one batch"


def test_the_key_goes_to_scribbles_and_back(desk: Desk) -> None:
    desk.controller.prompting.start_scribbling()
    assert desk.canvas.mode == "scribble"
    desk.controller.toggle_negative()
    assert desk.canvas.mode == "scribble", "the next one removes"
    assert desk.canvas.polarity[0] is False
    desk.controller.prompting.start_scribbling()
    assert desk.canvas.mode == "click"
    draw(desk, Region("path", ((10.0, 10.0), (10.0, 30.0))))
    assert desk.state.undo == "scribble"
    assert desk.state.positives == 1


def test_boxes_go_on_after_keeping_where_each_is_its_own(desk: Desk) -> None:
    desk.controller.prompting.set_apart(True)
    desk.controller.start_boxing()
    draw(desk, FIRST)
    desk.controller.commit()
    assert desk.canvas.mode == "box"
    desk.controller.prompting.set_apart(False)
    draw(desk, SECOND)
    desk.controller.commit()
    assert desk.canvas.mode == "click"


def test_a_label_corrects_what_is_at_hand_and_can_be_undone(desk: Desk) -> None:
    outline = (Region("polygon", box(20, 20).corners),)
    desk.canvas.given = ("label 7 of nuclei", outline)
    desk.canvas.click(5, 5)
    desk.controller.prompting.take_label()
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(((5, 5, True),), outline)
    assert desk.state.undo == "label 7 of nuclei"
    assert desk.state.areas == 1
    assert desk.preview[25, 25]
    desk.controller.undo()
    assert not desk.preview[25, 25]


def test_layers_that_do_not_fit_are_told_of_and_change_nothing(desk: Desk) -> None:
    desk.canvas.given = InvalidLabelsError("nuclei does not lie on cells; move it.")
    desk.controller.prompting.take_label()
    desk.controller.prompting.take_prompts([])
    assert desk.errors == ["nuclei does not lie on cells; move it."] * 2
    assert desk.state.undo == ""
    desk.controller.choose_image(None)
    desk.controller.prompting.take_label()
    desk.controller.prompting.take_prompts([])
    desk.controller.prompting.start_scribbling()
    desk.controller.prompting.set_apart(True)
    assert len(desk.errors) == 2


def test_prompts_of_layers_are_taken_where_nothing_is_at_hand() -> None:
    desk = Desk((2, *SHAPE))
    here, there = desk.canvas.plane, PlaneIndex((1, 0, 0), (1, 2))
    desk.canvas.given = {here: Marks(regions=(FIRST, SECOND)), there: Marks(((9, 9, True),))}
    desk.canvas.click(5, 5)
    desk.controller.prompting.take_prompts([])
    assert desk.canvas.read_marks(here) == Marks(((5, 5, True),))
    assert desk.canvas.read_marks(there) == Marks(((9, 9, True),))
    desk.controller.prompting.take_prompts([])
    assert "first" in desk.state.news
    desk.controller.undo()
    desk.controller.undo()
    desk.controller.prompting.set_apart(True)
    desk.controller.prompting.take_prompts([])
    assert desk.canvas.read_marks(here).objects == (Marks(regions=(FIRST,)), Marks(regions=(SECOND,)))


def test_what_was_found_before_a_newer_question_is_not_asked_again() -> None:
    answers, session = Answers(), FakeSession().set_image(np.zeros(SHAPE))
    one, other, third = (Marks(regions=(region,)) for region in (FIRST, SECOND, THIRD))
    draft = Draft(Marks.of([one, other]))
    known = answers.known(draft)
    assert (known.found, known.before) == ({}, {})
    known.found[one] = Found.of(one, session.predict(one.prompts(SHAPE)))  # the worker, before it was ended
    assert set(answers.known(draft).found) == {one}
    later = draft.then(Marks.of([one, other, third]))
    assert set(answers.known(later).found) == {one}
    assert not answers.known(Draft(later.marks)).found, "on another plane the same marks mean something else"
    answers.known(later)
    answers.clear()
    assert not answers.known(later).found


def test_the_share_that_is_done_is_told(desk: Desk) -> None:
    desk.state.answering, desk.state.answered = True, 0.4
    assert "40 %" in resolve(desk.state).status
