"""Outlines run along the edges of pixels, and give back the mask they are of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam2refiner.labels.exchange.outlines import area, fill, trace


@settings(deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_mask_comes_back(mask: npt.NDArray[Any]) -> None:
    outlines = trace(mask)
    part = fill(outlines, mask.shape)
    np.testing.assert_array_equal(part.whole(), mask)
    assert sum(map(area, outlines)) == mask.sum(), "those of holes count against it"


def test_only_corners_are_named_clockwise_and_of_holes_the_other_way() -> None:
    mask = np.ones((6, 8), bool)
    mask[2:4, 3:5] = False
    outer, hole = sorted(trace(mask), key=area, reverse=True)
    assert outer.tolist() == [[0, 0], [0, 8], [6, 8], [6, 0]]
    assert len(hole) == 4
    assert area(outer) == 48
    assert area(hole) == -4


def test_pixels_that_touch_at_a_corner_are_outlined_apart() -> None:
    assert len(trace(np.eye(3, dtype=bool))) == 3


@pytest.mark.parametrize("shift", [(-4, -3), (5, 6), (100, 100)])
def test_what_is_outside_the_plane_is_cut_off(shift: tuple[int, int]) -> None:
    square = np.array([[0, 0], [0, 6], [6, 6], [6, 0]]) + shift
    whole = np.zeros((40, 40), bool)
    whole[max(0, 15 + shift[0]) : 21 + shift[0], max(0, 15 + shift[1]) : 21 + shift[1]] = True
    np.testing.assert_array_equal(fill([square], (9, 9)).whole(), whole[15:24, 15:24])
