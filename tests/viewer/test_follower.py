"""Following without a viewer: what is asked, what is written, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bench import MODELS

from napari_sam2refiner.labels.write import replace_objects
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.follower import Follower, FollowState
from napari_sam2refiner.viewer.segmenter import FollowRequest, Job, Outcome, Segmenter, perform
from napari_sam2refiner.viewer.state import StackAxis

if TYPE_CHECKING:
    from napari_sam2refiner.prompts import Prompts

FRAMES, SHAPE = 6, (20, 30)


class Source:
    def __init__(self, array: np.ndarray) -> None:
        self.key, self.array = "array", array

    def read(self, plane: PlaneIndex) -> np.ndarray:
        return plane.get(self.array)


class MovingSession:
    """Every object moves a column to the right from frame to frame; frame 4 is doubtful."""

    def __init__(self) -> None:
        self.masks: dict[int, dict[int, np.ndarray]] = {}
        self.done: dict[int, set[int]] = {}
        self.broken: int | None = None
        self.early_stop: bool | None = None

    @property
    def anchors(self) -> dict[int, set[int]]:
        return {number: set(masks) for number, masks in self.masks.items()}

    def add(self, object_id: int, frame: int, prompts: Prompts) -> None:
        assert prompts.mask is not None
        self.masks.setdefault(object_id, {})[frame] = prompts.mask
        self.done[object_id] = set()

    def remove(self, object_id: int, frame: int) -> None:
        del self.masks[object_id][frame]
        self.done[object_id] = set()
        if not self.masks[object_id]:
            del self.masks[object_id]

    def at(self, frame: int, fresh: frozenset[int] = frozenset()) -> Any:
        objects, labels = {}, np.zeros(SHAPE, np.uint32)
        for number, masks in self.masks.items():
            if frame not in masks and frame not in self.done[number]:
                continue
            near = min(masks, key=lambda t: abs(t - frame))
            mask = np.roll(masks[near], frame - near, 1)
            labels[mask] = number
            objects[number] = SimpleNamespace(mask=mask, score=0.4 if frame == 4 else 0.9, object_score=1.0)
        doubts = dict.fromkeys(objects, "has a score of 0.40") if frame == 4 else {}
        return SimpleNamespace(
            index=frame, labels=labels, objects=objects, fresh=fresh, ended=frozenset(), doubts=doubts
        )

    def propagate(self, direction: str, frames: range, *, early_stop: bool) -> Iterator[Any]:
        self.early_stop = early_stop
        for step in {"both": (1, -1), "forward": (1,), "backward": (-1,)}[direction]:
            for frame in frames[::step]:
                behind = {n for n, masks in self.masks.items() if any(step * (frame - t) > 0 for t in masks)}
                fresh = {n for n in behind if frame not in self.masks[n] and frame not in self.done[n]}
                if fresh and frame == self.broken:
                    msg = "frame is gone"
                    raise ValueError(msg)
                for number in fresh:
                    self.done[number].add(frame)
                yield self.at(frame, frozenset(fresh))


class Pair:
    """A movie with two objects on frame 2."""

    name = "cells"

    def __init__(self) -> None:
        self.labels = np.zeros((FRAMES, *SHAPE), np.uint16)
        self.labels[2, 3:6, 4:8], self.labels[2, 10:14, 10:16] = 1, 5
        self.obstacle = self.loss = ""
        self.key = "pair"
        self.axes = (StackAxis(0, "time", FRAMES),)
        self.frame = 2
        self.shown: list[int] = []

    def request(self, axis: int, frames: range, direction: Any, written: Any, *, early_stop: bool) -> FollowRequest:
        planes = tuple(PlaneIndex((t, 0, 0), (1, 2)) for t in range(FRAMES))
        image, labels = Source(np.zeros((FRAMES, *SHAPE))), Source(self.labels)
        return FollowRequest(
            self.key, image, planes, labels, planes, self.frame, frames, direction, early_stop, written
        )

    def write(self, plane: PlaneIndex, labels: np.ndarray, ids: Any) -> Any:
        view = plane.get(self.labels)
        patch = replace_objects(view, labels, ids)
        return SimpleNamespace(pixels=patch.changed, undo=lambda: patch.undo(view), redo=lambda: patch.redo(view))

    def go_to(self, plane: PlaneIndex) -> None:
        self.shown.append(plane.steps[0])


class Bench:
    """A follower whose jobs run when they are told to; each progress is one beat."""

    def __init__(self) -> None:
        self.pair, self.sessions, self.errors = Pair(), list[MovingSession](), list[str]()
        self.broken: int | None = None
        self.jobs: list[tuple[Job, Callable[[Outcome], None]]] = []
        self.state = FollowState()
        segmenter = Segmenter(lambda name, _: name, lambda _: None, make_stack=self.make_stack)  # type: ignore[arg-type,return-value]
        self.follower = Follower(
            self.state, segmenter, lambda *job: self.jobs.append(job), lambda *_: self.pair, self.errors.append
        )
        self.follower.set_models(MODELS)
        self.follower.choose_model(MODELS[0].name)
        self.run()
        self.follower.look_at("image", "labels")

    def make_stack(self, _model: Any, frames: Any) -> MovingSession:
        assert len(frames) == FRAMES
        assert frames[0].shape == SHAPE
        self.sessions.append(MovingSession())
        self.session.broken = self.broken
        return self.session

    @property
    def session(self) -> MovingSession:
        return self.sessions[-1]

    def run(self, on_beat: Callable[[int], None] = lambda _: None) -> None:
        job, done = self.jobs.pop(0)
        beats = iter(range(1000))

        def tell(share: float) -> None:
            if not job.is_wanted():
                msg = "nobody waits"
                raise RuntimeError(msg)
            if job.on_progress is not None:
                job.on_progress(share)
            on_beat(next(beats))

        done(perform(job, tell))

    def follow(self, **options: Any) -> None:
        self.follower.follow("image", "labels")
        self.run(**options)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def moved(by: int, number: int = 1) -> np.ndarray:
    return np.roll(Pair().labels[2] == number, by, 1)


def test_objects_are_followed_both_ways_and_taken_back(bench: Bench) -> None:
    assert (bench.state.first, bench.state.last) == (0, 5)
    before = bench.pair.labels.copy()
    bench.follow()
    for t in range(FRAMES):
        for number in (1, 5):
            np.testing.assert_array_equal(bench.pair.labels[t] == number, moved(t - 2, number))
    assert bench.state.status.startswith("5 frames were written in")
    assert bench.state.weak_frames == [4]
    assert bench.state.reports[2].is_given
    after = bench.pair.labels.copy()
    bench.follower.undo()
    np.testing.assert_array_equal(bench.pair.labels, before)
    assert (bench.state.next_undo, bench.state.next_redo) == ("", "following")
    bench.follower.redo()
    np.testing.assert_array_equal(bench.pair.labels, after)


def test_range_and_direction_are_kept_to(bench: Bench) -> None:
    bench.follower.choose_frames(5, 1)
    bench.follower.choose_direction("forward")
    bench.follow()
    assert [bool(plane.any()) for plane in bench.pair.labels] == [False, False, True, True, True, True]
    assert (bench.state.first, bench.state.last) == (1, 5)


def test_a_corrected_object_goes_on_from_there_and_others_keep_what_they_have(bench: Bench) -> None:
    bench.follow()
    bench.pair.frame = 4
    bench.pair.labels[4][bench.pair.labels[4] == 1] = 0
    bench.pair.labels[4, 3:6, 20:24] = 1
    bench.pair.labels[3][bench.pair.labels[3] == 5] = 0  # the user wants none of it there
    before = bench.pair.labels.copy()
    bench.follow()
    assert bench.session.anchors == {1: {2, 4}, 5: {2}}
    assert len(bench.sessions) == 1
    assert np.argwhere(bench.pair.labels[5] == 1).min(0).tolist() == [3, 21]
    np.testing.assert_array_equal(bench.pair.labels == 5, before == 5)
    np.testing.assert_array_equal(bench.pair.labels[[2, 4]], before[[2, 4]])
    assert bench.state.reports[2].is_given
    bench.follower.undo()
    np.testing.assert_array_equal(bench.pair.labels == 5, before == 5)


def test_what_is_drawn_on_other_frames_is_heeded_not_overwritten(bench: Bench) -> None:
    bench.pair.labels[5, 12:15, 20:25] = 5
    bench.follow()
    assert bench.session.anchors == {1: {2}, 5: {2, 5}}
    assert (bench.pair.labels[5] == 5).sum() == 15
    bench.pair.labels[5][bench.pair.labels[5] == 5] = 0  # and taken back
    bench.follow()
    assert bench.session.anchors == {1: {2}, 5: {2}}
    np.testing.assert_array_equal(bench.pair.labels[5] == 5, moved(3, 5))


def test_what_is_labelled_everywhere_is_left_alone(bench: Bench) -> None:
    bench.follow()
    before = bench.pair.labels.copy()
    bench.follow()
    assert bench.state.status.startswith("Nothing was left to do")
    bench.follower.choose_file("other.safetensors")
    bench.run()
    bench.follow()  # by another session
    assert bench.session.anchors == {1: {2}, 5: {2}}
    np.testing.assert_array_equal(bench.pair.labels, before)


def test_after_undo_all_is_written_again(bench: Bench) -> None:
    bench.follow()
    after = bench.pair.labels.copy()
    bench.follower.undo()
    bench.follow()
    np.testing.assert_array_equal(bench.pair.labels, after)
    assert "5 frames were written" in bench.state.status


def test_an_object_partly_under_another_is_not_corrected(bench: Bench) -> None:
    bench.pair.labels[3, 3:6, 5:7] = 9  # of the user's, where object 1 will be
    bench.follow()
    assert (bench.pair.labels[3] == 9).sum() == 6
    bench.pair.frame = 3
    bench.follow()
    assert bench.session.anchors[1] == {2}
    assert bench.session.anchors[9] == {3}


def test_other_labels_or_another_image_begin_anew(bench: Bench) -> None:
    bench.follow()
    bench.pair.key = "another"
    bench.follower.look_at("image", "labels")
    assert not bench.state.reports
    bench.pair.labels[[0, 1, 3, 4, 5]] = 0
    bench.follow()
    assert len(bench.sessions) == 2
    assert bench.pair.labels[0].any()


def test_cancel_keeps_what_is_done(bench: Bench) -> None:
    bench.follow(on_beat=lambda beat: bench.follower.cancel() if beat == 3 else None)
    assert not bench.state.running
    assert bench.state.status == "Cancelled; 1 frame was written."
    assert [bool(plane.any()) for plane in bench.pair.labels] == [False, False, True, True, False, False]
    bench.follower.undo()
    assert [bool(plane.any()) for plane in bench.pair.labels] == [False, False, True, False, False, False]


def test_a_layer_that_goes_ends_it(bench: Bench) -> None:
    def lose(beat: int) -> None:
        if beat == 1:
            bench.pair.loss = "cells was removed"
            bench.follower.check_layers()

    bench.follow(on_beat=lose)
    assert [job.kind for job, _ in bench.jobs] == ["forget"]
    assert not bench.state.reports
    assert bench.state.status == "cells was removed, so following ended."
    assert not bench.state.running
    assert not bench.errors


def test_a_frame_that_fails_keeps_what_is_done(bench: Bench) -> None:
    bench.broken = 1
    bench.follow()
    assert bench.errors
    assert "frame is gone" in bench.errors[0]
    assert "3 frames were written." in bench.state.status
    assert bench.pair.labels[4].any()


def test_doubts_are_told_and_objects_may_end_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    at = MovingSession.at

    def lose(session: MovingSession, frame: int, fresh: frozenset[int] = frozenset()) -> Any:
        found = at(session, frame, fresh)
        if frame == 5:
            found.objects.clear()
            found.labels[:] = 0
        return found

    monkeypatch.setattr(MovingSession, "at", lose)
    bench.follow()
    assert bench.session.early_stop is False
    assert bench.state.reports[4].weak == "object 1 has a score of 0.40, and 1 more"
    assert 5 not in bench.state.reports, "nothing was to be found there"
    assert not bench.state.reports[1].weak
    bench.follower.choose_early_stop(True)
    bench.follow()
    assert bench.session.early_stop is True


def test_weak_frames_are_found_from_anywhere(bench: Bench) -> None:
    bench.follow()
    bench.follower.show_weak(0, 1)
    bench.follower.show_weak(5, -1)
    assert bench.pair.shown == [4, 4]
    assert bench.state.status == "Frame 4: object 1 has a score of 0.40, and 1 more."
    bench.follower.show_weak(4, 1)
    assert bench.state.status == "No weak frame after this one."
    bench.follower.show_frame(2)
    assert bench.state.status == "Frame 2: the objects are followed from here."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: setattr(b.pair, "obstacle", "Switch to the 2D view."), "Switch to the 2D view."),
        (lambda b: setattr(b.pair, "axes", ()), "is on display; choose another"),
        (lambda b: b.pair.labels.fill(0), "There are no objects on this frame"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(bench: Bench, change: Callable[[Bench], None], says: str) -> None:
    change(bench)
    before = bench.pair.labels.copy()
    bench.follower.follow("image", "labels")
    if bench.jobs:
        bench.run()
    assert says in bench.errors[0]
    np.testing.assert_array_equal(bench.pair.labels, before)
    assert not bench.state.running
    bench.follower.follow(None, "labels")
    assert bench.errors[-1].startswith("There is no image")


def test_nothing_happens_after_the_end(bench: Bench) -> None:
    bench.follower.follow("image", "labels")
    bench.follower.close()
    bench.run()
    bench.follower.follow("image", "labels")
    assert not bench.jobs
    assert not bench.pair.labels[3].any()
