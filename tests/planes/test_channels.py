"""Several planes looked at together as channels."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from large import DrawnNuclei

from napari_sam2refiner.errors import InvalidImageError
from napari_sam2refiner.planes.channels import ComposedPlane
from napari_sam2refiner.planes.intensity import NonFiniteWarning, limits, rescale
from napari_sam2refiner.planes.lazy import LazyPlane
from napari_sam2refiner.planes.plane import PlaneIndex

RANDOM = np.random.default_rng(0)
DIM = RANDOM.integers(3, 60, (90, 70)).astype(np.uint8)
BRIGHT = RANDOM.normal(20_000, 3_000, (90, 70)).astype(np.float32)
DEEP = RANDOM.integers(0, 60_000, (90, 70)).astype(np.uint16)


def composed(*arrays: Any, shown: tuple[Any, ...] | None = None) -> ComposedPlane:
    return ComposedPlane([LazyPlane([array]) for array in arrays], shown or [None] * len(arrays))


def alone(array: Any, shown: tuple[float, float] | None = None) -> Any:
    """Return a channel as it is when it is looked at alone."""
    return rescale(array, limits=shown)[..., 0]


@pytest.mark.parametrize("arrays", [(DIM, BRIGHT), (DIM, BRIGHT, DEEP), (DEEP, DIM > 30)])
def test_each_channel_is_what_it_is_alone(arrays: tuple[Any, ...]) -> None:
    plane = composed(*arrays)
    assert plane.shape == (90, 70, len(arrays))
    assert plane.is_in_memory
    expected = np.stack([alone(array) for array in arrays], -1)
    assert expected.max((0, 1)).tolist() == [1] * len(arrays), "a dim channel counts as much as a bright one"
    np.testing.assert_array_equal(plane.whole(), expected)
    window = (slice(10, 40), slice(5, 70))
    np.testing.assert_array_equal(plane[window], expected[window])
    np.testing.assert_array_equal(composed(*arrays)[window], expected[window])
    np.testing.assert_array_equal(rescale(plane.whole(), limits=plane.limits())[..., : len(arrays)], expected)


def test_the_limits_of_each_channel_may_be_given() -> None:
    shown = ((10.0, 20.0), None)
    expected = np.stack([alone(DIM, shown[0]), alone(BRIGHT)], -1)
    np.testing.assert_array_equal(composed(DIM, BRIGHT, shown=shown).whole(), expected)


def test_cells_are_the_means_of_each_channel() -> None:
    plane, window = composed(DIM, BRIGHT), (slice(8, 90), slice(0, 70))
    cells = [LazyPlane([array]).reduced(window, 4) for array in (DIM, BRIGHT)]
    expected = [alone(cell, limits(array)) for cell, array in zip(cells, (DIM, BRIGHT), strict=True)]
    np.testing.assert_array_equal(plane.reduced(window, 4), np.stack(expected, -1))


def test_pyramids_are_read_at_the_level_that_all_have() -> None:
    half = DIM.reshape(45, 2, 35, 2).mean((1, 3))
    plane = ComposedPlane([LazyPlane([DIM, half]), LazyPlane([BRIGHT])], [None, None])
    assert plane.coarsest(4) == 1
    assert ComposedPlane([LazyPlane([DIM, half])] * 2, [None, None]).coarsest(4) == 2


def test_only_the_region_is_computed_of_a_plane_of_a_lazy_stack() -> None:
    touched: set[tuple[Any, ...]] = set()

    def block(block_info: Any = None) -> Any:
        touched.add(tuple(block_info[None]["chunk-location"]))
        return RANDOM.uniform(0, 9, block_info[None]["chunk-shape"])

    stack = da.map_blocks(block, chunks=((1,) * 5, (100,) * 6, (100,) * 6), dtype=float)
    touched.clear()  # dask tries the function
    index = PlaneIndex((3, 0, 0), (1, 2))
    plane = ComposedPlane([LazyPlane([stack], index), LazyPlane([stack], index)], [(0.0, 9.0), (0.0, 3.0)])
    part = plane[slice(110, 190), slice(420, 480)]
    assert part.shape == (80, 60, 2)
    assert touched == {(3, 1, 4)}
    plane.reduced((slice(200, 300), slice(0, 100)), 2)
    assert touched == {(3, 1, 4), (3, 2, 0)}


def test_a_slide_is_never_read_whole() -> None:
    drawn = DrawnNuclei(most=128 * 128)
    plane = composed(drawn, drawn)
    assert not plane.is_in_memory
    window = (slice(5000, 5100), slice(9000, 9100))
    low, high = LazyPlane([drawn]).limits()
    np.testing.assert_array_equal(plane[window][..., 1], alone(drawn[window], (low, high)))
    assert drawn.read < 5e6


def test_what_is_not_finite_is_dark_in_its_channel() -> None:
    broken = BRIGHT.copy()
    broken[3, 4], broken[5, 6], broken[7, 8] = np.nan, np.inf, -np.inf
    plane = composed(DIM, broken)
    with pytest.warns(NonFiniteWarning, match="3 of"):
        found = rescale(plane.whole(), limits=plane.limits())
    assert [found[place][1] for place in ((3, 4), (5, 6), (7, 8))] == [0, 0, 0]
    np.testing.assert_array_equal(found[..., 0], alone(DIM))


@pytest.mark.parametrize("arrays", [(DIM,), (DIM, DIM[:50]), (DIM,) * 4, (np.zeros((9, 9, 3)),) * 2])
def test_what_cannot_be_channels_is_named(arrays: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidImageError, match="two or three planes of one shape"):
        composed(*arrays)
