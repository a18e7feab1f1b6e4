"""Objects of the result are listed, taken in hand again, and deleted; nothing of it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from desk import SHAPE, Desk
from fakes import RADII, disc

from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer import listing
from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.objects import Origin, Origins
from napari_sam2refiner.viewer.state import resolve


@pytest.fixture
def desk() -> Desk:
    return Desk()


def keep(desk: Desk, y: float, x: float) -> None:
    desk.canvas.click(y, x)
    desk.controller.commit()


def test_kept_objects_are_listed_with_area_and_score(desk: Desk) -> None:
    assert desk.state.objects == ()
    keep(desk, 20, 20)
    (row,) = desk.state.objects
    assert (row.object_id, row.pixels) == (1, disc(SHAPE, 20, 20, RADII[0]).sum())
    assert row.score == pytest.approx(0.9)
    assert row.color == (1 / 255, 0.0, 0.0, 1.0)
    desk.controller.undo()
    assert desk.state.objects == ()
    desk.controller.redo()
    assert len(desk.state.objects) == 1


def test_painted_objects_are_listed_without_a_score(desk: Desk) -> None:
    desk.canvas.labels[5:8, 5:9] = 7
    desk.canvas.labels_changed.emit(None)
    (row,) = desk.state.objects
    assert (row.object_id, row.pixels, row.score) == (7, 12, None)


def test_objects_of_the_plane_that_is_shown_are_listed() -> None:
    desk = Desk((2, *SHAPE))
    keep(desk, 20, 20)
    desk.canvas.slide(1)
    assert desk.state.objects == ()
    desk.canvas.slide(0)
    assert [row.object_id for row in desk.state.objects] == [1]
    desk.controller.choose_image(None)
    assert desk.state.objects == ()


def test_a_reopened_object_is_shown_as_it_is_with_its_prompts(desk: Desk) -> None:
    keep(desk, 20, 20)
    asked = len(desk.predictions)
    desk.controller.objects.reopen(1)
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 20, 20, RADII[0]))
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(((20, 20, True),))
    assert desk.state.score == pytest.approx(0.9)
    assert (desk.state.reopened, desk.state.next_id) == (1, 1)
    assert "Object 1 is open" in resolve(desk.state).hint
    assert len(desk.predictions) == asked, "it is known already"
    assert desk.canvas.labels.any(), "it stays in the result until it is kept again"


def test_a_reopened_object_is_corrected_and_kept_under_its_id(desk: Desk) -> None:
    keep(desk, 20, 20)
    keep(desk, 40, 60)
    desk.controller.objects.reopen(1)
    desk.canvas.click(20, 30)
    before = desk.predictions[-1][2]
    np.testing.assert_array_equal(before.mask, disc(SHAPE, 20, 20, RADII[0]))
    desk.controller.commit()
    grown = disc(SHAPE, 20, 20, RADII[1]) | disc(SHAPE, 20, 30, RADII[1])
    np.testing.assert_array_equal(desk.canvas.labels == 1, grown)
    np.testing.assert_array_equal(desk.canvas.labels == 2, disc(SHAPE, 40, 60, RADII[0]))
    assert (desk.state.reopened, desk.state.next_id) == (0, 3)
    for _ in range(3):  # keeping, the click, opening
        desk.controller.undo()
    np.testing.assert_array_equal(desk.canvas.labels == 1, disc(SHAPE, 20, 20, RADII[0]))
    assert desk.preview is None
    for _ in range(3):
        desk.controller.redo()
    np.testing.assert_array_equal(desk.canvas.labels == 1, grown)


def test_an_object_whose_correction_was_undone_has_the_prompts_from_before(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.reopen(1)
    desk.canvas.click(20, 30)
    desk.controller.commit()
    for _ in range(3):
        desk.controller.undo()
    desk.controller.objects.reopen(1)
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(((20, 20, True),))


def test_a_smaller_mask_leaves_nothing_of_the_one_before(desk: Desk) -> None:
    desk.canvas.labels[10:30, 10:30] = 4
    desk.controller.objects.reopen(4)
    desk.controller.toggle_negative()
    desk.canvas.click(10, 10)
    desk.controller.commit()
    expected = np.zeros(SHAPE, bool)
    expected[10:30, 10:30] = True
    np.testing.assert_array_equal(desk.canvas.labels == 4, expected & ~disc(SHAPE, 10, 10, RADII[1] / 2))


def test_clearing_a_reopened_object_leaves_it_as_it_was(desk: Desk) -> None:
    keep(desk, 20, 20)
    before = desk.canvas.labels.copy()
    desk.controller.objects.reopen(1)
    desk.canvas.click(20, 30)
    desk.controller.clear()
    np.testing.assert_array_equal(desk.canvas.labels, before)
    assert desk.state.reopened == 0
    assert desk.preview is None
    assert not desk.canvas.read_marks(desk.canvas.plane)
    assert "stays as it was" in desk.state.news


def test_taking_back_every_correction_shows_the_object_as_it_was(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.reopen(1)
    marks = desk.canvas.read_marks(desk.canvas.plane)
    desk.canvas.click(20, 30)
    asked = len(desk.predictions)
    desk.canvas.change(marks)
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 20, 20, RADII[0]))
    assert len(desk.predictions) == asked
    assert resolve(desk.state).can_keep


def test_another_model_goes_on_from_the_object_as_it_was(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.reopen(1)
    desk.controller.choose_model("tiny")
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 20, 20, RADII[0]))
    desk.canvas.click(20, 30)
    np.testing.assert_array_equal(desk.predictions[-1][2].mask, disc(SHAPE, 20, 20, RADII[0]))


def test_nothing_is_reopened_while_an_object_is_at_hand(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.canvas.click(40, 60)
    desk.controller.objects.reopen(1)
    assert desk.state.reopened == 0
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(((40, 60, True),))
    assert "first" in desk.state.news


def test_what_is_not_there_is_not_reopened(desk: Desk) -> None:
    desk.controller.objects.reopen(3)
    assert "not on this plane" in desk.state.news
    desk.controller.objects.reopen()
    assert "Point at" in desk.state.news
    assert desk.state.undo == ""


def test_the_object_under_the_mouse_is_meant_by_default(desk: Desk) -> None:
    keep(desk, 20, 20)
    keep(desk, 40, 60)
    desk.canvas.object_under_mouse = 2
    desk.controller.objects.reopen()
    assert desk.state.reopened == 2
    desk.controller.clear()
    desk.controller.objects.delete()
    assert [row.object_id for row in desk.state.objects] == [1]


def test_a_deleted_object_comes_back_with_undo(desk: Desk) -> None:
    keep(desk, 20, 20)
    keep(desk, 40, 60)
    before = desk.canvas.labels.copy()
    desk.controller.objects.delete([1])
    assert set(np.unique(desk.canvas.labels)) == {0, 2}
    assert desk.state.undo == "deleting object 1"
    desk.controller.undo()
    np.testing.assert_array_equal(desk.canvas.labels, before)
    desk.controller.redo()
    assert [row.object_id for row in desk.state.objects] == [2]


def test_deleting_the_object_at_hand_ends_its_correction(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.reopen(1)
    desk.controller.objects.delete([1])
    assert desk.preview is None
    assert desk.state.reopened == 0
    desk.controller.undo()
    assert desk.state.reopened == 1
    assert desk.preview is not None


def test_an_object_that_cannot_be_deleted_is_told_of(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.canvas.labels.flags.writeable = False
    desk.controller.objects.delete([1])
    assert "read-only" in desk.errors[-1]
    assert desk.state.undo == "object 1"


def test_a_chosen_object_is_shown(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.look_at(1)
    assert desk.canvas.centered == [(desk.canvas.plane, 1)]


def test_objects_of_a_plane_that_is_too_large_are_not_listed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(desk, 20, 20)
    monkeypatch.setattr(listing, "LARGEST_LISTED", 100)
    keep(desk, 40, 60)
    assert desk.state.objects == ()
    assert "not listed" in resolve(desk.state).listed


def test_strokes_of_a_reopened_object_stay(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.reopen(1)
    desk.canvas.labels[50, 70] = 1
    desk.canvas.click(20, 30)
    desk.controller.commit()
    assert desk.canvas.labels[50, 70] == 1


def test_a_reopened_object_is_not_tidied_before_it_is_changed(desk: Desk) -> None:
    desk.canvas.labels[10:12, 10:12] = desk.canvas.labels[30:40, 30:40] = 3
    desk.controller.set_tidying(Tidying(specks=20))
    desk.controller.objects.reopen(3)
    assert desk.preview[10, 10]


def test_a_deleted_objects_prompts_are_not_those_of_the_next_with_its_id(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.controller.objects.delete([1])
    desk.canvas.labels[40:50, 40:50] = 1
    desk.controller.objects.reopen(1)
    assert not desk.canvas.read_marks(desk.canvas.plane)
    desk.controller.undo()
    desk.controller.undo()
    desk.controller.objects.reopen(1)
    assert desk.canvas.read_marks(desk.canvas.plane) == Marks(((20, 20, True),))


def test_nothing_is_changed_where_nothing_can_be_clicked(desk: Desk) -> None:
    keep(desk, 20, 20)
    desk.canvas.obstacle = "The slider has left this image."
    desk.canvas.plane_changed.emit()
    desk.controller.objects.delete([1])
    desk.controller.objects.reopen(1)
    assert (desk.canvas.labels == 1).any()
    assert desk.state.reopened == 0
    assert "slider" in resolve(desk.state).hint


def test_an_object_is_as_sure_as_on_its_weakest_plane() -> None:
    origins = Origins()
    for step, object_id, score in ((0, 1, 0.9), (1, 1, 0.4), (1, 2, None)):
        origins.note(PlaneIndex((step, 0, 0)), object_id, Origin(Marks(), score))
    assert origins.lowest_scores() == {1: 0.4}
    assert origins.lowest_scores([2, 3]) == {}
