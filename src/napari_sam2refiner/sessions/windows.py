"""Where on a plane to look again: closer at an object that is small in the network's square, farther at a large one.

Letters: Y, X rows and columns of the plane; S side of the square.

Windows are squares of the plane, a power of two smaller than it, on a grid with half a window between neighbours, so
that an object lies well inside the one it is nearest to the middle of, and objects side by side share theirs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.region import bounding_window
from napari_sam2refiner.sessions.base import Candidate, Prediction

if TYPE_CHECKING:
    from napari_sam2refiner.prompts import Prompts

SMALL = 48  # pixels of the square; what is larger gains nothing by a closer look
WANTED = 64  # pixels of the square that a small object gets at least, if the plane can be magnified so far
LEAST_SIDE = 64  # plane pixels; smaller windows show blur
SURE = 0.85  # predicted IoU of an answer that needs no look from farther away
LARGE = (250, 384)  # pixels of the square; what is smaller is not seen better from there, what is larger is the ground
OUTSIDE = -10.0  # logit of what is not the object
BETTER = 0.02  # predicted IoU that such a look must win


class Window(NamedTuple):
    """A part of a plane: its first row and column, and how many it has of each."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the plane that it shows."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def window_for(prompts: Prompts, answer: Prediction, side: int, own_side: int | None = None) -> Window | None:
    """Return where to look closer at an object, None if it is large enough as it is.

    Parameters
    ----------
    prompts : Prompts
        The object's.
    answer : Prediction
        To them, of the whole plane.
    side : int
        S.
    own_side : int, optional
        Of the square in which the window is seen, S by default; half of it shows half of the plane, as large.
    """
    shape = answer.mask.shape
    places = _corners(prompts, answer.mask)
    if not len(places):  # nothing is left of what negative points correct
        return None
    first, last = places.min(0), places.max(0)
    longer = max(shape)
    size = float((last - first).max()) * side / longer
    if size > SMALL:
        return None
    smaller = side / (own_side or side)
    times = 2 ** math.ceil(math.log2(smaller * WANTED / max(size, 1.0)))
    while times > 1 and smaller * longer / times < LEAST_SIDE:
        times //= 2
    if times <= smaller:  # nothing would be larger
        return None
    middle = (first + last) / 2
    (top, height), (left, width) = (_span(m, n, math.ceil(longer / times)) for m, n in zip(middle, shape, strict=True))
    return Window(top, left, height, width)


def is_better_from_afar(answer: Prediction, farther: Prediction, side: int) -> bool:
    """Return whether a look from farther away shows a large object, and better than the answer of the plane.

    Parameters
    ----------
    answer, farther : Prediction
        Both in plane pixels.
    side : int
        S.
    """
    box = bounding_window(farther.mask)
    if box is None or farther.score < answer.score + BETTER:
        return False
    longer: int = max(s.stop - s.start for s in box)
    return bool(LARGE[0] <= longer * side / max(farther.mask.shape) <= LARGE[1])


def _corners(prompts: Prompts, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Corners (N, 2) of what the mask and the positive prompts take up."""
    points = prompts.points[prompts.labels]
    corners = [points - 0.5, points + 0.5, prompts.boxes[:, :2], prompts.boxes[:, 2:]]
    for area in (mask, prompts.mask):
        box = None if area is None else bounding_window(area)
        if box is not None:
            corners += [np.array([[s.start, s.stop] for s in box]).T - 0.5]
    return np.concatenate(corners)


def _span(middle: float, length: int, size: int) -> tuple[int, int]:
    """Return start and size of the span of the grid, `size` long within `length`, whose middle is nearest."""
    if size >= length:
        return 0, length
    step = size / 2
    start = round(round((middle + 0.5 - size / 2) / step) * step)
    return min(max(0, start), length - size), size


def as_drawn(prompts: Prompts) -> Prediction:
    """Return a drawn mask as if it were an answer."""
    assert prompts.mask is not None, "there is one"
    return Prediction(prompts.mask, np.where(prompts.mask, -OUTSIDE, OUTSIDE).astype(np.float32), 1.0)


def placed(logits: npt.NDArray[np.float32], window: Window, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a window's logits on the plane (Y, X), which outside of it is not the object."""
    whole = np.full(shape, OUTSIDE, np.float32)
    whole[window.slices] = logits
    return whole


def with_closer_look(answer: Prediction, closer: Prediction, window: Window) -> Prediction:
    """Return an answer of the plane whose first candidate is the mean with that of a closer look.

    The mean is better than either: the plane shows the surroundings, the window shows the outline.
    """
    logits = answer.logits.copy()
    logits[window.slices] = (logits[window.slices] + closer.logits) / 2
    best = Candidate(logits > 0, logits, (answer.score + closer.score) / 2, answer.memo)
    return replace(answer, mask=best.mask, logits=logits, score=best.score, candidates=(best, *answer.candidates[1:]))
