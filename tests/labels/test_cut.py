"""Objects are merged, and cut along a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.labels.cut import cut, merge


def box(*windows: tuple[int, int, int, int], label: int = 3) -> Any:
    labels = np.zeros((20, 30), np.uint16)
    for y0, y1, x0, x1 in windows:
        labels[y0:y1, x0:x1] = label
    return labels


def test_objects_become_one_and_others_stay() -> None:
    labels = np.array([[1, 1, 2], [4, 2, 2], [4, 0, 5]], np.uint8)
    before = labels.copy()
    patch = merge(labels, [4, 1, 2], 1)
    np.testing.assert_array_equal(labels, [[1, 1, 1], [1, 1, 1], [1, 0, 5]])
    patch.undo(labels)
    np.testing.assert_array_equal(labels, before)


def test_the_larger_part_keeps_the_id_and_no_pixel_is_lost() -> None:
    labels = box((5, 15, 4, 24))
    before = labels.copy()
    found = cut(labels, np.array([(0, 10), (19, 10)]), 8)
    assert found.parts == {3: (8,)}
    assert set(np.unique(labels[5:15, 4:10])) == {8}
    assert set(np.unique(labels[5:15, 11:24])) == {3}
    np.testing.assert_array_equal(labels > 0, before > 0)
    found.patch.undo(labels)
    np.testing.assert_array_equal(labels, before)


def test_a_line_cuts_every_object_that_it_crosses_and_one_into_many() -> None:
    labels = box((2, 8, 2, 28))
    labels[12:18, 2:28] = 5
    zigzag = np.array([(0, 8), (19, 8), (19, 20), (0, 20)])
    found = cut(labels, zigzag, 10)
    assert found.parts == {3: (10, 11), 5: (12, 13)}
    assert labels[4, 14] == 3, "the middle is the largest"
    assert len({labels[4, 3], labels[4, 14], labels[4, 26]}) == 3


@pytest.mark.parametrize(
    "line",
    [[(0, 10), (9, 10)], [(0, 0), (0, 29)], [(10, 10)], [(-9, -9), (-5, 50)]],
    ids=["into", "by", "point", "out"],
)
def test_what_is_not_crossed_from_side_to_side_is_not_cut(line: Any) -> None:
    labels = box((5, 15, 4, 24))
    before = labels.copy()
    found = cut(labels, np.array(line), 8)
    assert not found.parts
    assert found.patch.changed == 0
    np.testing.assert_array_equal(labels, before)


def test_pieces_that_the_line_leaves_alone_stay_with_the_object() -> None:
    labels = box((1, 4, 1, 4), (5, 15, 4, 24))
    cut(labels, np.array([(4, 10), (19, 10)]), 8)
    assert labels[2, 2] == 3
    labels = box((0, 9, 0, 30), (11, 14, 4, 24))  # the piece that is cut is the smaller one
    cut(labels, np.array([(10, 10), (19, 10)]), 8)
    assert labels[12, 20] == labels[4, 4] == 3
    assert labels[12, 6] == 8


def test_splinters_of_a_trembling_line_are_no_parts() -> None:
    labels = box((5, 15, 4, 24))
    found = cut(labels, np.array([(0, 10), (6, 10), (4, 12), (10, 12), (19, 11)]), 8)
    assert found.parts == {3: (8,)}
    assert set(np.unique(labels)) == {0, 3, 8}


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 22), st.floats(-3, 32)), min_size=2, max_size=5), st.integers(0, 2**16))
def test_parts_are_whole_and_together_what_was_there(line: list[tuple[float, float]], seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(20, 30)), 2)
    labels = (noise > 0).astype(np.int32) * 4
    before = labels.copy()
    found = cut(labels, np.array(line), 5)
    np.testing.assert_array_equal(labels > 0, before > 0)
    new = [number for numbers in found.parts.values() for number in numbers]
    assert sorted({*np.unique(labels).tolist()} - {0, 4}) == new
    if new:
        assert (labels == 4).any()
    found.patch.undo(labels)
    np.testing.assert_array_equal(labels, before)


def test_wrong_labels_are_refused_and_stay() -> None:
    labels = box((5, 15, 4, 24)).astype(np.uint8)
    before = labels.copy()
    with pytest.raises(InvalidLabelsError, match="256"):
        cut(labels, np.array([(0, 10), (19, 10)]), 256)
    labels.flags.writeable = False
    with pytest.raises(InvalidLabelsError, match="read-only"):
        merge(labels, [3, 4], 3)
    np.testing.assert_array_equal(labels, before)
