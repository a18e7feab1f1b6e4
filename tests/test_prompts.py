"""Prompts take what users give in any usual form, and name what is wrong with the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from napari_sam2refiner.errors import InvalidPromptError
from napari_sam2refiner.prompts import Prompts

SHAPE = (20, 30)


def test_points_labels_boxes_and_mask_become_arrays() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 4] = 255
    prompts = Prompts(points=[(1, 2), (3.5, 4)], labels=[1, 0], boxes=[(10, 12, 2, 4)], mask=mask)
    np.testing.assert_array_equal(prompts.points, [[1, 2], [3.5, 4]])
    np.testing.assert_array_equal(prompts.labels, [True, False])
    np.testing.assert_array_equal(prompts.boxes, [[2, 4, 10, 12]])
    assert prompts.points.dtype == prompts.boxes.dtype == np.float64
    assert prompts.labels.dtype == bool
    assert prompts.mask is not None
    assert prompts.mask.dtype == bool
    assert prompts.mask.sum() == 1
    prompts.check(SHAPE)


def test_points_are_positive_unless_said_otherwise() -> None:
    assert Prompts(points=np.ones((3, 2), int)).labels.all()


def test_what_is_changed_later_does_not_count() -> None:
    points, mask = np.array([[3.0, 4.0]]), np.ones(SHAPE, bool)
    prompts = Prompts(points=points, mask=mask)
    points[0], mask[:] = 99, False
    assert prompts.points.tolist() == [[3.0, 4.0]]
    assert prompts.mask is not None
    assert prompts.mask.all()


def test_what_was_given_is_not_changed() -> None:
    boxes = np.array([[10.0, 12, 2, 4]])
    Prompts(boxes=boxes)
    np.testing.assert_array_equal(boxes, [[10, 12, 2, 4]])


def test_prompts_cannot_be_reassigned() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Prompts(points=[(1, 2)]).points = np.empty((0, 2))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("prompts", "positive", "single"),
    [
        (Prompts(), False, False),
        (Prompts(points=[(1, 2)]), True, True),
        (Prompts(points=[(1, 2)], labels=[0]), False, False),
        (Prompts(points=[(1, 2), (3, 4)], labels=[0, 1]), True, False),
        (Prompts(boxes=[(0, 0, 4, 4)]), True, False),
        (Prompts(points=[(1, 2)], boxes=[(0, 0, 4, 4)]), True, False),
        (Prompts(points=[(1, 2)], labels=[0], mask=np.ones(SHAPE)), True, False),
    ],
)
def test_what_says_where_the_object_is(prompts: Prompts, positive: bool, single: bool) -> None:
    assert prompts.has_positive is positive
    assert prompts.is_single_click is single


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"points": [(1, 2, 3)]}, r"points has shape \(1, 3\)"),
        ({"points": [1, 2]}, r"points has shape \(2,\)"),
        ({"points": [(1, 2), (3,)]}, "points .* are not rows of 2 numbers"),
        ({"points": [("a", "b")]}, "points .* are not rows of 2 numbers"),
        ({"points": [(1, 2), (np.nan, 3)]}, "points 1 is"),
        ({"points": [(1, np.inf)]}, "points 0 is"),
        ({"points": [(1, 2)], "labels": [[1], [0, 1]]}, "are not one number for each point"),
        ({"points": [(1, 2)], "labels": [1, 0]}, r"labels has shape \(2,\) but there are 1 points"),
        ({"labels": [1]}, "there are 0 points"),
        ({"points": [(1, 2), (1, 2)], "labels": [1, 2]}, "label 1 is .*2"),
        ({"points": [(1, 2)], "labels": [-1]}, "label 0 is .*-1"),
        ({"boxes": [(1, 2, 3)]}, r"boxes has shape \(1, 3\)"),
        ({"boxes": [(0, 0, 1, 1), (1, 2, 1, 5)]}, r"box 1 .* has no area"),
        ({"boxes": [(1, 2, 3, np.nan)]}, "boxes 0 is"),
        ({"mask": np.zeros(SHAPE)}, "mask is empty"),
        ({"mask": np.ones((2, 3, 4))}, r"mask has shape \(2, 3, 4\)"),
    ],
)
def test_what_means_nothing_is_refused_in_one_sentence(given: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidPromptError, match=names) as caught:
        Prompts(**given)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompts", "names"),
    [
        (Prompts(), "no positive prompt"),
        (Prompts(points=[(1, 2)], labels=[0]), "no positive prompt"),
        (Prompts(points=[(1, 2), (20, 5)]), r"point 1 at \(20\.0, 5\.0\) .* \(20, 30\)"),
        (Prompts(points=[(-0.6, 5)]), "point 0"),
        (Prompts(points=[(1, 29.6)]), "point 0"),
        (Prompts(boxes=[(0, 0, 4, 4), (25, 0, 30, 4)]), "box 1 .* outside"),
        (Prompts(mask=np.ones((30, 20))), r"mask has shape \(30, 20\) .* \(20, 30\)"),
    ],
)
def test_what_is_not_on_this_plane_is_refused(prompts: Prompts, names: str) -> None:
    with pytest.raises(InvalidPromptError, match=names) as caught:
        prompts.check(SHAPE)
    assert str(caught.value).endswith(".")


def test_the_plane_reaches_half_a_pixel_beyond_its_centres() -> None:
    Prompts(points=[(-0.5, -0.5), (19.5, 29.5)], boxes=[(-50, -50, 0, 0)]).check(SHAPE)


def test_a_part_of_the_plane_sees_what_lies_in_it() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[8:12, 10:20] = True
    prompts = Prompts([(9, 11), (2, 2)], [1, 0], [(7, 9, 13, 25), (0, 0, 3, 3)], mask)
    part = prompts.within(slice(5, 15), slice(8, 20))
    assert part is not None
    assert part.points.tolist() == [[4, 3]]
    assert part.labels.tolist() == [True]
    assert part.boxes.tolist() == [[2, 1, 8, 11.5]]
    assert part.mask is not None
    np.testing.assert_array_equal(np.argwhere(part.mask)[[0, -1]], [[3, 2], [6, 11]])
    part.check((10, 12))
    assert prompts.within(slice(14, 20), slice(26, 30)) is None
    assert Prompts([(2, 2), (9, 9)], [1, 0]).within(slice(5, 15), slice(8, 20)) is None


def test_a_mask_alone_is_told_from_one_with_clicks() -> None:
    mask = np.ones((4, 5), bool)
    assert Prompts(mask=mask).is_mask_alone
    assert not Prompts([(1, 1)], mask=mask).is_mask_alone
    assert not Prompts(boxes=[(0, 0, 2, 2)], mask=mask).is_mask_alone
    assert not Prompts([(1, 1)]).is_mask_alone
