"""The simulated user: clicks against a slow definition, drawings that are never empty."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.simulated_user import (
    Click,
    deepest_point,
    next_click,
    noisy_box,
    noisy_mask,
    random_points,
    tight_box,
)

Mask = npt.NDArray[np.bool_]

small_masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
drawn_masks = small_masks.filter(lambda mask: bool(mask.any()))
mask_pairs = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)
seeds = st.integers(0, 2**32 - 1)


def slow_next_click(mask: Mask, truth: Mask) -> Click | None:
    """Return the click by looking at each component alone on the whole plane."""
    found = []
    for positive, region in ((True, truth & ~mask), (False, mask & ~truth)):
        labels, count = ndimage.label(region, np.ones((3, 3)))
        for index in range(1, count + 1):
            component = labels == index
            depth = ndimage.distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1]
            y, x = np.argwhere(depth == depth.max())[0]
            found.append((-int(component.sum()), -depth.max(), int(y), int(x), positive))
    return Click(*min(found)[2:]) if found else None


def test_deepest_point_of_a_square_is_its_centre() -> None:
    region = np.zeros((30, 40), bool)
    region[5:14, 20:29] = True
    assert deepest_point(region) == (9, 24)


def test_border_of_the_plane_counts_as_outside() -> None:
    assert deepest_point(np.ones((9, 15), bool)) == (4, 4)


def test_equally_deep_points_give_the_smallest() -> None:
    region = np.zeros((5, 5), bool)
    region[3, 1] = region[1, 3] = True
    assert deepest_point(region) == (1, 3)


def test_deepest_point_of_nothing_is_none() -> None:
    assert deepest_point(np.zeros((4, 4), bool)) is None


def test_first_click_is_positive_and_the_deepest_of_all_parts() -> None:
    truth = np.zeros((20, 40), bool)
    truth[2, 2:38] = truth[10:15, 10:15] = True
    assert next_click(None, truth) == Click(12, 12, positive=True)
    assert next_click(None, np.zeros((4, 4))) is None


def test_corrections_are_positive_where_missing_and_negative_where_too_much() -> None:
    truth = np.zeros((20, 20), bool)
    truth[2:12, 2:12] = True
    assert next_click(truth, truth) is None
    assert next_click(np.zeros_like(truth), truth) == Click(6, 6, positive=True)
    assert next_click(np.ones_like(truth), truth) == slow_next_click(np.ones_like(truth), truth)
    assert next_click(np.ones_like(truth), truth).positive is False  # type: ignore[union-attr]


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidLabelsError, match=r"\(2, 2\).*\(3, 3\)"):
        next_click(np.ones((2, 2)), np.ones((3, 3)))


@given(mask_pairs)
@settings(max_examples=200, deadline=None)
def test_next_click_equals_the_slow_definition_and_is_on_an_error(pair: tuple[Mask, Mask]) -> None:
    mask, truth = pair
    click = next_click(mask, truth)
    assert click == slow_next_click(mask, truth)
    if click is None:
        np.testing.assert_array_equal(mask, truth)
    else:
        assert mask[click.y, click.x] != truth[click.y, click.x]
        assert truth[click.y, click.x] == click.positive


def test_tight_box_runs_along_pixel_borders() -> None:
    truth = np.zeros((10, 10), bool)
    truth[3, 4] = True
    assert tight_box(truth) == (2.5, 3.5, 3.5, 4.5)
    assert tight_box(np.ones((3, 5))) == (-0.5, -0.5, 2.5, 4.5)


@given(drawn_masks, seeds, st.floats(0, 0.49))
@settings(max_examples=100, deadline=None)
def test_noisy_box_has_area_and_stays_near(truth: Mask, seed: int, fraction: float) -> None:
    tight, box = np.array(tight_box(truth)), np.array(noisy_box(truth, np.random.default_rng(seed), fraction))
    assert (box[:2] < box[2:]).all()
    assert (box >= -0.5).all()
    assert (box <= np.tile(truth.shape, 2) - 0.5).all()
    assert (abs(box - tight) <= fraction * np.tile(tight[2:] - tight[:2], 2) + 1e-9).all()


def test_noisy_box_refuses_sides_that_could_cross() -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        noisy_box(np.ones((3, 3)), np.random.default_rng(0), 0.5)


@given(drawn_masks, seeds, st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_random_points_lie_inside(truth: Mask, seed: int, n: int) -> None:
    points = random_points(truth, n, np.random.default_rng(seed))
    assert points.shape == (n, 2)
    assert truth[tuple(points.T)].all()
    assert len(np.unique(points, axis=0)) == n or n > truth.sum()


@given(drawn_masks, seeds)
@settings(max_examples=200, deadline=None)
def test_noisy_mask_is_never_empty(truth: Mask, seed: int) -> None:
    before = truth.copy()
    noisy = noisy_mask(truth, np.random.default_rng(seed))
    assert noisy.shape == truth.shape
    assert noisy.dtype == bool
    assert noisy.any()
    np.testing.assert_array_equal(truth, before)
    np.testing.assert_array_equal(noisy, noisy_mask(truth, np.random.default_rng(seed)))


def test_noisy_mask_is_rough_but_of_this_object() -> None:
    y, x = np.ogrid[:200, :200]
    truth = (y - 90) ** 2 + (x - 120) ** 2 < 40**2
    noisy = [noisy_mask(truth, np.random.default_rng(seed)) for seed in range(40)]
    overlaps = [(mask & truth).sum() / (mask | truth).sum() for mask in noisy]
    assert min(overlaps) > 0.3
    assert np.mean(overlaps) < 0.95


@pytest.mark.parametrize("draw", [noisy_box, noisy_mask, lambda truth, rng: random_points(truth, 2, rng)])
def test_an_empty_truth_is_refused(draw: object) -> None:
    with pytest.raises(InvalidLabelsError, match="empty"):
        draw(np.zeros((4, 4), bool), np.random.default_rng(0))  # type: ignore[operator]
