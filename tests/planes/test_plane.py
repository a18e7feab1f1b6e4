"""One plane of any array: the right one, only that one, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.plane import PlaneIndex


class Recorder:
    """A lazy array that remembers what was read of it."""

    def __init__(self, values: np.ndarray[Any, Any], error: Exception | None = None) -> None:
        self.shape, self.ndim, self.dtype = values.shape, values.ndim, values.dtype
        self.values, self.error, self.keys = values, error, list[Any]()

    def __getitem__(self, key: Any) -> Any:
        self.keys.append(key)
        if self.error is not None:
            raise self.error
        return self.values[key]


@st.composite
def selections(draw: st.DrawFn) -> tuple[tuple[int, ...], PlaneIndex]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=5)))
    axes = draw(st.permutations(range(len(shape))))
    negative = draw(st.booleans())
    displayed = (axes[0] - len(shape), axes[1] - len(shape)) if negative else (axes[0], axes[1])
    channel = axes[2] if len(axes) > 2 and draw(st.booleans()) else None
    steps = tuple(draw(st.integers(0, size - 1)) for size in shape)
    return shape, PlaneIndex(steps, displayed, channel)


@given(selections())
@settings(max_examples=150, deadline=None)
def test_get_then_put_changes_nothing_and_put_then_get_returns_it(case: tuple[tuple[int, ...], PlaneIndex]) -> None:
    shape, index = case
    array = np.arange(np.prod(shape)).reshape(shape)
    plane = index.get(array).copy()
    assert plane.shape[:2] == index.shape(array)
    before = array.copy()
    index.put(array, plane)
    np.testing.assert_array_equal(array, before)
    index.put(array, -plane - 1)
    np.testing.assert_array_equal(index.get(array), -plane - 1)
    assert np.count_nonzero(array != before) == plane.size


def test_axes_are_where_they_were_asked_for() -> None:
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(PlaneIndex((1, 2, 0, 0)).get(array), array[1, 2])
    np.testing.assert_array_equal(PlaneIndex((1, 2, 0, 0), (3, 2)).get(array), array[1, 2].T)
    np.testing.assert_array_equal(PlaneIndex((1, 0, 0, 3), (0, 1), 2).get(array), array[..., 3])
    np.testing.assert_array_equal(PlaneIndex((1, 0, 0, 0), (2, 3), 1).get(array), array[1].transpose(1, 2, 0))


def test_a_plane_of_a_numpy_array_is_a_view() -> None:
    array = np.zeros((3, 4, 5))
    PlaneIndex((1, 0, 0)).get(array)[2, 2] = 7
    assert array[1, 2, 2] == 7


def test_only_the_plane_is_read() -> None:
    array = Recorder(np.zeros((100, 6, 7)))
    assert PlaneIndex((42, 0, 0)).get(array).shape == (6, 7)
    assert array.keys == [(42, slice(None), slice(None))]
    assert PlaneIndex((42, 0, 0)).shape(array) == (6, 7)
    assert len(array.keys) == 1


def test_dask_computes_one_plane() -> None:
    da = pytest.importorskip("dask.array")
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    plane = PlaneIndex((2, 0, 0)).get(da.from_array(values, chunks=(1, 4, 5)))
    assert isinstance(plane, np.ndarray)
    np.testing.assert_array_equal(plane, values[2])


def test_a_plane_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ReadError, match=r"\(2, 0, 0\) cannot be read: chunk lost; .*\.$"):
        PlaneIndex((2, 0, 0)).get(Recorder(np.zeros((3, 4, 5)), RuntimeError("chunk lost")))
    with pytest.raises(MemoryError):
        PlaneIndex((2, 0, 0)).get(Recorder(np.zeros((3, 4, 5)), MemoryError()))


@pytest.mark.parametrize(
    ("shape", "index", "names"),
    [
        ((5,), PlaneIndex((0,)), r"\(5,\).*float64"),
        ((), PlaneIndex(()), r"\(\)"),
        ((1,) * 6, PlaneIndex((0,) * 6), r"\(1, 1, 1, 1, 1, 1\)"),
        ((3, 4, 5), PlaneIndex((3, 0, 0)), r"step 3 on axis 0; choose from 0 to 2"),
        ((3, 4, 5), PlaneIndex((-1, 0, 0)), r"step -1"),
        ((3, 4, 5), PlaneIndex((0, 0)), r"2 steps"),
        ((3, 4, 5), PlaneIndex((0, 0, 0), (1, 1)), r"\(1, 1\)"),
        ((3, 4, 5), PlaneIndex((0, 0, 0), (1, 3)), r"\(1, 3\)"),
        ((3, 4, 5), PlaneIndex((0, 0, 0), (1, 2), 2), r"\(1, 2, 2\)"),
    ],
)
def test_planes_that_are_not_there_are_refused(shape: tuple[int, ...], index: PlaneIndex, names: str) -> None:
    array = np.zeros(shape)
    for use in (index.get, index.shape, lambda array: index.put(array, np.ones((4, 5)))):
        with pytest.raises(InvalidImageError, match=names):
            use(array)
    assert not array.any()


def test_a_plane_of_other_shape_is_not_put() -> None:
    array = np.zeros((3, 4, 5))
    with pytest.raises(InvalidImageError, match=r"\(5, 4\).*\(4, 5\)"):
        PlaneIndex((0, 0, 0)).put(array, np.ones((5, 4)))
    assert not array.any()
