"""Tidied masks lose specks, holes and frayed outlines, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc

from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.labels.tidy import tidy as tidy_part
from napari_sam2refiner.planes.region import Part

SHAPE = (60, 80)


def tidy(mask: np.ndarray, tidying: Tidying) -> np.ndarray:
    return tidy_part(Part.of(mask), tidying).whole()


def test_nothing_to_do_leaves_the_very_mask() -> None:
    mask = Part.of(disc(SHAPE, 30, 40, 10))
    assert tidy_part(mask, Tidying()) is mask
    empty = Part.nothing(SHAPE)
    assert tidy_part(empty, Tidying(1.0, True, 5)) is empty


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = disc(SHAPE, 30, 40, 10)
    holed = mask & ~disc(SHAPE, 30, 40, 3)
    np.testing.assert_array_equal(tidy(holed, Tidying(fill_holes=True)), mask)
    bay = mask.copy()
    bay[30, 40:] = False
    np.testing.assert_array_equal(tidy(bay, Tidying(fill_holes=True)), bay)


def test_specks_are_dropped_and_the_largest_piece_stays() -> None:
    large, small = disc(SHAPE, 20, 20, 8), disc(SHAPE, 45, 60, 3)
    both = large | small
    np.testing.assert_array_equal(tidy(both, Tidying(specks=int(small.sum()))), both)
    np.testing.assert_array_equal(tidy(both, Tidying(specks=int(small.sum()) + 1)), large)
    np.testing.assert_array_equal(tidy(small, Tidying(specks=1000)), small)


@pytest.mark.parametrize("center", [(30, 40), (0, 0), (59, 40)])
def test_smoothing_takes_spikes_off_and_keeps_the_size(center: tuple[int, int]) -> None:
    mask = disc(SHAPE, *center, 15)
    spiky = mask.copy()
    y, x = center
    spiky[y + (5 if y < 50 else -5), x + 10 : x + 25] = True
    smooth = tidy(spiky, Tidying(smooth=1.5))
    assert not (smooth & ~disc(SHAPE, *center, 17)).any()
    assert (smooth & mask).sum() / (smooth | mask).sum() > 0.97
