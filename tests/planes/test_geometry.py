"""World to plane and back, under any affine transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2refiner.errors import InvalidImageError
from napari_sam2refiner.planes.geometry import PlaneGeometry

Array = npt.NDArray[np.float64]


def affine(linear: npt.ArrayLike, offset: npt.ArrayLike) -> Array:
    linear = np.asarray(linear, float)
    matrix = np.eye(len(linear) + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = linear, offset
    return matrix


@st.composite
def geometries(draw: st.DrawFn) -> PlaneGeometry:
    n = draw(st.integers(2, 5))
    linear = draw(hnp.arrays(float, (n, n), elements=st.floats(-3, 3)))
    assume(np.linalg.svd(linear)[1].min() > 0.05)
    offset = draw(hnp.arrays(float, n, elements=st.floats(-1000, 1000)))
    rows, columns = draw(st.permutations(range(n)))[:2]
    return PlaneGeometry(affine(linear, offset), (rows, columns), [draw(st.integers(0, 50)) for _ in range(n)])


@given(geometries(), hnp.arrays(float, (4, 2), elements=st.floats(-5000, 5000)))
@settings(max_examples=150, deadline=None)
def test_pixels_come_back_from_world_and_data(geometry: PlaneGeometry, pixels: Array) -> None:
    assert geometry.to_world(pixels).shape == (4, geometry.ndim)
    np.testing.assert_allclose(geometry.to_plane(geometry.to_world(pixels)), pixels, atol=1e-6)
    np.testing.assert_array_equal(geometry.from_data(geometry.to_data(pixels)), pixels)


def test_scale_and_translation() -> None:
    geometry = PlaneGeometry(affine(np.diag([5, 0.5, 0.25]), [0, 10, 20]), (1, 2), (3, 0, 0))
    np.testing.assert_allclose(geometry.to_world([[4, 8]]), [[15, 12, 22]])
    np.testing.assert_allclose(geometry.to_plane([[15, 12, 22]]), [[4, 8]])
    np.testing.assert_allclose(geometry.to_data([[4, 8]]), [[3, 4, 8]])


def test_rotation_puts_the_pixel_where_it_is_seen() -> None:
    geometry = PlaneGeometry(affine([[0, 1], [-1, 0]], [0, 0]), (0, 1), (0, 0))
    np.testing.assert_allclose(geometry.to_world([[2, 5]]), [[5, -2]])


def test_swapped_axes_swap_rows_and_columns() -> None:
    geometry = PlaneGeometry(np.eye(4), (2, 1), (7, 0, 0))
    np.testing.assert_allclose(geometry.to_world([[1, 2]]), [[7, 2, 1]])
    np.testing.assert_allclose(PlaneGeometry(np.eye(4), (-2, -1), (7, 0, 0)).to_world([[1, 2]]), [[7, 1, 2]])


def test_the_world_may_have_more_dimensions_than_the_layer() -> None:
    geometry = PlaneGeometry(affine(np.diag([2, 2]), [0, 0]), (0, 1), (0, 0))
    np.testing.assert_allclose(geometry.to_plane([[9, 9, 4, 6]]), [[2, 3]])


def test_very_different_units_are_no_reason_to_refuse() -> None:
    geometry = PlaneGeometry(affine(np.diag([3600, 1e-9, 1e-9]), [1e6, 1e-3, 0]), (1, 2), (3, 0, 0))
    np.testing.assert_allclose(geometry.to_plane(geometry.to_world([[40, 50]])), [[40, 50]], atol=1e-3)


def test_no_points_stay_no_points() -> None:
    geometry = PlaneGeometry(np.eye(4), (1, 2), (0, 0, 0))
    assert geometry.to_world(np.empty((0, 2))).shape == (0, 3)
    assert geometry.to_plane(np.empty((0, 3))).shape == (0, 2)


@pytest.mark.parametrize(
    ("matrix", "displayed", "steps", "names"),
    [
        (np.eye(2), (0, 1), (0,), r"\(2, 2\)"),
        (np.ones((3, 4)), (0, 1), (0, 0), r"\(3, 4\)"),
        (np.diag([1, 1, 2]), (0, 1), (0, 0), "not affine"),
        (np.diag([1, 0, 1]), (0, 1), (0, 0), "cannot be inverted"),
        (affine([[1, 1], [1, 1]], [0, 0]), (0, 1), (0, 0), "cannot be inverted"),
        (affine([[np.nan, 1], [1, 1]], [0, 0]), (0, 1), (0, 0), "cannot be inverted"),
        (np.eye(3), (0, 0), (0, 0), r"axes \(0, 0\)"),
        (np.eye(3), (0, 2), (0, 0), r"axes \(0, 2\)"),
        (np.eye(3), (0, 1), (0, 0, 0), r"\(3,\)"),
    ],
)
def test_what_is_no_geometry_is_refused(
    matrix: Array, displayed: tuple[int, int], steps: tuple[int], names: str
) -> None:
    with pytest.raises(InvalidImageError, match=names):
        PlaneGeometry(matrix, displayed, steps)
