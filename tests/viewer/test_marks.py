from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import disc
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_sam2refiner.viewer import outlines
from napari_sam2refiner.viewer.marks import Marks, Region, find_owner, group
from napari_sam2refiner.viewer.outlines import MOST_CORNERS, outline_mask

SHAPE = (40, 60)


def rectangle(y: float, x: float, height: float = 10, width: float = 10) -> Region:
    return Region("rectangle", ((y, x), (y, x + width), (y + height, x + width), (y + height, x)))


def square(y: float, x: float, side: float, *, positive: bool = True) -> Region:
    return Region("polygon", rectangle(y, x, side, side).corners, positive)


LEFT, RIGHT = rectangle(5, 5), rectangle(5, 35)
COUNTS = st.lists(st.integers(0, 3), max_size=4)


@given(COUNTS)
def test_objects_come_apart_and_together(counts: list[int]) -> None:
    objects = [Marks(tuple((n, i, True) for i in range(count))) for n, count in enumerate(counts)]
    marks = Marks.of(objects)
    assert marks.count == sum(counts)
    assert bool(marks) == any(counts)
    assert marks.joined().points == tuple(point for one in objects for point in one.points)
    assert [one for one in marks.objects if one] == [one for one in objects if one]
    assert Marks.of(marks.objects) == marks


def test_each_box_gets_what_is_nearest() -> None:
    marks = Marks(((10.0, 10.0, True), (20.0, 40.0, False)), (LEFT, RIGHT, square(6, 36, 3)))
    one, other = marks.parted().objects
    assert one == Marks(((10.0, 10.0, True),), (LEFT,))
    assert other == Marks(((20.0, 40.0, False),), (RIGHT, square(6, 36, 3)))
    assert set(marks.parted().joined().regions) == set(marks.regions)
    assert Marks(((1.0, 1.0, True),)).parted() == Marks(((1.0, 1.0, True),))


@pytest.mark.parametrize(
    ("new", "apart", "owner"),
    [
        (Marks(((10.0, 40.0, True),)), True, 4),  # in its box
        (Marks(((10.0, 25.0, True),)), True, 3),  # in none; as far from both: the first
        (Marks(((30.0, 50.0, True),)), False, 4),
        (Marks(regions=(rectangle(20, 20),)), True, 5),
        (Marks(regions=(rectangle(20, 8),)), False, 3),
        (Marks(regions=(Region("path", ((8, 36), (9, 40), (9, 44))),)), True, 4),
    ],
)
def test_whose_a_new_mark_is(new: Marks, apart: bool, owner: int) -> None:
    held = {3: Marks(regions=(LEFT,)), 4: Marks(regions=(RIGHT,))}
    assert find_owner(held, new, 2, apart=apart) == owner
    assert find_owner({}, new, 2, apart=apart) == 2


def test_a_box_in_a_box_has_its_own_clicks() -> None:
    held = {1: Marks(regions=(rectangle(0, 0, 40, 60),)), 2: Marks(regions=(LEFT,))}
    assert find_owner(held, Marks(((10.0, 10.0, False),)), 1, apart=True) == 2


def test_single_marks_are_put_together_by_id() -> None:
    single = [(2, Marks(regions=(LEFT,))), (1, Marks(((1.0, 1.0, True),))), (2, Marks(((6.0, 6.0, True),)))]
    assert group(single) == {1: Marks(((1.0, 1.0, True),)), 2: Marks(((6.0, 6.0, True),), (LEFT,))}


def test_a_scribble_is_points_on_the_plane_with_its_polarity() -> None:
    line = Region("path", ((10.0, -20.0), (10.0, 30.0)), positive=False)
    prompts = Marks(((5.0, 5.0, True),), (line,)).prompts(SHAPE)
    assert prompts.labels.tolist()[0]
    assert not prompts.labels[1:].any()
    assert (prompts.points[1:, 1] >= -0.5).all()
    assert prompts.points[-1].tolist() == [10, 30]
    assert Marks(regions=(Region("path", ((-9.0, -9.0), (-9.0, -5.0))),)).prompts(SHAPE).points.size == 0


def test_negative_outlines_cut_the_mask_or_are_points() -> None:
    hole = square(12, 12, 6, positive=False)
    prompts = Marks(regions=(square(5, 5, 20), hole)).prompts(SHAPE)
    assert prompts.mask is not None
    assert prompts.mask[7, 7]
    assert not prompts.mask[15, 15]
    assert not prompts.points.size
    prompts = Marks(((8.0, 40.0, True),), (hole,)).prompts(SHAPE)
    assert prompts.mask is None
    assert prompts.points[1] == pytest.approx((15, 15), abs=1)
    assert prompts.labels.tolist() == [True, False]
    assert not Marks(regions=(hole,)).is_positive


@given(st.integers(0, 10_000), st.floats(0.7, 4), st.floats(0.4, 0.95))
def test_outlines_enclose_exactly_the_mask(seed: int, blur: float, level: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(SHAPE), blur)
    pieces, count = ndimage.label(noise > np.quantile(noise, level))
    mask = np.isin(pieces, range(1, min(count, 6) + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlines, "MOST_CORNERS", 10_000)
        patch.setattr(outlines, "MOST_PIECES", 10_000)
        outline = outline_mask(mask)
    if outline:
        np.testing.assert_array_equal(Marks(regions=outline).prompts(SHAPE).mask, mask)


def test_large_outlines_have_few_corners() -> None:
    rough = ndimage.gaussian_filter(np.random.default_rng(0).random((700, 700)), 3)
    mask: Any = disc((700, 700), 350, 350, 300) & (rough > 0.44) | disc((700, 700), 350, 350, 250)
    outline = outline_mask(mask)
    assert max(len(region.corners) for region in outline) <= MOST_CORNERS
    found = Marks(regions=outline).prompts(mask.shape).mask
    assert found is not None
    assert (found & mask).sum() / (found | mask).sum() > 0.98


def test_no_outline_of_nothing() -> None:
    assert outline_mask(np.zeros(SHAPE, bool)) == ()
