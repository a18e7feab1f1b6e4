"""What an act changed is kept small, and is taken back without what was painted since."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2refiner.labels.patch import Patch

SHAPE = (6, 7)
PLANES = hnp.arrays(np.uint16, SHAPE, elements=st.integers(0, 3))
WHOLE = (slice(0, 6), slice(0, 7))


@settings(deadline=None)
@given(PLANES, PLANES)
def test_undo_and_redo_give_the_very_labels(before: Any, after: Any) -> None:
    patch, labels = Patch(SHAPE, WHOLE, before, after), after.copy()
    assert patch.changed == (before != after).sum()
    for _ in range(2):
        patch.undo(labels)
        np.testing.assert_array_equal(labels, before)
        patch.redo(labels)
        np.testing.assert_array_equal(labels, after)


@settings(deadline=None)
@given(PLANES, PLANES, hnp.arrays(bool, SHAPE), st.booleans())
def test_what_was_painted_since_belongs_to_the_act_no_more(before: Any, after: Any, stroke: Any, undone: bool) -> None:
    """Whether it is painted while the act is done or undone; painting 9, which is in neither."""
    patch, labels = Patch(SHAPE, WHOLE, before, after), after.copy()
    if undone:
        patch.undo(labels)
    labels[stroke] = 9
    steps = [(patch.redo, after), (patch.undo, before), (patch.redo, after)]
    for change, expected in steps if undone else [(patch.undo, before), *steps]:
        change(labels)
        np.testing.assert_array_equal(labels, np.where(stroke, 9, expected))
    labels[stroke] = before[stroke]  # painted over again, as it was before the act
    patch.undo(labels)
    patch.redo(labels)
    np.testing.assert_array_equal(labels, np.where(stroke, before, after))


@pytest.mark.parametrize("side", [60, 1000])
def test_an_object_takes_a_hundredth_of_its_labels(side: int) -> None:
    rows, columns = np.ogrid[:side, :side]
    after = ((rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 2) ** 2) * np.uint32(7)
    patch = Patch((side, side), (slice(0, side), slice(0, side)), np.zeros_like(after), after)
    assert patch.size < max(800, after.nbytes / 100)
