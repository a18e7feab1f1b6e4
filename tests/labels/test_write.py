"""Writing a mask changes what the overlap rule allows, and can be taken back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.labels.write import Overlap, areas_in, erase, next_free_id, part_of, replace_objects, write
from napari_sam2refiner.planes.region import Part

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@st.composite
def planes_and_masks(draw: st.DrawFn) -> tuple[Labels, list[Mask]]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=10))
    dtype = draw(st.sampled_from([np.uint8, np.int32, np.uint64]))
    labels = draw(hnp.arrays(dtype, shape, elements=st.integers(0, 4)))
    return labels, draw(st.lists(hnp.arrays(bool, shape), min_size=1, max_size=4))


rules = st.sampled_from(["keep", "overwrite"])


@given(planes_and_masks(), st.integers(1, 5), rules)
@settings(max_examples=150, deadline=None)
def test_undo_restores_and_redo_repeats(case: tuple[Labels, list[Mask]], first_id: int, overlap: Overlap) -> None:
    labels, masks = case
    states, patches = [labels.copy()], []
    for offset, mask in enumerate(masks):
        patches.append(write(labels, mask, first_id + offset, overlap))
        states.append(labels.copy())
    for patch, state in zip(reversed(patches), reversed(states[:-1]), strict=True):
        patch.undo(labels)
        np.testing.assert_array_equal(labels, state)
    for patch, state in zip(patches, states[1:], strict=True):
        patch.redo(labels)
        np.testing.assert_array_equal(labels, state)


@given(planes_and_masks(), st.integers(1, 5), rules)
@settings(max_examples=100, deadline=None)
def test_overlap_rules(case: tuple[Labels, list[Mask]], object_id: int, overlap: Overlap) -> None:
    labels, (mask, *_) = case
    before = labels.copy()
    patch = write(labels, mask, object_id, overlap)
    gained = mask if overlap == "overwrite" else mask & np.isin(before, (0, object_id))
    np.testing.assert_array_equal(labels, np.where(gained, object_id, before))
    assert labels.dtype == before.dtype
    assert patch.changed == np.count_nonzero(labels != before)


def test_an_object_written_again_leaves_where_it_was_but_not_what_was_painted_since() -> None:
    labels, mask = np.zeros((6, 6), np.int32), np.zeros((6, 6), bool)
    mask[:2, :2] = True
    write(labels, mask, 3)
    labels[0, 5], labels[0, 0] = 3, 1  # a stroke of this object, and of another
    before = labels.copy()
    patch = write(labels, mask[::-1, ::-1], 3, instead_of=Part.of(mask))
    expected = 3 * mask[::-1, ::-1]
    expected[0, 5], expected[0, 0] = 3, 1
    np.testing.assert_array_equal(labels, expected)
    assert patch.count(labels, 3) == 5
    patch.undo(labels)
    np.testing.assert_array_equal(labels, before)


def test_an_erased_object_comes_back_with_undo() -> None:
    labels = np.array([[1, 1, 2], [0, 2, 2]], np.uint8)
    before = labels.copy()
    patch = erase(labels, [2])
    np.testing.assert_array_equal(labels, [[1, 1, 0], [0, 0, 0]])
    patch.undo(labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("labels", [np.array([[0, 3], [3, 1]]), np.array([[0, 2**30], [-5, 2**30]])])
def test_areas_are_counted_by_label(labels: Labels) -> None:
    expected = {1: 1, 3: 2} if labels.max() == 3 else {2**30: 2}
    assert areas_in(labels) == expected


def test_a_patch_stores_only_the_region() -> None:
    labels, mask = np.zeros((500, 500), np.int32), np.zeros((500, 500), bool)
    mask[100:110, 200:220] = True
    patch = write(labels, mask, 1)
    assert patch.window == (slice(100, 110), slice(200, 220))
    assert patch.changed == 200


def test_an_empty_mask_changes_nothing() -> None:
    labels = np.ones((4, 4), np.uint16)
    patch = write(labels, np.zeros((4, 4), bool), 2)
    patch.undo(labels)
    patch.redo(labels)
    assert patch.changed == 0
    assert (labels == 1).all()


def test_a_view_of_a_stack_is_written_through() -> None:
    stack, mask = np.zeros((3, 4, 5), np.uint16), np.eye(4, 5)
    patch = write(stack[1], mask, 7)
    assert stack[1].sum() == 28
    assert not stack[[0, 2]].any()
    patch.undo(stack[1])
    assert not stack.any()
    write(stack[:, 2, :].T, np.ones((5, 3)), 2)
    assert (stack[:, 2] == 2).all()


def test_undo_leaves_what_was_drawn_since() -> None:
    labels, mask = np.zeros((5, 5), np.uint16), np.zeros((5, 5), bool)
    mask[0], mask[:, 0] = True, True
    patch = write(labels, mask, 1)
    labels[3, 3] = 9  # within the region, not of the patch
    labels[0, 0] = 8  # drawn over the patch
    patch.undo(labels)
    assert labels[3, 3] == 9
    assert labels[0, 0] == 8
    assert np.count_nonzero(labels) == 2


def test_objects_are_replaced_and_others_keep_their_pixels() -> None:
    labels = np.array([[1, 1, 0, 0], [2, 0, 0, 3], [2, 0, 0, 3]], np.uint8)
    found = np.array([[0, 1, 1, 7], [0, 2, 2, 2], [0, 0, 0, 0]])
    before = labels.copy()
    patch = replace_objects(labels, found, [1, 2, 4])
    np.testing.assert_array_equal(labels, [[0, 1, 1, 0], [0, 2, 2, 3], [0, 0, 0, 3]])
    assert labels.dtype == np.uint8
    assert patch.changed == 6
    patch.undo(labels)
    np.testing.assert_array_equal(labels, before)
    assert replace_objects(labels, found, []).changed == 0
    for ids, says in (([0], "id 0"), ([300], "id 300"), ([1, -4], "id -4")):
        with pytest.raises(InvalidLabelsError, match=says):
            replace_objects(labels, found, ids)
    with pytest.raises(InvalidLabelsError, match=r"\(2, 4\)"):
        replace_objects(labels, found[:2], [1])
    np.testing.assert_array_equal(labels, before)


def test_next_free_id() -> None:
    assert next_free_id(np.zeros((3, 3), np.uint8)) == 1
    assert next_free_id(np.array([[0, 7], [3, 0]])) == 8
    assert next_free_id(np.zeros((2, 0, 4), int)) == 1
    assert next_free_id(np.full((2, 2), -1)) == 1


def read_only(labels: Labels) -> Labels:
    labels.flags.writeable = False
    return labels


@pytest.mark.parametrize(
    ("labels", "arguments", "names"),
    [
        (np.zeros((3, 3)), (np.ones((3, 3)), 1), r"\(3, 3\).*float64"),
        (np.zeros((2, 3, 3), int), (np.ones((3, 3)), 1), r"\(2, 3, 3\)"),
        (read_only(np.zeros((3, 3), int)), (np.ones((3, 3)), 1), "read-only"),
        (np.zeros((3, 3), int), (np.ones((3, 4)), 1), r"\(3, 4\).*\(3, 3\)"),
        (np.zeros((3, 3), np.uint8), (np.ones((3, 3)), 256), r"256.*uint8.*255"),
        (np.zeros((3, 3), np.uint8), (np.ones((3, 3)), 0), r"id 0 "),
        (np.zeros((3, 3), np.uint8), (np.ones((3, 3)), 1, "add"), "'add'"),
    ],
)
def test_wrong_input_is_one_sentence_and_changes_nothing(labels: Labels, arguments: Any, names: str) -> None:
    before = labels.copy()
    with pytest.raises(InvalidLabelsError, match=names) as caught:
        write(labels, *arguments)
    assert str(caught.value).endswith(".")
    np.testing.assert_array_equal(labels, before)


def test_undo_on_another_plane_is_refused() -> None:
    patch = write(np.zeros((3, 3), int), np.ones((3, 3)), 1)
    with pytest.raises(InvalidLabelsError, match=r"\(4, 3\).*\(3, 3\)"):
        patch.undo(np.zeros((4, 3), int))


def test_an_object_is_looked_for_and_erased_in_a_window_alone() -> None:
    labels = np.zeros((40, 50), np.uint32)
    labels[5:9, 10:14] = labels[30:33, 40:44] = 3
    whole, near = part_of(labels, 3), part_of(labels, 3, (slice(0, 20), slice(8, 20)))
    assert whole.window == (slice(5, 33), slice(10, 44))
    assert near.window == (slice(5, 9), slice(10, 14))
    np.testing.assert_array_equal(whole.whole(), labels == 3)
    assert not part_of(labels, 4).pixels.size
    patch = erase(labels, [3], (slice(0, 20), slice(8, 20)))
    assert patch.window == near.window
    assert labels.sum() == 3 * 12
    patch.undo(labels)
    np.testing.assert_array_equal(labels == 3, whole.whole())
