"""Everything on a plane found and written, without Qt and napari."""

from __future__ import annotations

import numpy as np
from desk import SHAPE, Desk
from fakes import RADII, SEEDS, disc

from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.segmenter import perform
from napari_sam2refiner.viewer.state import resolve

DISCS = [disc(SHAPE, y, x, RADII[0]) for y, x in SEEDS]


def find(desk: Desk) -> None:
    desk.controller.everything.find()


def test_objects_are_new_ids_with_scores_that_one_undo_takes_back() -> None:
    desk = Desk()
    desk.canvas.click(50, 12)
    desk.controller.commit()
    mine = desk.canvas.labels.copy()
    find(desk)
    labels = desk.canvas.labels
    assert [labels[int(y), int(x)] for y, x in SEEDS] == [2, 3, 4, 0]  # the last lies on the ground
    np.testing.assert_array_equal(labels > 1, DISCS[0] | DISCS[1] | DISCS[2])
    np.testing.assert_array_equal(labels == 1, mine == 1)
    assert [row.score is not None and 0.7 < row.score < 0.9 for row in desk.state.objects[1:]] == [True] * 3
    state = desk.controller.everything.state
    assert not state.running
    assert state.news.startswith("3 objects found; ")
    assert resolve(desk.state).status == "Ready.", "it is said where it was asked for, and once"
    assert desk.state.undo == "3 objects found"
    desk.controller.undo()
    np.testing.assert_array_equal(desk.canvas.labels, mine)
    desk.controller.redo()
    np.testing.assert_array_equal(desk.canvas.labels, labels)
    assert desk.state.objects[1].score is not None


def test_each_is_reopened_with_its_point() -> None:
    desk = Desk()
    find(desk)
    desk.controller.objects.reopen(2)
    plane = desk.canvas.plane
    assert desk.canvas.marks[plane] == Marks(points=((*SEEDS[1], True),))
    assert desk.state.reopened == 2
    desk.canvas.click(30, 50)
    desk.controller.commit()
    assert np.count_nonzero(desk.canvas.labels == 2) > DISCS[1].sum()
    assert set(np.unique(desk.canvas.labels)) == {0, 1, 2, 3}


def test_what_is_at_hand_stays_so() -> None:
    desk = Desk()
    desk.canvas.click(50, 12)
    preview = desk.preview.copy()
    find(desk)
    assert desk.state.positives == 1
    np.testing.assert_array_equal(desk.preview, preview)
    desk.controller.undo()
    assert not desk.canvas.labels.any()
    assert desk.state.positives == 1
    assert "found" not in desk.controller.everything.state.status, "it is not there any more"


def test_objects_without_room_are_left_out_and_others_keep_what_is_free() -> None:
    desk = Desk()
    desk.canvas.labels[DISCS[0]] = 7  # all of the first
    desk.canvas.labels[:, 64:66][DISCS[2][:, 64:66]] = 8  # a part of the third
    before = desk.canvas.labels.copy()
    find(desk)
    labels = desk.canvas.labels
    np.testing.assert_array_equal(labels[before > 0], before[before > 0])
    assert set(np.unique(labels)) == {0, 7, 8, 9, 10}
    np.testing.assert_array_equal(labels == 10, DISCS[2] & (before == 0))
    assert desk.controller.everything.state.news.startswith("2 objects found, 1 more lies where the result has objects")
    find(desk)  # again: there is nothing new
    np.testing.assert_array_equal(desk.canvas.labels, labels)
    assert desk.controller.everything.state.news.startswith("0 objects found, 3 more lie")


def test_filters_are_obeyed() -> None:
    desk = Desk()
    desk.controller.everything.set_area(1000)
    find(desk)
    assert desk.controller.everything.state.news.startswith("No object was found that is sure and large enough")
    desk.controller.everything.set_area(1)
    desk.controller.everything.set_score(0.95)
    find(desk)
    assert not desk.canvas.labels.any()
    assert not desk.state.undo


def test_a_cancelled_run_writes_nothing_and_is_not_even_begun() -> None:
    desk = Desk(at_once=False)
    while desk.waiting:
        desk.run()
    find(desk)
    (job, done) = desk.waiting.pop()
    assert job.kind == "everything"
    assert job.is_wanted()
    find(desk)  # not twice
    assert not desk.waiting
    assert job.on_progress is not None
    job.on_progress(0.5)
    assert desk.controller.everything.state.status == "Looking for objects: 50 % ..."
    desk.controller.everything.cancel()
    assert not job.is_wanted()
    done(perform(job))
    assert not desk.canvas.labels.any()
    assert desk.controller.everything.state.status == "Cancelled; nothing was written."


def test_nothing_is_written_where_the_image_went_or_changed_meanwhile() -> None:
    for change in ("image", "pixels", "closed"):
        desk = Desk(at_once=False)
        while desk.waiting:
            desk.run()
        find(desk)
        if change == "image":
            desk.controller.choose_image(None)
        elif change == "pixels":
            desk.canvas.source = type(desk.canvas.source)(desk.canvas.image)
        else:
            desk.controller.close()
        while desk.waiting:
            desk.run()
        assert not desk.canvas.labels.any()
        assert ("nothing was written" in desk.controller.everything.state.news) == (change != "closed")


def test_the_plane_of_the_beginning_is_written_though_another_is_shown() -> None:
    desk = Desk((3, *SHAPE), at_once=False)
    while desk.waiting:
        desk.run()
    find(desk)
    desk.canvas.slide(2)
    while desk.waiting:
        desk.run()
    assert set(np.unique(desk.canvas.labels[0])) == {0, 1, 2, 3}
    assert not desk.canvas.labels[1:].any()
    assert desk.state.objects == ()  # of the plane that is shown
    desk.controller.undo()
    assert desk.canvas.plane.steps[0] == 0
    assert not desk.canvas.labels.any()


def test_why_nothing_can_be_found_is_said() -> None:
    desk = Desk()
    desk.canvas.obstacle = "Leave the 3D view."
    desk.controller.choose_image(None)
    desk.controller.choose_image(desk.canvas)
    find(desk)
    assert desk.errors == ["Leave the 3D view."]
    desk.controller.choose_image(None)
    find(desk)
    assert desk.errors[1:] == ["Open an image and choose a model first; while one loads, wait for it."]
