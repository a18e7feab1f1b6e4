"""Every dtype and shape ends as three channels between 0 and 1, or as one sentence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2refiner.errors import InvalidImageError
from napari_sam2refiner.planes import intensity
from napari_sam2refiner.planes.intensity import NonFiniteWarning, check_plane, limits, rescale

RAMP = np.arange(100 * 120).reshape(100, 120)
DTYPES = ["?", "i1", "u1", "i2", "u2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">f4"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 2), (7, 9, 3), (1, 5), (5, 1)])
def test_every_dtype_and_channel_count_gives_three_channels(dtype: str, shape: tuple[int, ...]) -> None:
    plane = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    before = plane.copy()
    result = rescale(plane)
    assert result.shape == (*shape[:2], 3)
    assert result.dtype == np.float32
    assert result.flags.writeable
    assert 0 <= result.min() <= result.max() <= 1
    np.testing.assert_array_equal(plane, before)


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8"])
def test_limits_are_the_percentiles(dtype: str) -> None:
    plane = RAMP.astype(dtype)
    low, high = limits(plane)
    assert (low, high) == pytest.approx(tuple(np.percentile(plane, (0.5, 99.8))))
    expected = np.clip((plane.astype(float) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(rescale(plane)[..., 0], expected, atol=1e-6)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=20)))
@settings(max_examples=50, deadline=None)
def test_counting_agrees_with_sorting(plane: npt.NDArray[np.uint8]) -> None:
    assert limits(plane) == pytest.approx(limits(plane.astype(np.float64)))


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e150, 1e150)))
@settings(max_examples=100, deadline=None)
def test_any_finite_values_stay_between_0_and_1(plane: npt.NDArray[np.float64]) -> None:
    result = rescale(plane)
    assert np.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 1


def test_channels_are_scaled_together() -> None:
    plane = np.stack([RAMP, RAMP / 2], axis=2)
    result = rescale(plane)
    assert result[..., 0].max() == 1
    assert 0.4 < result[..., 1].max() < 0.6
    assert not result[..., 2].any()


def test_grey_is_repeated() -> None:
    result = rescale(RAMP)
    np.testing.assert_array_equal(result[..., 0], result[..., 1])
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_alpha_is_dropped() -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (9, 9, 4), dtype=np.uint8)
    np.testing.assert_array_equal(rescale(rgba), rescale(rgba[..., :3]))


def test_given_limits_hold_for_every_plane_of_a_stack() -> None:
    result = rescale(np.full((3, 3), 30, np.uint8), limits=(10, 50))
    np.testing.assert_allclose(result, 0.5)
    assert rescale(np.full((3, 3), 90), limits=(10, 50)).min() == 1


@pytest.mark.parametrize("bad", [(5, 1), (0, np.inf), (np.nan, 1)])
def test_limits_that_are_no_interval_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(InvalidImageError, match="limits"):
        rescale(RAMP, limits=bad)


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "f4"])
def test_a_constant_image_gives_zeros(dtype: str) -> None:
    plane = np.ones((6, 6), dtype)
    assert not rescale(plane).any()
    assert limits(plane) == (1, 1)


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "f4"])
def test_a_few_bright_pixels_on_nothing_are_kept(dtype: str) -> None:
    plane = np.zeros((100, 100), dtype)
    plane[50, 50] = 1
    assert rescale(plane)[50, 50, 0] == 1


def test_small_span_on_a_large_offset_survives() -> None:
    plane = (2**40 + RAMP).astype(np.int64)
    np.testing.assert_allclose(rescale(plane), rescale(RAMP), atol=1e-6)


def test_large_planes_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    full = limits(RAMP)
    monkeypatch.setattr(intensity, "MOST_SAMPLES", 1000)
    assert limits(RAMP) == pytest.approx(full, rel=0.02, abs=400)
    sparse = np.zeros((100, 120))
    sparse[1, 1] = 5  # between the samples
    assert limits(sparse) == (0, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_become_the_smallest_with_one_warning(bad: float) -> None:
    plane = RAMP.astype(np.float32) + 5
    plane[3, 4] = bad
    before = plane.copy()
    with pytest.warns(NonFiniteWarning, match=r"^1 of 12000 values .* 5\.0\.$") as caught:
        result = rescale(plane)
    assert len(caught) == 1
    assert result[3, 4, 0] == 0
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(plane, before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(limits(plane)).all()


@pytest.mark.parametrize("use", [limits, rescale, lambda plane: rescale(plane, limits=(0, 1))])
def test_all_non_finite_is_refused(use: Any) -> None:
    with pytest.raises(InvalidImageError, match=r"\(4, 5\).*float32.*no finite value"):
        use(np.full((4, 5), np.nan, np.float32))


@pytest.mark.parametrize(
    ("plane", "names"),
    [
        (np.zeros((0, 5)), r"\(0, 5\).*float64"),
        (np.zeros((1, 1), np.uint8), r"\(1, 1\).*uint8"),
        (np.zeros((1, 1, 3)), r"\(1, 1, 3\)"),
        (np.zeros((4, 4, 0)), r"\(4, 4, 0\)"),
        (np.zeros(5), r"\(5,\)"),
        (np.zeros(()), r"\(\)"),
        (np.zeros((2, 3, 4, 5)), r"\(2, 3, 4, 5\)"),
        (np.zeros((2, 2, 2, 2, 2, 2)), r"\(2, 2, 2, 2, 2, 2\)"),
        (np.zeros((4, 4), complex), r"\(4, 4\).*complex128"),
        (np.zeros((4, 4), object), r"\(4, 4\).*object"),
        (np.zeros((4, 4), "U3"), r"<U3"),
        (np.zeros((4, 4, 4)), r"4 channels; choose up to three"),
        (np.zeros((4, 4, 7), np.uint8), r"7 channels"),
    ],
)
@pytest.mark.parametrize("use", [check_plane, limits, rescale])
def test_what_is_no_plane_is_refused_in_one_sentence(use: Any, plane: npt.NDArray[Any], names: str) -> None:
    with pytest.raises(InvalidImageError, match=names) as caught:
        use(plane)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
