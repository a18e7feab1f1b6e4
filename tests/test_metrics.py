"""The measures against direct definitions and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.morphology import dilation, disk, erosion
from torchmetrics.functional.classification import binary_jaccard_index

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.metrics import (
    THRESHOLDS,
    Found,
    bootstrap_interval,
    boundary,
    boundary_f,
    boundary_iou,
    count_found,
    iou,
    number_of_clicks,
)

masks = array_shapes(min_dims=2, max_dims=2, max_side=40).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def torchmetrics_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(binary_jaccard_index(torch.from_numpy(mask).int(), torch.from_numpy(truth).int()))


@given(masks)
@settings(max_examples=200, deadline=None)
def test_iou_is_that_of_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    mask, truth = pair
    if mask.any() or truth.any():  # of two empty masks theirs is 0
        assert iou(mask, truth) == pytest.approx(torchmetrics_iou(mask, truth), abs=1e-6)


@given(masks, st.sampled_from([0.02, 0.06, 0.2]))
@settings(max_examples=200, deadline=None)
def test_boundary_iou_is_that_of_scikit_image_and_torchmetrics(
    pair: tuple[np.ndarray, np.ndarray], ratio: float
) -> None:
    bands = []
    for mask in pair:
        eroded = np.pad(mask, 1)  # what lies outside the plane is not of the object
        for _ in range(max(1, round(ratio * float(np.hypot(*mask.shape))))):
            eroded = erosion(eroded, np.ones((3, 3), bool))
        bands.append(mask & ~eroded[1:-1, 1:-1])
    if bands[0].any() or bands[1].any():
        assert boundary_iou(*pair, ratio) == pytest.approx(torchmetrics_iou(*bands), abs=1e-6)


@given(masks, st.sampled_from([0.008, 0.05, 0.2]))
@settings(max_examples=200, deadline=None)
def test_boundary_f_is_that_of_davis_with_dilations(pair: tuple[np.ndarray, np.ndarray], tolerance: float) -> None:
    reach = int(np.ceil(tolerance * float(np.hypot(*pair[0].shape))))
    outlines, near = [], []
    for mask in pair:
        outline = np.zeros_like(mask)
        outline[:, :-1] |= mask[:, :-1] != mask[:, 1:]
        outline[:-1] |= mask[:-1] != mask[1:]
        outline[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
        outlines.append(outline)
        near.append(dilation(np.pad(outline, reach), disk(reach))[reach:-reach, reach:-reach])
    counts = [int(outline.sum()) for outline in outlines]
    precision = (outlines[0] & near[1]).sum() / counts[0] if all(counts) else float(not counts[0])
    recall = (outlines[1] & near[0]).sum() / counts[1] if all(counts) else float(not counts[1])
    expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert boundary_f(*pair, tolerance) == pytest.approx(expected)


def test_iou_counts_shared_pixels() -> None:
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), np.uint8)
    a[0], b[:, 0] = True, 7
    assert iou(a, b) == pytest.approx(1 / 5)
    assert iou(a, a) == 1
    assert iou(a, ~a) == 0


def test_iou_of_two_empty_masks_is_one() -> None:
    empty = np.zeros((3, 3), bool)
    assert iou(empty, empty) == 1
    assert boundary_iou(empty, empty) == 1


@pytest.mark.parametrize("measure", [iou, boundary_iou, boundary_f])
def test_other_shapes_are_refused(measure: object) -> None:
    with pytest.raises(InvalidLabelsError, match=r"\(3, 3\).*\(3, 4\)"):
        measure(np.ones((3, 3)), np.ones((3, 4)))  # type: ignore[operator]


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.1])
def test_boundary_equals_mask_minus_repeated_erosion(ratio: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 90)), 5)
    mask = noise > 0
    width = max(1, round(ratio * float(np.hypot(60, 90))))
    eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
    np.testing.assert_array_equal(boundary(mask, ratio), mask & ~eroded)


def test_boundary_follows_the_border_of_the_plane() -> None:
    band = boundary(np.ones((10, 10), bool))
    assert band.sum() == 36
    assert not boundary(np.zeros((4, 4))).any()


def test_boundary_iou_sees_a_wrong_outline_that_iou_forgives() -> None:
    truth = np.zeros((200, 200), bool)
    truth[20:180, 20:180] = True
    mask = np.roll(truth, 3, 1)
    assert boundary_iou(mask, truth) < iou(mask, truth) - 0.2


@pytest.mark.parametrize(
    ("ious", "threshold", "limit", "clicks"),
    [
        ([0.2, 0.9], 0.9, 20, 2),
        ([0.95, 0.1], 0.9, 20, 1),
        ([0.1] * 5, 0.9, 20, 20),
        ([0.1, 0.9], 0.85, 1, 1),
        ([], 0.5, 20, 20),
    ],
)
def test_number_of_clicks(ious: list[float], threshold: float, limit: int, clicks: int) -> None:
    assert number_of_clicks(ious, threshold, limit) == clicks


def test_bootstrap_interval_holds_the_mean_and_repeats() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, 200)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(200), rel=0.15)
    assert (low, high) == bootstrap_interval(values)
    wide = bootstrap_interval(values, level=0.99)
    assert wide[0] < low
    assert wide[1] > high


def test_values_of_one_group_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(1).normal(0.8, 0.1, 20), 50)
    alone, together = (
        bootstrap_interval(values),
        bootstrap_interval(values, groups=np.repeat(np.arange(20), 50).tolist()),
    )
    assert together[1] - together[0] > 5 * (alone[1] - alone[0])
    assert together[0] < values.mean() < together[1]


def test_bootstrap_interval_of_nothing_is_nan() -> None:
    assert np.isnan(bootstrap_interval([])).all()


label_pairs = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8).flatmap(
    lambda shape: st.tuples(*[arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 2, 3, 70_000]))] * 2)
)


@given(label_pairs)
@settings(max_examples=200, deadline=None)
def test_found_objects_are_those_of_the_best_assignment(pair: tuple[np.ndarray, np.ndarray]) -> None:
    labels, truth = pair
    ids, true_ids = ([n for n in np.unique(of) if n] for of in pair)
    ious = np.array([[iou(labels == a, truth == b) for b in true_ids] for a in ids]).reshape(len(ids), len(true_ids))
    thresholds = (0.1, *THRESHOLDS)  # below a half an object may find several
    for threshold, found in zip(thresholds, count_found(labels, truth, thresholds), strict=True):
        rows, columns = linear_sum_assignment(-(ious >= threshold).astype(float))
        right = int((ious[rows, columns] >= threshold).sum())
        assert found == Found(right, len(ids) - right, len(true_ids) - right)


def test_f1_and_precision_by_hand() -> None:
    truth = np.zeros((10, 40), np.int32)
    for n in range(4):
        truth[:, 10 * n : 10 * n + 10] = n + 1
    labels = np.zeros_like(truth)
    labels[:, :10] = 5  # exact
    labels[:8, 10:20] = 9  # IoU 0.8
    labels[:3, 20:30] = 2  # IoU 0.3
    half, fine = count_found(labels, truth, (0.5, 0.85))
    assert half == (2, 1, 2)
    assert half.f1 == pytest.approx(4 / 7)
    assert half.precision == pytest.approx(2 / 5)
    assert fine == (1, 2, 3)
    # Two halves of one object: each has an IoU of exactly a half, and only one of them can be it.
    halves = np.where(truth == 1, np.where(np.arange(40) < 5, 1, 2), 0)
    assert count_found(halves, np.where(truth == 1, 1, 0), (0.5,))[0] == (1, 1, 0)


def test_nothing_found_where_nothing_is_is_right() -> None:
    nothing, something = np.zeros((5, 5), np.int32), np.ones((5, 5), np.int32)
    assert count_found(nothing, nothing)[0].f1 == count_found(nothing, nothing)[0].precision == 1.0
    assert count_found(something, nothing)[0].f1 == count_found(nothing, something)[0].precision == 0.0
    assert len(count_found(nothing, nothing)) == 10
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    with pytest.raises(InvalidLabelsError, match=r"\(5, 5\) but the truth has \(5, 4\)"):
        count_found(nothing, nothing[:, :4])
