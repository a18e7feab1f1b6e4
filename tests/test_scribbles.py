from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_sam2refiner.errors import InvalidPromptError
from napari_sam2refiner.scribbles import sample_path

NUMBERS = st.floats(-500, 500, width=32)
LINES = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12).map(lambda line: np.array(line, float))
SPACINGS = st.floats(1, 60)


def length_to(line: Any, points: Any) -> Any:
    """Return how far along the line each point is, and how far from it, by a fine resampling."""
    fine = np.concatenate([np.linspace(a, b, 2000) for a, b in pairwise(line)])
    so_far = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    gaps = np.hypot(*(points[:, None] - fine[None]).transpose(2, 0, 1))
    return so_far[gaps.argmin(1)], gaps.min(1)


@settings(deadline=None)
@given(LINES, SPACINGS, st.integers(2, 30))
def test_number_is_bounded_and_ends_are_kept(line: Any, spacing: float, most: int) -> None:
    points = sample_path(line, spacing, most)
    assert 1 <= len(points) <= most
    np.testing.assert_allclose(points[0], line[0])
    np.testing.assert_allclose(points[-1], line[-1] if len(points) > 1 else line[0], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=4, unique=True), SPACINGS)
def test_points_lie_on_the_line_no_farther_apart_than_the_spacing(places: Any, spacing: float) -> None:
    line = np.array(places, float)
    points = sample_path(line, spacing, most=100_000)
    if len(points) > 1:
        steps = np.hypot(*np.diff(points, axis=0).T)  # a straight step is not longer than that along the line
        assert steps.max() <= spacing * (1 + 1e-6)
    _, off = length_to(line, points[:: max(1, len(points) // 20)])
    total = np.hypot(*np.diff(line, axis=0).T).sum()
    assert off.max() <= max(total / 2000, 1e-9)


@settings(deadline=None)
@example(np.array([[5.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), 8.0, 3)
@given(LINES, SPACINGS, st.integers(2, 9))
def test_more_vertices_on_the_same_line_change_nothing(line: Any, spacing: float, parts: int) -> None:
    finer = [line[:1]]
    for start, stop in pairwise(line):
        shares = np.linspace(0, 1, parts + 1)[1:, None]
        finer.append(start * (1 - shares) + stop * shares)
    points, others = sample_path(line, spacing), sample_path(np.concatenate(finer), spacing)
    assert len(points) == len(others)
    # Where the line turns back upon itself, rounding decides on which side it turned: both by as much.
    np.testing.assert_allclose(points, others, atol=1e-3 * spacing)


@settings(deadline=None)
@given(LINES, SPACINGS, st.tuples(NUMBERS, NUMBERS))
def test_moved_lines_have_moved_points(line: Any, spacing: float, by: tuple[float, float]) -> None:
    np.testing.assert_allclose(sample_path(line + by, spacing), sample_path(line, spacing) + by, atol=1e-3 * spacing)


def test_points_are_closer_where_the_line_bends() -> None:
    angles = np.linspace(0, np.pi, 60)[:, None]
    bend = np.concatenate([-np.cos(angles), np.sin(angles)], 1) * 10 + (0, 100)  # half a circle of radius 10
    line = np.concatenate([[[-10.0, 0.0]], bend, [[10.0, 0.0]]])  # there, around, and back
    points = sample_path(line, spacing=40, most=50)
    gaps = np.hypot(*np.diff(points, axis=0).T)
    middle = len(gaps) // 2
    assert gaps[middle] < 0.6 * gaps[0]
    assert len(points) > 1 + 230 / 40, "more than the length alone would have"


def test_straight_lines_have_even_points() -> None:
    points = sample_path([(0, 0), (0, 60)], spacing=20)
    np.testing.assert_allclose(points, [[0, 0], [0, 20], [0, 40], [0, 60]], atol=1e-9)


def test_a_dot_is_one_point() -> None:
    assert sample_path([(3, 4)] * 3, spacing=5).tolist() == [[3, 4]]


@pytest.mark.parametrize("vertices", [[], [(1, 2, 3)], [(1, np.nan)]])
def test_what_is_no_line_is_named(vertices: Any) -> None:
    with pytest.raises(InvalidPromptError, match="rows of two finite numbers"):
        sample_path(vertices, spacing=5)


@pytest.mark.parametrize("options", [{"spacing": 0}, {"spacing": 5, "most": 1}, {"spacing": 5, "turn": 0}])
def test_numbers_that_make_no_sense_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidPromptError, match="too small"):
        sample_path([(0, 0), (1, 1)], **options)
