"""Whatever is done in whatever order, undo leads back to where it began, and redo to where it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from desk import Desk
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer.marks import Marks, Region

SHAPE = (2, 22, 26)


class User:
    """Does what a user does, as two numbers say; notes what was painted by hand."""

    def __init__(self) -> None:
        self.desk = Desk(SHAPE)
        self.controller, self.canvas = self.desk.controller, self.desk.canvas
        self.painted = np.zeros(SHAPE, np.int64)
        self.strokes = 0

    def place(self, a: int, b: int) -> tuple[float, float]:
        return float(a % SHAPE[1]), float(b % SHAPE[2])

    def ids(self, a: int, b: int) -> list[int]:
        """Return one or two objects of the plane that is shown."""
        there = [row.object_id for row in self.desk.state.objects]
        return [*dict.fromkeys(there[n % len(there)] for n in (a, b))] if there else []

    def click(self, a: int, b: int) -> None:
        self.controller.set_negative(a % 5 == 0)
        self.canvas.click(*self.place(a, b))

    def keep(self, a: int, b: int) -> None:
        self.click(2 * (a // 2) + 1, b)
        self.controller.commit()

    def move(self, a: int, b: int) -> None:
        marks = self.canvas.read_marks(self.canvas.plane)
        if marks.points:
            index = a % len(marks.points)
            points = [*marks.points]
            points[index] = (*self.place(b, a), points[index][2])
            self.canvas.change(Marks(tuple(points), marks.regions))

    def unprompt(self, a: int, b: int) -> None:
        marks = self.canvas.read_marks(self.canvas.plane)
        points = [point for n, point in enumerate(marks.points) if n != a % len(marks.points)]
        self.canvas.change(Marks(tuple(points), marks.regions if b % 2 else ()))

    def box(self, a: int, b: int) -> None:
        (y, x), marks = self.place(a, b), self.canvas.read_marks(self.canvas.plane)
        box = Region("rectangle", ((y, x), (y, x + 6), (y + 5, x + 6), (y + 5, x)))
        if box not in marks.regions:
            self.canvas.change(Marks(marks.points, (*marks.regions, box)))

    def reopen(self, a: int, b: int) -> None:
        for object_id in self.ids(a, b)[:1]:
            self.controller.objects.reopen(object_id)

    def delete(self, a: int, b: int) -> None:
        if ids := self.ids(a, b):
            self.controller.objects.delete(ids)

    def merge(self, a: int, b: int) -> None:
        if ids := self.ids(a, b):
            self.controller.objects.merge(ids)

    def split(self, a: int, b: int) -> None:
        (y, x) = self.place(a, b)
        self.canvas.draw((y, -1), (x, SHAPE[2])) if a % 2 else self.canvas.draw((-1, x), (SHAPE[1], y))

    def classify(self, a: int, b: int) -> None:
        if ids := self.ids(a, b):
            self.controller.objects.classify(("", "cell", "dividing")[a % 3], ids)

    def call(self, a: int, b: int) -> None:
        for object_id in self.ids(a, b)[:1]:
            self.controller.objects.call(object_id, ("", "Anna", "Ben")[b % 3])

    def slide(self, a: int, _: int) -> None:
        self.canvas.slide(a % SHAPE[0])

    def tidy(self, a: int, _: int) -> None:
        self.controller.set_tidying(Tidying(smooth=bool(a % 2), specks=a % 9))

    def overlap(self, a: int, _: int) -> None:
        self.controller.set_overlap("keep" if a % 2 else "overwrite")

    def paint(self, a: int, b: int) -> None:
        """Paint with a label that nothing else has."""
        self.strokes += 1
        self._stroke(a, b, 1000 * self.strokes)

    def erase(self, a: int, b: int) -> None:
        self._stroke(a, b, 0)

    def _stroke(self, a: int, b: int, label: int) -> None:
        (y, x) = map(int, self.place(a, b))
        for labels in (self.canvas.labels, self.painted):
            labels[self.canvas.plane.steps[0], y : y + 4, x : x + 3] = label
        self.canvas.labels_changed.emit(None)

    def guess(self, _: int, __: int) -> None:
        self.controller.next_candidate()

    def clear(self, _: int, __: int) -> None:
        self.controller.clear()

    def undo(self, _: int, __: int) -> None:
        self.controller.undo()

    def redo(self, _: int, __: int) -> None:
        self.controller.redo()

    @property
    def everything(self) -> dict[str, Any]:
        """What undo and redo bring back."""
        work = self.controller._work
        assert work is not None
        return {
            "labels": self.canvas.labels.tolist(),
            "prompts": {plane: marks for plane, marks in self.canvas.marks.items() if marks},
            "at hand": {plane: (d.marks, d.choice, d.object_id) for plane, d in work.drafts.items() if d.marks},
            "names": dict(self.canvas.names),
            "origins": dict(work.origins.known),
        }

    def undo_all(self) -> list[dict[str, Any]]:
        """Undo every act; return what there was before each of these, the newest first."""
        states = []
        while self.desk.state.undo:
            states.append(self.everything)
            self.controller.undo()
        return states

    def redo_all(self, states: list[dict[str, Any]]) -> None:
        """Do again what was undone; everything must be as it was on the way back."""
        for state in reversed(states):
            self.controller.redo()
            assert self.everything == state


ACTS: dict[str, Callable[[User, int, int], None]] = {
    name: getattr(User, name)
    for name in (
        *("click", "keep", "keep", "move", "unprompt", "box", "guess", "clear", "reopen", "delete", "merge", "split"),
        *("classify", "call", "slide", "tidy", "overlap", "paint", "undo", "redo"),
    )
}
NUMBERS = st.integers(0, 99)
SEQUENCES = st.lists(st.tuples(st.sampled_from(["keep", *ACTS]), NUMBERS, NUMBERS), min_size=4, max_size=14)
FAST = {"deadline": None, "suppress_health_check": [*HealthCheck], "database": None}


def do(acts: list[tuple[str, int, int]]) -> User:
    user = User()
    for name, a, b in acts:
        {**ACTS, "erase": User.erase}[name](user, a, b)
    assert user.desk.errors == []
    return user


@settings(max_examples=700, **FAST)
@example([("keep", 11, 11), ("call", 0, 1), ("delete", 0, 0)])
@example([("keep", 11, 11), ("keep", 5, 5), ("call", 1, 1), ("classify", 0, 1), ("merge", 0, 1), ("split", 11, 5)])
@given(SEQUENCES)
def test_undo_leads_back_to_what_was_painted_and_redo_to_the_end(acts: list[tuple[str, int, int]]) -> None:
    user = do(acts)
    end = user.everything
    states = user.undo_all()
    start = {"labels": user.painted.tolist(), "prompts": {}, "at hand": {}, "names": {}, "origins": {}}
    assert user.everything == start
    user.redo_all(states)
    assert user.everything == end


@settings(max_examples=300, **FAST)
@given(
    st.lists(st.one_of(SEQUENCES.map(lambda some: some[0]), st.tuples(st.just("erase"), NUMBERS, NUMBERS)), max_size=14)
)
def test_erasing_by_hand_does_not_mix_up_what_is_undone_and_redone(acts: list[tuple[str, int, int]]) -> None:
    user = do(acts)
    end = user.everything
    states = user.undo_all()
    start = user.everything
    assert {**start, "labels": []} == {"labels": [], "prompts": {}, "at hand": {}, "names": {}, "origins": {}}
    user.redo_all(states)
    assert user.everything == end
    user.undo_all()
    assert user.everything == start


@pytest.mark.parametrize("steps", [200])
def test_two_hundred_steps_can_be_undone(steps: int) -> None:
    user = User()
    for n in range(steps // 4):
        user.click(2 * n + 1, 3 * n)
        user.canvas.click(5.0, float(n % 20))
        user.controller.clear()
        user.canvas.click(float(n % 20), 5.0)
    end = user.everything
    assert len(user.undo_all()) >= steps
    assert user.everything["prompts"] == {}
    while user.desk.state.redo:
        user.controller.redo()
    assert user.everything == end
