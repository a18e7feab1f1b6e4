from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from annotated import discs

from napari_sam2refiner.datasets import Field
from napari_sam2refiner.evaluation import protocols
from napari_sam2refiner.evaluation.protocols import Protocol, evaluate_field
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.sessions.base import Candidate, Prediction

if TYPE_CHECKING:
    import pytest

    from napari_sam2refiner.prompts import Prompts

Mask = npt.NDArray[np.bool_]


class KnowingSession:
    """Knows the labels: answers with the object under the first click or in the box, or with nothing."""

    def __init__(self, labels: npt.NDArray[np.int32], *, answers: bool = True, half_first: bool = False) -> None:
        self.labels, self.answers, self.half_first = labels, answers, half_first
        self.asked: list[Sequence[Prompts]] = []
        self.refined: list[bool] = []
        self.given: list[list[Prediction | None]] = []

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.labels.shape
        return rows, columns

    def set_image(self, image: npt.NDArray[Any]) -> Self:
        assert image.shape[:2] == self.shape
        return self

    def predict(self, prompts: Prompts, *, refine: bool, previous: Prediction | None = None) -> Prediction:
        prompts.check(self.shape)
        if len(prompts.boxes):
            y0, x0, y1, x1 = prompts.boxes[0]
            y, x = round((y0 + y1) / 2), round((x0 + x1) / 2)
        else:
            y, x = map(round, prompts.points[0])
        self.refined.append(refine)
        truth = (self.labels == self.labels[y, x]) & self.answers
        shown = truth.copy()
        if self.half_first and previous is None and not len(prompts.boxes):
            shown[:y] = False
        masks = (shown, truth)
        candidates = tuple(Candidate(m, np.where(m, 1, -1).astype(np.float32), 0.5) for m in masks)
        return Prediction(shown, candidates[0].logits, 0.5, candidates)

    def predict_many(
        self, prompts: Sequence[Prompts], *, previous: Sequence[Prediction | None] | None = None, **options: Any
    ) -> list[Prediction]:
        self.asked.append(prompts)
        before = [None] * len(prompts) if previous is None else list(previous)
        self.given.append(before)
        return [self.predict(p, previous=b, **options) for p, b in zip(prompts, before, strict=True)]


def field() -> Field:
    image, labels = discs()
    return Field("discs", image, labels, limits(image))


def test_who_knows_the_truth_scores_one() -> None:
    session = KnowingSession(field().labels)
    score = evaluate_field(session, field(), Protocol())
    columns = ["best candidate", "1 click", "3 clicks", "5 clicks", "box", "noisy box"]
    assert {who: list(of) for who, of in score.ious.items()} == {
        "base": columns,
        "otsu": columns[1:],
    }
    for column in columns:
        assert score.ious["base"][column] == score.boundary_ious["base"][column] == [1.0, 1.0, 1.0]
    assert [len(prompts) for prompts in session.asked[:5]] == [3, 0, 0, 0, 0]  # nothing to correct


def test_who_answers_nothing_scores_zero() -> None:
    session = KnowingSession(field().labels, answers=False)
    score = evaluate_field(session, field(), Protocol(clicks=(1, 3), rivals=()))
    assert list(score.ious) == ["base"]
    assert list(score.ious["base"]) == ["best candidate", "1 click", "3 clicks", "box", "noisy box"]
    assert all(value == 0.0 for values in score.ious["base"].values() for value in values)
    assert [len(p.points) for p in session.asked[2]] == [3, 3, 3]
    assert all(p.labels.all() for p in session.asked[2])


def test_corrections_build_on_the_answer_before() -> None:
    session = KnowingSession(field().labels, half_first=True)
    score = evaluate_field(session, field(), Protocol(clicks=(1, 2), boxes=False, rivals=()))
    assert all(0.3 < value < 0.8 for value in score.ious["base"]["1 click"])
    assert score.ious["base"]["2 clicks"] == score.ious["base"]["best candidate"] == [1.0, 1.0, 1.0]
    assert session.given[0] == [None, None, None]
    assert all(answer is not None for answer in session.given[1])


def test_many_objects_are_asked_in_chunks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate_field(KnowingSession(field().labels, half_first=True), field(), Protocol())
    monkeypatch.setattr(protocols, "CHUNK", 2)
    session = KnowingSession(field().labels, half_first=True)
    assert evaluate_field(session, field(), Protocol()) == whole
    assert max(map(len, session.asked)) == 2


def test_a_choice_of_objects_is_always_the_same() -> None:
    def asked() -> list[list[float]]:
        session = KnowingSession(field().labels)
        evaluate_field(session, field(), Protocol(clicks=(1,), objects=2))
        return [p.points[0].tolist() for p in session.asked[0]]

    assert len(asked()) == 2
    assert asked() == asked()


def test_random_points_are_given_at_once() -> None:
    session = KnowingSession(field().labels)
    score = evaluate_field(session, field(), Protocol(clicks=(), boxes=False, random_points=(1, 5), rivals=()))
    assert score.ious == {"base": {"1 random point": [1.0] * 3, "5 random points": [1.0] * 3}}
    assert [[len(p.points) for p in prompts] for prompts in session.asked] == [[1, 1, 1], [5, 5, 5]]
    for prompts in session.asked[1]:
        assert len({session.labels[y, x] for y, x in prompts.points.astype(int)}) == 1


def test_base_and_refiner_are_asked_the_same() -> None:
    session = KnowingSession(field().labels, half_first=True)
    score = evaluate_field(session, field(), Protocol(clicks=(1,), random_points=(2,), rivals=(), refined=True))
    assert score.ious["refined"] == score.ious["base"]
    assert session.refined == [False] * 12 + [True] * 12
    asked = [[(p.points.tolist(), p.boxes.tolist()) for p in prompts] for prompts in session.asked]
    assert asked[:4] == asked[4:]


def test_clicks_are_counted_until_a_target_is_reached() -> None:
    session = KnowingSession(field().labels, half_first=True)
    score = evaluate_field(session, field(), Protocol(clicks=(), boxes=False, rivals=(), targets=(0.2, 0.9)))
    assert score.clicks_needed == {"base": {"NoC@20": [1, 1, 1], "NoC@90": [2, 2, 2]}}
    ignorant = KnowingSession(field().labels, answers=False)
    score = evaluate_field(ignorant, field(), Protocol(clicks=(1,), boxes=False, rivals=(), targets=(0.9,)))
    assert score.clicks_needed == {"base": {"NoC@90": [20, 20, 20]}}
