"""Merge objects of a label plane, and cut them along a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.labels.patch import Patch
from napari_sam2refiner.labels.write import check_writable, relabel
from napari_sam2refiner.planes.region import NOWHERE, Mask, bounding_window

SPLINTER = 4  # pixels; what a trembling hand cuts off at an outline is no part
NEIGHBOURS = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What came of a line: what it changed, and the new ids of the parts by the object that they were cut from."""

    patch: Patch
    parts: Mapping[int, tuple[int, ...]]


def merge(labels: npt.NDArray[Any], ids: Sequence[int], into: int) -> Patch:
    """Make objects of a label plane one, in place.

    Parameters
    ----------
    labels : (Y, X) integer array
        The plane, or a writable view of one.
    ids : sequence of int
        Which objects; those that are not there change nothing.
    into : int
        The id of the one that comes of them.

    Returns
    -------
    Patch
        Undoes and redoes the act.

    Raises
    ------
    InvalidLabelsError
        If the labels cannot be written to, or cannot hold the id; nothing is changed then.
    """
    check_writable(labels, into)
    return relabel(labels, np.isin(labels, [object_id for object_id in ids if object_id != into]), into)


def cut(labels: npt.NDArray[Any], line: npt.NDArray[Any], first_id: int) -> Cut:
    """Cut the objects of a label plane that a line crosses, in place.

    The largest part of an object keeps its id, as does whatever of it the line does not touch. Pixels under the line
    go to the part that is nearest.

    Parameters
    ----------
    labels : (Y, X) integer array
        The plane, or a writable view of one.
    line : (N, 2) array
        Places (y, x), joined in this order; they may lie outside.
    first_id : int
        What the first new part gets; the next ones follow.

    Returns
    -------
    Cut
        Without parts where the line crosses no object from side to side.

    Raises
    ------
    InvalidLabelsError
        If the labels cannot be written to, or cannot hold the new ids; nothing is changed then.
    """
    check_writable(labels, 1)
    rows, columns = _pixels(line, (labels.shape[0], labels.shape[1]))
    under = [int(one) for one in np.unique(labels[rows, columns]) if one > 0]
    window = bounding_window(np.isin(labels, under)) or NOWHERE
    before, on_line = labels[window].copy(), np.zeros(labels.shape, np.bool_)
    on_line[rows, columns] = True
    after, parts, next_id = before.copy(), dict[int, tuple[int, ...]](), first_id
    for object_id in under:
        pieces = _pieces(before == object_id, on_line[window])
        if pieces:
            parts[object_id] = tuple(range(next_id, next_id + len(pieces)))
            next_id += len(pieces)
            check_writable(labels, next_id - 1)
        for number, piece in zip(parts.get(object_id, ()), pieces, strict=True):
            after[piece] = number
    labels[window] = after
    return Cut(Patch((labels.shape[0], labels.shape[1]), window, before, after), parts)


def _pieces(inside: Mask, line: Mask) -> list[Mask]:
    """Return the parts of an object that a line cuts off, without the largest, which it leaves."""
    whole, _ = ndimage.label(inside, NEIGHBOURS)
    parts, count = ndimage.label(inside & ~line, NEIGHBOURS)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    # One connected piece falls apart where two parts that are no splinters were in it.
    owners = {int(n): int(whole[parts == n][0]) for n in np.flatnonzero(sizes > SPLINTER) if n}
    torn = [number for number, owner in owners.items() if list(owners.values()).count(owner) > 1]
    if not torn:
        return []
    largest = max(torn, key=lambda number: int(sizes[number]))
    nearest = ndimage.distance_transform_edt(~np.isin(parts, torn), return_distances=False, return_indices=True)
    filled = np.where(np.isin(whole, [owners[number] for number in torn]), parts[tuple(nearest)], 0)
    return [filled == number for number in torn if number != largest]


def _pixels(line: npt.NDArray[Any], shape: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of a line's pixels; where it goes aslant, those at the corners too, so that it cuts."""
    places = np.round(np.asarray(line, dtype=np.float64)).astype(np.intp)
    found = [places[:1]]
    for start, stop in pairwise(places):
        steps = int(np.abs(stop - start).max())
        along = np.round(np.linspace(start, stop, steps + 1)).astype(np.intp)
        corners = np.stack([along[:-1, 0], along[1:, 1]], axis=1)
        found += [along, corners]
    pixels = np.unique(np.concatenate(found), axis=0)
    inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
    return pixels[inside, 0], pixels[inside, 1]
