"""The relabeller against a session that knows the truth and labels without napari."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from annotated import discs
from fakes import FakeLabelledImage, KnowingSession

from napari_sam2refiner.viewer.relabeller import Relabeller, RelabelState
from napari_sam2refiner.viewer.segmenter import Job, Outcome, Segmenter, perform
from napari_sam2refiner.viewer.state import ModelChoice

IMAGE, TRUTH = discs()
MODELS = (
    ModelChoice("micro", 1, True),
    ModelChoice("tiny", 1, False, "a note"),
    ModelChoice("small", 1, True, borrows=True),
)


def shrunk(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Take the upper part of each object away, and most of the last one."""
    bad = labels.copy()
    for number in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == number)
        gone = rows < np.quantile(rows, 0.8 if number == labels.max() else 0.3)
        bad[rows[gone], columns[gone]] = 0
    return bad


class Desk:
    """A relabeller with everything around it; jobs run when told, or at once."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.errors: list[str] = []
        self.waiting: list[tuple[Job, Callable[[Outcome], None]]] = []
        self.told: list[float] = []
        self.at_once = True
        self.pair = FakeLabelledImage(IMAGE, shrunk(TRUTH))
        self.state = RelabelState()
        self.session = KnowingSession(TRUTH)
        segmenter = Segmenter(self.load, lambda _: self.session)
        self.relabeller = Relabeller(self.state, segmenter, self.submit, lambda *_: self.pair, self.errors.append)
        self.relabeller.set_models(MODELS)
        self.relabeller.choose_model("micro")
        self.at_once = at_once

    def load(self, name: str, _: Any) -> str:
        if name == "tiny":
            msg = "no network"
            raise OSError(msg)
        return name

    def submit(self, job: Job, done: Callable[[Outcome], None]) -> None:
        if self.at_once:
            done(perform(job, job.on_progress or self.told.append))
        else:
            self.waiting.append((job, done))

    def run(self) -> None:
        job, done = self.waiting.pop(0)
        done(perform(job, job.on_progress))

    def refine(self) -> None:
        self.relabeller.refine("image", "labels")


def test_labels_get_better_and_the_state_says_how() -> None:
    desk = Desk()
    desk.relabeller.set_most_change(1.0)
    before = desk.pair.labels.copy()
    desk.refine()
    np.testing.assert_array_equal(desk.pair.written[0], TRUTH)
    np.testing.assert_array_equal(desk.pair.labels, before)
    ious = [change.iou for change in desk.state.changes]
    assert ious == sorted(ious)
    assert desk.state.changes[0].object_id == 3
    assert desk.state.status.startswith("3 objects: 3 changed, 0 would have changed too much and were kept; ")
    assert desk.state.status.endswith(" s. See the layer cells refined.")
    assert not desk.state.running
    assert desk.errors == []


def test_what_would_change_too_much_is_kept() -> None:
    desk = Desk()
    desk.refine()
    assert (desk.state.changes[0].object_id, desk.state.changes[0].kept) == (3, True)
    assert "2 changed, 1 would" in desk.state.status
    np.testing.assert_array_equal(desk.pair.written[0] == 3, desk.pair.labels == 3)


def test_an_object_is_shown_on_its_plane() -> None:
    desk = Desk()
    desk.relabeller.show_object(1)
    desk.refine()
    desk.relabeller.show_object(2)
    assert desk.pair.shown == [(desk.pair.plane, 2)]
    desk.pair.has_result = False
    desk.relabeller.show_object(2)
    assert "was removed" in desk.state.status


def test_progress_then_cancel_writes_nothing() -> None:
    desk = Desk(at_once=False)
    desk.refine()
    assert (desk.state.running, desk.state.can_refine) == (True, False)
    assert desk.state.status == "Refining the labels ..."
    job, _ = desk.waiting[0]
    job.on_progress(0.5)
    assert desk.state.status == "Refining: 50 % ..."
    desk.refine()
    assert len(desk.waiting) == 1, "one at a time"
    desk.relabeller.cancel()
    assert not job.is_wanted()
    job.on_progress(0.7)
    desk.run()
    assert desk.pair.written == []
    assert (desk.state.share, desk.state.changes) == (None, ())
    assert "Cancelled" in desk.state.status
    assert desk.errors == []
    desk.refine()
    desk.run()
    assert len(desk.pair.written) == 1


@pytest.mark.parametrize(("image", "labels", "missing"), [(None, "labels", "no image"), ("image", None, "no labels")])
def test_without_layers_it_says_so(image: Any, labels: Any, missing: str) -> None:
    desk = Desk()
    desk.relabeller.refine(image, labels)
    (error,) = desk.errors
    assert missing in error
    assert desk.state.status == error


def test_what_cannot_be_refined_is_refused_and_nothing_changes() -> None:
    desk = Desk()
    desk.pair.obstacle = "cells has shape (1, 2) but image has (3, 4); choose others."
    desk.refine()
    assert desk.errors == [desk.pair.obstacle]
    desk.pair.obstacle = ""
    desk.pair.labels[:] = 0
    desk.refine()
    assert "no objects on this plane" in desk.errors[-1]
    assert desk.pair.written == []
    assert desk.state.changes == ()


def test_a_layer_that_goes_during_work_ends_it() -> None:
    desk = Desk(at_once=False)
    for ask in (desk.relabeller.check_layers, desk.run):
        desk.waiting.clear()
        desk.pair.loss = ""
        desk.refine()
        desk.relabeller.check_layers()
        assert desk.state.running
        desk.pair.loss = "cells was removed"
        ask()
        assert not desk.state.running
        assert desk.state.status == "cells was removed, so nothing was written."
    assert desk.pair.written == []


def test_no_memory_for_the_layer_leaves_what_was_there() -> None:
    desk = Desk()
    desk.refine()
    changes = desk.state.changes
    desk.pair.is_too_large = True
    desk.refine()
    assert "not enough memory" in desk.errors[-1]
    assert desk.state.changes == changes
    assert not desk.state.running


def test_a_model_that_cannot_be_loaded_leaves_the_one_before() -> None:
    desk = Desk()
    assert desk.state.status == "micro is ready: Refine gives every object on this plane a new outline."
    desk.relabeller.choose_model("tiny")
    assert "tiny cannot be loaded" in desk.errors[-1]
    assert desk.state.model == "micro"
    desk.refine()
    assert len(desk.pair.written) == 1


def test_nothing_happens_once_it_is_closed() -> None:
    desk = Desk(at_once=False)
    desk.refine()
    desk.relabeller.close()
    desk.relabeller.close()
    desk.run()
    desk.refine()
    assert desk.pair.written == []
    assert desk.waiting == []


def test_masks_of_a_model_without_a_refiner_are_refined_where_that_is_wanted() -> None:
    desk = Desk()
    desk.refine()
    assert set(desk.session.refined) == {True}, "micro refines by itself"
    desk.relabeller.choose_model("small")
    for wanted in (False, True):
        desk.session.refined.clear()
        desk.relabeller.set_borrowing(wanted)
        desk.refine()
        assert set(desk.session.refined) == {wanted}


def test_an_unloaded_model_is_loaded_again_before_it_refines() -> None:
    desk = Desk(at_once=False)
    desk.relabeller.unload_model()
    assert not desk.state.can_unload
    desk.run()
    assert "unloaded" in desk.state.status
    desk.refine()
    assert [job.kind for job, _ in desk.waiting] == ["load", "relabel"]
    desk.relabeller.unload_model()
    assert len(desk.waiting) == 2, "not while something runs"
    desk.run()
    desk.run()
    assert desk.state.changes
    assert desk.errors == []
