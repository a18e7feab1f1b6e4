"""Refine labels: every object of a label image goes in as a mask prompt and comes back with a better outline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError
from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.planes.region import bounding_window
from napari_sam2refiner.prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_sam2refiner.sessions.base import LocalDetail, PlaneSession, Prediction

TRUST = 1.0  # logits, at most, that what was drawn counts: half of it at its outline (docs/decisions/0029)
CHUNK = 8  # objects asked together, whose answers are held at once; 32 are 4 % faster, but then progress comes in jumps


@dataclass(frozen=True)
class Change:
    """What became of one object.

    Attributes
    ----------
    object_id : int
    pixels_before, pixels_after : int
    iou : float
        Between the mask before and the one that was found.
    score : float
        The network's estimate of the found mask's IoU.
    kept : bool
        Whether the object was left as it was, as it would have changed by more than was allowed.
    """

    object_id: int
    pixels_before: int
    pixels_after: int
    iou: float
    score: float
    kept: bool


def refine_labels(
    session: PlaneSession,
    labels: npt.NDArray[Any],
    *,
    most_change: float = 0.5,
    refine: bool = True,
    local_detail: LocalDetail = "prompted",
    progress: Callable[[int, int], object] | None = None,
) -> tuple[npt.NDArray[Any], list[Change]]:
    """Return labels with better outlines, and what changed.

    A pixel stays as it was drawn where the network is not sure that it is otherwise. Where two objects want a pixel,
    it goes to the one that is surer of it; an object that is kept keeps all of its own.

    Parameters
    ----------
    session : PlaneSession
        With the image.
    labels : (Y, X) integer array
        Zero is the ground; not changed.
    most_change : float
        An object whose IoU with what was found is below one minus this is kept as it is; 0 to 1.
    refine : bool
        Whether the refiner works on the base's masks.
    local_detail : {"prompted", "off", "on"}
        Where it looks at the image in more detail.
    progress : callable, optional
        Called with (objects done, objects there are).

    Returns
    -------
    labels : (Y, X) array
        Of the same dtype and ids.
    changes : list of Change
        By id.

    Raises
    ------
    InvalidLabelsError
        If these are no labels of the session's image.
    InvalidConfigError
        If `most_change` is out of range.
    """
    if not 0.0 <= most_change <= 1.0:
        msg = f"most_change is {most_change}; choose from 0 (change nothing) to 1 (take all that is found)."
        raise InvalidConfigError(msg)
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != session.shape:
        msg = f"the labels have shape {labels.shape} and dtype {labels.dtype}; give integers of shape {session.shape}."
        raise InvalidLabelsError(msg)
    ids = ids_in(labels)
    refined, surest = np.zeros_like(labels), np.zeros(labels.shape, np.float32)
    changes = []
    for object_id, answer in _answers(session, labels, ids, refine, local_detail, progress):
        before = labels == object_id
        found = _weighed(before, answer.logits)
        change = _compared(before, found > 0, object_id, answer.score, most_change)
        certainty = np.where(before, np.inf, -np.inf) if change.kept else found
        taken = certainty > surest
        refined[taken], surest[taken] = object_id, certainty[taken]
        changes.append(change)
    there, counts = np.unique(refined, return_counts=True)
    pixels = dict(zip(there.tolist(), counts.tolist(), strict=True))
    return refined, [replace(c, pixels_after=pixels.get(c.object_id, 0)) for c in changes]


def _answers(
    session: PlaneSession,
    labels: npt.NDArray[Any],
    ids: Sequence[int],
    refine: bool,
    local_detail: LocalDetail,
    progress: Callable[[int, int], object] | None,
) -> Iterator[tuple[int, Prediction]]:
    """Ask for all objects, some at a time."""
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        prompts = [Prompts(mask=labels == i) for i in part]
        answers = session.predict_many(prompts, refine=refine, local_detail=local_detail)
        yield from zip(part, answers, strict=True)
        if progress is not None:
            progress(start + len(part), len(ids))


def _weighed(before: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return logits (Y, X) of an object that was drawn as `before`, which counts as well."""
    tight = bounding_window(before | (logits > -TRUST))
    assert tight is not None, "an id of the labels has pixels"
    # With a pixel more around it, as the outline lies where the drawn pixels end; the plane's own edge is none.
    window = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in tight)
    drawn = before[window]
    out = logits.copy()
    if drawn.all():
        out[window] += TRUST
    else:
        inside, outside = ndimage.distance_transform_edt(drawn), ndimage.distance_transform_edt(~drawn)
        out[window] += TRUST * np.tanh(inside - outside - np.where(drawn, 0.5, -0.5))
    return out


def _compared(
    before: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_], object_id: int, score: float, most_change: float
) -> Change:
    """Return what changed, and whether that is too much."""
    pixels = int(before.sum())
    overlap = float(iou(before, found))
    kept = overlap < 1.0 - most_change
    return Change(object_id, pixels, pixels if kept else int(found.sum()), overlap, score, kept)
