from __future__ import annotations

import sys

import numpy as np
import pytest
from annotated import discs

from napari_sam2refiner.errors import InvalidConfigError
from napari_sam2refiner.evaluation.rivals import RIVALS, GrabCut, OtsuWatershed, RandomWalker
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.simulated_user import tight_box

TOUCHING = [(20, 25, 12), (20, 46, 12), (45, 70, 10)]
APART = [(20, 20, 12), (45, 70, 10)]


@pytest.mark.parametrize("dark", [False, True])
def test_discs_are_found_and_split_where_they_touch(dark: bool) -> None:
    image, labels = discs(places=TOUCHING)
    rival = OtsuWatershed().set_image(255 - image if dark else image)
    answers = rival.predict_many([Prompts(points=[(y, x)]) for y, x, _ in TOUCHING])
    for number, answer in enumerate(answers, 1):
        assert iou(answer.mask, labels == number) > 0.85
        assert np.array_equal(answer.logits > 0, answer.mask)
    (both,) = rival.predict_many([Prompts(points=[(20, 25), (20, 46)])])
    assert iou(both.mask, labels < 3) < iou(both.mask, (labels == 1) | (labels == 2))
    (one,) = rival.predict_many([Prompts(points=[(20, 25), (20, 46)], labels=[1, 0])])
    assert iou(one.mask, labels == 1) > 0.85


@pytest.mark.parametrize("rival", [RandomWalker, GrabCut])
def test_clicks_and_boxes_find_what_stands_out(rival: type[RandomWalker] | type[GrabCut]) -> None:
    image, labels = discs(places=APART)
    asked = rival().set_image(image)
    for number, (y, x, _) in enumerate(APART, 1):
        other = next(a for a in APART if a[:2] != (y, x))
        prompts = [
            Prompts(points=[(y, x), other[:2], (35, 40)], labels=[1, 0, 0]),
            Prompts(boxes=[tight_box(labels == number)]),
        ]
        for answer in asked.predict_many(prompts):
            assert iou(answer.mask, labels == number) > 0.8


def test_a_click_on_the_ground_takes_nothing() -> None:
    (answer,) = OtsuWatershed().set_image(discs()[0]).predict_many([Prompts(points=[(0, 0)])])
    assert not answer.mask.any()


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize(
    "prompts", [{"points": [(10, 10)]}, {"boxes": [(-5, -5, 40, 40)]}, {"boxes": [(3, 3, 3.4, 9)]}]
)
def test_a_constant_image_is_answered(rival: str, prompts: dict[str, list[tuple[float, ...]]]) -> None:
    (answer,) = RIVALS[rival]().set_image(np.full((20, 30), 7, np.uint8)).predict_many([Prompts(**prompts)])
    assert answer.mask.shape == (20, 30)


def test_without_opencv_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InvalidConfigError, match=r"pip install 'napari-sam2refiner\[evaluate\]'"):
        GrabCut().set_image(discs()[0]).predict_many([Prompts(points=[(10, 10)])])
