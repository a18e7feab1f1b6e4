from __future__ import annotations

import numpy as np
import pytest

from napari_sam2refiner.errors import InvalidPromptError
from napari_sam2refiner.sessions.base import Prediction
from napari_sam2refiner.viewer.drafts import Answered, Answers, Draft
from napari_sam2refiner.viewer.marks import Marks, Region

BOX = Region("rectangle", ((2, 3), (2, 8), (7, 8), (7, 3)))
ELLIPSE = Region("ellipse", ((10, 10), (10, 30), (20, 30), (20, 10)))


def answered() -> Answered:
    return Answered(Prediction(np.ones((2, 2), bool), np.ones((2, 2), np.float32), 0.5), 0.1)


def test_marks_become_prompts() -> None:
    prompts = Marks(((4.0, 5.0, True), (1.0, 1.0, False)), (BOX, ELLIPSE)).prompts((40, 40))
    assert prompts.points.tolist() == [[4, 5], [1, 1]]
    assert prompts.labels.tolist() == [True, False]
    assert prompts.boxes.tolist() == [[2, 3, 7, 8]]
    assert prompts.mask is not None
    assert prompts.mask[15, 20]
    assert not prompts.mask[10, 10]


def test_ellipse_has_the_area_of_an_ellipse() -> None:
    turned = Region("ellipse", ((20, 0), (40, 20), (20, 40), (0, 20)))  # a circle in a square on its corner
    for region, area in ((ELLIPSE, np.pi * 5 * 10), (turned, np.pi * 200)):
        assert region.part((50, 50)).area == pytest.approx(area, rel=0.06)


def test_outlines_are_united() -> None:
    one = Region("polygon", ((1, 1), (1, 6), (6, 6), (6, 1)))
    other = Region("polygon", ((10, 10), (10, 16), (16, 16), (16, 10)))
    mask = Marks(regions=(one, other)).prompts((20, 20)).mask
    assert mask is not None
    assert mask[3, 3]
    assert mask[13, 13]
    assert not mask[8, 8]


def test_outline_off_the_plane_is_refused() -> None:
    with pytest.raises(InvalidPromptError, match="empty"):
        Marks(regions=(Region("polygon", ((50, 50), (50, 60), (60, 60))),)).prompts((20, 20))


def test_previous_is_the_latest_answer_whose_marks_are_all_still_there() -> None:
    answers = Answers()
    one = Draft(Marks(((1, 1, True),)))
    two = Draft(Marks(((1, 1, True), (2, 2, False))), 0, one)
    moved = Draft(Marks(((1, 1, True), (3, 3, False))), 0, two)
    first, second = answered(), answered()
    answers.put(one, first)
    assert answers.previous(two) is first.prediction
    answers.put(two, second)
    assert answers.previous(moved) is first.prediction, "the moved point's old wish must not be in it"
    assert answers.previous(one) is None


def test_old_answers_are_forgotten() -> None:
    answers = Answers(limit=2 * answered().size)
    drafts = [Draft() for _ in range(3)]
    for draft in drafts:
        answers.put(draft, answered())
    assert answers.get(drafts[0]) is None
    assert answers.get(drafts[2]) is not None


def test_the_newest_answer_is_kept_however_large() -> None:
    answers, draft = Answers(limit=1), Draft()
    answers.put(Draft(), answered())
    answers.put(draft, answered())
    assert answers.get(draft) is not None
