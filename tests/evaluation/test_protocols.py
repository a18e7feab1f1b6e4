from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from annotated import discs
from fakes import KnowingSession

from napari_sam2refiner.datasets import Field
from napari_sam2refiner.evaluation import protocols
from napari_sam2refiner.evaluation.damage import OTSU, damaged, drawn_at_half_size
from napari_sam2refiner.evaluation.protocols import Protocol, evaluate_field, hq_box
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.simulated_user import tight_box

if TYPE_CHECKING:
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.base import Prediction

Mask = npt.NDArray[np.bool_]


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


@pytest.mark.parametrize("asked", [{"clicks": (1, 3)}, {"labels": True, "clicks": (), "boxes": False}])
def test_the_refiner_is_asked_at_the_detail_that_is_wanted(asked: dict[str, Any]) -> None:
    session = KnowingSession(field().labels)
    evaluate_field(session, field(), Protocol(rivals=(), refined=True, local_detail="on", **asked))
    assert {detail for detail, refine in zip(session.details, session.refined, strict=True) if refine} == {"on"}


def test_labels_made_worse_are_refined() -> None:
    session = KnowingSession(field().labels)
    score = evaluate_field(session, field(), Protocol(clicks=(), boxes=False, labels=True, rivals=()))
    assert list(score.ious) == ["drawn", "base"]
    kinds = ["eroded", "dilated", "shifted", "smoothed", "coarsened", "Otsu + watershed", "base at half size"]
    assert list(score.ious["base"]) == kinds
    for kind, ious in score.ious["drawn"].items():
        assert all(0.3 < value <= 1.0 for value in ious), kind
        assert score.ious["base"][kind] == [1.0, 1.0, 1.0]
    assert max(score.ious["drawn"]["eroded"]) < 1.0
    chosen = Protocol(clicks=(), boxes=False, labels=True, rivals=(), objects=1)
    assert len(evaluate_field(session, field(), chosen).ious["drawn"]["eroded"]) == 1


def test_labels_at_half_size_are_drawn_by_the_base_at_their_place() -> None:
    session = KnowingSession(field().labels)
    drawn = drawn_at_half_size(session, field(), np.array([1, 3], np.int32))
    assert session.refined == [False, False]
    assert set(np.unique(drawn)) == {0, 1, 3}
    for number in (1, 3):
        assert 0.8 < iou(drawn == number, field().labels == number) < 1.0


def test_objects_that_otsu_does_not_find_are_missed() -> None:
    item = field()
    dark = Field("dark", np.where(item.labels == 3, 20, item.image), item.labels, item.limits)
    ids = np.array([1, 2, 3], np.int32)
    drawn = damaged(dark, ids, OTSU)
    assert set(np.unique(drawn)) == {0, 1, 2}
    assert iou(drawn == 2, item.labels == 2) > 0.8


def test_hq_sams_box_lies_in_its_square() -> None:
    truth = np.zeros((512, 2048), bool)
    truth[10:20, 100:300] = True
    # Rows are magnified twice: 20 to 39 of the square; columns are halved: 50 to 149.
    assert hq_box(truth) == (9.75, 100.5, 19.25, 298.5)
    dot = np.zeros((4096, 4096), bool)
    dot[7, 9] = True
    assert hq_box(dot) == (6.5, 8.5, 7.5, 9.5)
    line = np.zeros((1024, 1024), bool)
    line[500, 100:900] = True
    assert hq_box(line) == tight_box(line), "a single row of the square makes no box"


def test_hq_sams_protocol_takes_intensities_as_they_are() -> None:
    session = KnowingSession(field().labels)
    score = evaluate_field(session, field(), Protocol(clicks=(), boxes=False, rivals=(), hq_box=True))
    assert score.ious == {"base": {"HQ box": [1.0] * 3}}
    assert session.intensity == "dtype"


def test_clicks_beside_hq_sams_protocol_take_percentiles() -> None:
    session = KnowingSession(field().labels)
    seen: list[tuple[str, bool]] = []
    predict_many = session.predict_many

    def watch(prompts: Sequence[Prompts], **options: Any) -> list[Prediction]:
        seen.append((session.intensity, len(prompts[0].boxes) > 0))
        return predict_many(prompts, **options)

    session.predict_many = watch  # type: ignore[method-assign]
    evaluate_field(session, field(), Protocol(clicks=(1,), boxes=False, rivals=(), hq_box=True))
    assert seen == [("percentile", False), ("dtype", True)]
