from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.base import Candidate, Prediction
from napari_sam2refiner.sessions.windows import LARGE, SMALL, Window, is_better_from_afar, window_for, with_closer_look

SIDE = 512


def answer(shape: tuple[int, int], top: int, left: int, height: int, width: int) -> Prediction:
    logits = np.full(shape, -5.0, np.float32)
    logits[top : top + height, left : left + width] = 3.0
    candidates = tuple(Candidate(logits > 0, logits, 0.6) for _ in range(3))
    return Prediction(logits > 0, logits, 0.6, candidates)


@given(st.data())
def test_a_small_object_lies_wholly_in_its_window(data):
    shape = tuple(data.draw(st.lists(st.integers(130, 700), min_size=2, max_size=2)))
    longest = int(SMALL * max(shape) / SIDE)
    height, width = (data.draw(st.integers(1, min(longest, n))) for n in shape)
    top, left = data.draw(st.integers(0, shape[0] - height)), data.draw(st.integers(0, shape[1] - width))
    window = window_for(Prompts(points=[(top, left)]), answer(shape, top, left, height, width), SIDE)
    assert window is not None
    assert window.top <= top
    assert window.left <= left
    assert window.top + window.height >= top + height
    assert window.left + window.width >= left + width
    assert 0 <= window.top <= window.top + window.height <= shape[0]
    assert 0 <= window.left <= window.left + window.width <= shape[1]


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((512, 512), 49, None),  # large enough
        ((512, 512), 40, 256),
        ((512, 512), 20, 128),
        ((512, 512), 3, 64),  # no closer than this
        ((2048, 2048), 30, 128),
        ((1000, 2048), 30, 128),
        ((100, 100), 3, None),  # nothing more to see
        ((30, 300), 10, 75),
    ],
)
def test_smaller_objects_are_looked_at_from_nearer(shape, size, expected):
    prompts = Prompts(points=[(12, 12)])
    window = window_for(prompts, answer(shape, 10, 10, min(size, 15), size), SIDE)
    assert window == (None if expected is None else Window(0, 0, min(expected, shape[0]), expected))


def test_a_smaller_square_shows_less_as_large():
    small = answer((512, 512), 10, 10, 20, 20)
    assert window_for(Prompts(points=[(12, 12)]), small, SIDE, SIDE // 2) == Window(0, 0, 64, 64)
    assert window_for(Prompts(points=[(12, 12)]), answer((512, 512), 10, 10, 3, 3), SIDE, SIDE // 2).height == 32
    assert window_for(Prompts(points=[(12, 12)]), answer((100, 100), 10, 10, 3, 3), SIDE, SIDE // 2) is None


def test_neighbours_share_a_window():
    windows = {
        window_for(Prompts(points=[(y, x)]), answer((512, 512), y - 5, x - 5, 11, 11), SIDE)
        for y, x in [(250, 250), (256, 262), (262, 250)]
    }
    assert len(windows) == 1


def test_all_that_is_prompted_counts():
    small = answer((512, 512), 100, 100, 10, 10)
    assert window_for(Prompts(points=[(105, 105)]), small, SIDE) is not None
    assert window_for(Prompts(points=[(105, 105), (300, 300)], labels=[1, 0]), small, SIDE) is not None
    assert window_for(Prompts(points=[(105, 105), (300, 300)]), small, SIDE) is None
    assert window_for(Prompts(boxes=[(90, 90, 200, 200)]), small, SIDE) is None
    mask = np.zeros((512, 512), bool)
    mask[100:300, 100:110] = True
    assert window_for(Prompts(points=[(105, 105)], mask=mask), small, SIDE) is None
    nothing = answer((512, 512), 0, 0, 0, 0)
    assert window_for(Prompts(boxes=[(90, 90, 110, 110)]), nothing, SIDE).height == 128


def test_the_mean_of_both_looks_is_the_answer():
    first = answer((200, 200), 50, 50, 10, 10)
    window = Window(40, 40, 64, 64)
    logits = np.full((64, 64), -6.0, np.float32)
    logits[12:22, 10:20] = 7.0
    both = with_closer_look(first, Prediction(logits > 0, logits, 0.8), window)
    assert both.score == pytest.approx(0.7)
    assert both.mask.sum() == 10 * 10 + 0  # 7 - 5 > 0 below, 3 - 6 < 0 above
    assert both.mask[52:62, 50:60].all()
    assert both.logits[0, 0] == -5.0
    assert both.candidates[0].mask is both.mask
    assert both.candidates[1:] == first.candidates[1:]
    assert first.logits[50, 50] == 3.0


def test_only_what_is_large_and_better_is_taken_from_afar():
    near = answer((1024, 512), 10, 10, 20, 20)
    large = answer((1024, 512), 10, 10, 2 * LARGE[0], 30)
    assert is_better_from_afar(near, replace(large, score=0.7), SIDE)
    assert not is_better_from_afar(near, replace(large, score=0.61), SIDE)
    for length in (2 * LARGE[0] - 1, 2 * LARGE[1] + 1):
        other = answer((1024, 512), 10, 10, length, 30)
        assert not is_better_from_afar(near, replace(other, score=0.9), SIDE)
    assert not is_better_from_afar(near, replace(answer((1024, 512), 0, 0, 0, 0), score=0.9), SIDE)
