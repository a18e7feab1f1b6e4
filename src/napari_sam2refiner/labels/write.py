"""Write masks into a label image, and take them back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidLabelsError
from napari_sam2refiner.labels.patch import Patch
from napari_sam2refiner.planes.region import NOWHERE, Mask, Part, Window, around, as_mask, bounding_window

Overlap = Literal["keep", "overwrite"]

COUNTABLE = 2**20  # labels below this are found by counting
COUNTED_AT_ONCE = 2**22


def write(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any] | Part,
    object_id: int,
    overlap: Overlap = "keep",
    instead_of: Part | None = None,
) -> Patch:
    """Write an object's mask into a label plane, in place.

    Parameters
    ----------
    labels : (Y, X) integer array
        The plane, or a writable view of one.
    mask : (Y, X) array or Part
        Nonzero inside the object.
    object_id : int
        Label of the object, 1 or more.
    overlap : "keep" or "overwrite"
        Whether pixels of other objects stay theirs or are taken from them.
    instead_of : Part, optional
        What the plane had of this object; of that, it loses what is not in the mask.

    Returns
    -------
    Patch
        Undoes and redoes the act.

    Raises
    ------
    InvalidLabelsError
        If the labels cannot be written to, or mask, id or rule do not fit them; nothing is changed then.
    """
    _check(labels, mask, object_id, overlap)
    part = mask if isinstance(mask, Part) else Part.of(as_mask(mask))
    window = part.window
    if instead_of is not None:
        window = around(window, instead_of.window)
    before = labels[window].copy()
    left = before
    if instead_of is not None:
        earlier = instead_of.within(window) & (before == object_id)
        left = np.where(earlier, labels.dtype.type(0), before)
    mine = part.within(window)
    gained = mine if overlap == "overwrite" else mine & (left == 0)
    after = np.where(gained, labels.dtype.type(object_id), left)
    labels[window] = after
    return Patch((labels.shape[0], labels.shape[1]), window, before, after)


def erase(labels: npt.NDArray[Any], ids: Sequence[int], within: Window | None = None) -> Patch:
    """Take objects out of a label plane, in place; errors and what is returned as of `write`.

    Only in a window, where one is known to hold them.
    """
    check_writable(labels, max(ids, default=1))
    window = within or (slice(0, labels.shape[0]), slice(0, labels.shape[1]))
    there = Part((labels.shape[0], labels.shape[1]), window, np.isin(labels[window], ids)).tight()
    before = labels[there.window].copy()
    after = np.where(there.pixels, labels.dtype.type(0), before)
    labels[there.window] = after
    return Patch(there.shape, there.window, before, after)


def relabel(labels: npt.NDArray[Any], where: Mask, label: int) -> Patch:
    """Give the pixels of a (Y, X) mask another label, in place; the labels must be ones that can be written to."""
    window = bounding_window(where) or NOWHERE
    before = labels[window].copy()
    after = np.where(where[window], labels.dtype.type(label), before)
    labels[window] = after
    return Patch((labels.shape[0], labels.shape[1]), window, before, after)


def part_of(labels: npt.NDArray[Any], object_id: int, within: Window | None = None) -> Part:
    """Return what a label plane (Y, X) has of an object; looked for in a window only, where one is known to hold it."""
    shape = (labels.shape[0], labels.shape[1])
    window = _window_of(labels, object_id, within or (slice(0, shape[0]), slice(0, shape[1])))
    return Part(shape, window, labels[window] == object_id)


def _window_of(labels: npt.NDArray[Any], object_id: int, within: Window) -> Window:
    """Return the bounding box of an object in a window, looked for some rows at a time."""
    rows, columns = within
    step, found = max(1, COUNTED_AT_ONCE // max(1, columns.stop - columns.start)), NOWHERE
    for first in range(rows.start, rows.stop, step):
        here = bounding_window(labels[first : min(first + step, rows.stop), columns] == object_id)
        if here is not None:
            y, x = (slice(p.start + n, p.stop + n) for p, n in zip(here, (first, columns.start), strict=True))
            found = around(found, (y, x))
    return found


def fill(labels: npt.NDArray[Any], values: npt.NDArray[Any], window: Window, overlap: Overlap = "keep") -> Patch:
    """Write labels into a window of a label plane, in place, by default where it has none.

    Parameters
    ----------
    labels : (Y, X) integer array
        The plane, or a writable view of one.
    values : (H, W) integer array
        Labels of the window; 0 changes nothing.
    window : (slice, slice)
        Rows and columns.
    overlap : "keep" or "overwrite"
        Whether labels that are there stay, or give way.

    Returns
    -------
    Patch
        Undoes and redoes the act.

    Raises
    ------
    InvalidLabelsError
        If the labels cannot be written to, or cannot hold the values; nothing is changed then.
    """
    _check(labels, labels, max(1, int(values.max(initial=0))), overlap)
    before = labels[window].copy()
    stays = values == 0 if overlap == "overwrite" else (values == 0) | (before != 0)
    after = np.where(stays, before, values.astype(labels.dtype, copy=False))
    labels[window] = after
    return Patch((labels.shape[0], labels.shape[1]), window, before, after)


def replace_objects(labels: npt.NDArray[Any], found: npt.NDArray[Any], ids: Iterable[int]) -> Patch:
    """Write objects into a label plane, in place, instead of what it has of them; others keep their pixels.

    Parameters
    ----------
    labels : (Y, X) integer array
        The plane, or a writable view of one.
    found : (Y, X) integer array
        The objects; labels beside `ids` do not matter.
    ids : iterable of int
        Which objects.

    Returns
    -------
    Patch
        Undoes and redoes the act.

    Raises
    ------
    InvalidLabelsError
        If the labels cannot be written to, or shape or ids do not fit them; nothing is changed then.
    """
    wanted = np.fromiter(ids, np.int64)
    for object_id in (int(wanted.max(initial=1)), int(wanted.min(initial=1))):
        _check(labels, found, object_id, "keep")
    ours, new = np.isin(labels, wanted), np.where(np.isin(found, wanted), found, 0)
    after = np.where(ours | (labels == 0), new, labels).astype(labels.dtype)
    window = bounding_window(after != labels) or NOWHERE
    patch = Patch((labels.shape[0], labels.shape[1]), window, labels[window], after[window])
    labels[window] = after[window]
    return patch


def ids_in(labels: npt.NDArray[Any]) -> list[int]:
    """Return the labels above zero that an integer array has, in order."""
    return list(areas_in(labels))


def areas_in(labels: npt.NDArray[Any]) -> dict[int, int]:
    """Return how many pixels each label above zero has in an integer array, in the order of the labels."""
    if labels.size and labels.min() >= 0 and labels.max() < COUNTABLE:  # several times as fast as sorting
        counts = np.zeros(int(labels.max()) + 1, np.int64)
        rows = max(1, COUNTED_AT_ONCE * len(labels) // labels.size)
        for first in range(0, len(labels), rows):  # counting takes eight bytes for each pixel
            counts += np.bincount(labels[first : first + rows].ravel(), minlength=len(counts))
        return {int(n): int(counts[n]) for n in np.flatnonzero(counts) if n}
    ids, counts = np.unique(labels, return_counts=True)
    return {int(n): int(count) for n, count in zip(ids, counts, strict=True) if n > 0}


def next_free_id(labels: npt.NDArray[Any]) -> int:
    """Return one more than the largest label of an array of any shape, 1 where there is none."""
    return max(0, int(labels.max())) + 1 if labels.size else 1


def check_writable(labels: npt.NDArray[Any], object_id: int) -> None:
    """Raise `InvalidLabelsError` if labels are no (Y, X) plane that can be written to and hold an id."""
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        msg = f"the labels have shape {labels.shape} and dtype {labels.dtype}; give one (Y, X) plane of integers."
        raise InvalidLabelsError(msg)
    if not labels.flags.writeable:
        msg = f"the labels of shape {labels.shape} are read-only; write to a copy of them."
        raise InvalidLabelsError(msg)
    largest = int(np.iinfo(labels.dtype).max)
    if not 1 <= object_id <= largest:
        msg = (
            f"object id {object_id} does not fit labels of dtype {labels.dtype}, which hold 1 to {largest}; "
            "choose another id or a larger dtype."
        )
        raise InvalidLabelsError(msg)


def _check(labels: npt.NDArray[Any], mask: npt.NDArray[Any] | Part, object_id: int, overlap: str) -> None:
    check_writable(labels, object_id)
    if mask.shape != labels.shape:
        msg = f"the mask has shape {mask.shape} but the labels have {labels.shape}; they must agree."
        raise InvalidLabelsError(msg)
    if overlap not in ("keep", "overwrite"):
        msg = f'the overlap rule is {overlap!r}; choose "keep" or "overwrite".'
        raise InvalidLabelsError(msg)
