"""Segment everything: every object of a plane that a network takes for one, without anybody clicking.

Letters: Y, X rows and columns of the plane; S side of the network's square.

Each look, at the whole plane and, where that shows it smaller than it is, at windows of it, gives one point for each
object that is likely. They are asked in batches, the likeliest first; a point in an object that was found meanwhile is
left out. The surest keeps its pixels; who has too few left without those of surer ones goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidConfigError, InvalidImageError
from napari_sam2refiner.planes.region import Part, Window
from napari_sam2refiner.prompts import Prompts

if TYPE_CHECKING:
    from napari_sam2refiner.sessions.base import PlaneSession, Prediction, Survey

CHUNK = 8  # points asked together; on a CPU more take longer for each
LARGEST_CHUNK = 2**25  # pixels of the answers of a chunk, of which there are some copies
SURE = 0.6  # score of an object within which no further point is asked
SHARPLY = 1.0  # logits by which a mask is cut tighter and looser, to see how stable it is
SMALLER = 0.8  # plane pixels seen smaller than this are looked at in windows, too
SHARED = 0.25  # of a window's side that its neighbour shows too
WELL_SEEN = 24.0  # pixels of the square; what is smaller is left to windows where there are any

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Filters:
    """Which objects stay.

    Attributes
    ----------
    score : float
        Least estimate of the IoU: the network's own times the mean likelihood within the mask of being inside an object
        or, of a network that does not know, times the stability.
    stability : float
        Least IoU of the masks that are cut a little tighter and a little looser.
    overlap : float
        Most of an object, as a share, that surer ones may have.
    area : int
        Least number of pixels.
    """

    score: float = 0.45
    stability: float = 0.3
    overlap: float = 0.3
    area: int = 15

    def check(self) -> None:
        """Raise `InvalidConfigError` if something is out of range."""
        for name in ("score", "stability", "overlap"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                msg = f"the {name} of the filters is {value}; choose from 0 to 1."
                raise InvalidConfigError(msg)
        if self.area < 1:
            msg = f"the area of the filters is {self.area}; choose 1 pixel or more."
            raise InvalidConfigError(msg)


@dataclass(frozen=True)
class FoundObject:
    """One object that was found.

    Attributes
    ----------
    object_id : int
    point : (float, float)
        Where it was asked for, (y, x) in plane pixels: a click there gives it again.
    score, stability : float
        See `Filters`.
    pixels : int
    """

    object_id: int
    point: tuple[float, float]
    score: float
    stability: float
    pixels: int


class _Mask(NamedTuple):
    """What one point gave."""

    point: tuple[float, float]
    score: float
    stability: float
    part: Part


class _Look(NamedTuple):
    """A session, where the part of the plane that it shows begins, and what of that part it answers for."""

    session: PlaneSession
    top: int
    left: int
    own: Window


def segment_everything(
    session: PlaneSession,
    *,
    filters: Filters = Filters(),
    points: int = 32,
    refine: bool = True,
    progress: Progress | None = None,
) -> tuple[npt.NDArray[np.uint32], list[FoundObject]]:
    """Return labels of every object of a plane, and what is known of each.

    Parameters
    ----------
    session : PlaneSession
        With the image.
    filters : Filters
        Which objects stay.
    points : int
        Of a network that does not know where objects are likely: points along each side of a grid.
    refine : bool
        Whether the refiner works on the base's masks.
    progress : callable, optional
        Called with (points done, points known so far), between batches; what it raises ends the work.

    Returns
    -------
    labels : (Y, X) uint32 array
        0 is the ground; ids begin at 1, the surest first.
    objects : list of FoundObject
        By id.

    Raises
    ------
    InvalidConfigError
        If a filter or the number of points is out of range.
    InvalidImageError
        If the session has no image, or one too large to look at as a whole.
    """
    filters.check()
    if points < 1:
        msg = f"the grid has {points} points a side; choose 1 or more."
        raise InvalidConfigError(msg)
    shape = session.shape
    if shape is None:
        msg = "there is no image; call set_image(...) first."
        raise InvalidImageError(msg)
    session = session.as_whole()
    search = _Search(filters, refine, progress)
    survey = session.survey(points)
    masks = search.look(_Look(session, 0, 0, (slice(0, shape[0]), slice(0, shape[1]))), survey)
    if survey.scale < SMALLER:
        masks = [mask for mask in masks if max(mask.part.pixels.shape) * survey.scale >= WELL_SEEN]
        for look in _windows(session, shape, survey.side):
            masks += search.look(look, look.session.survey(points))
    return _laid(shape, masks, filters)


def _windows(session: PlaneSession, shape: tuple[int, int], side: int) -> Iterator[_Look]:
    """Yield looks at windows of `side` pixels, each of which answers for points up to the middle of what two show."""
    rows, columns = (_spans(length, side) for length in shape)
    for row, own_rows in rows:
        for column, own_columns in columns:
            yield _Look(session.within((row, column)), row.start, column.start, (own_rows, own_columns))


def _spans(length: int, side: int) -> list[tuple[slice, slice]]:
    """Return spans of `side` pixels at equal distances over a length, and what part of each it answers for."""
    if length <= side:
        return [(slice(0, length), slice(0, length))]
    count = 1 + math.ceil((length - side) / (side * (1.0 - SHARED)))
    starts = [round(n * (length - side) / (count - 1)) for n in range(count)]
    middles = [(one + side + other) // 2 for one, other in pairwise(starts)]
    ends = pairwise([0, *middles, length])
    return [(slice(s, s + side), slice(a - s, b - s)) for s, (a, b) in zip(starts, ends, strict=True)]


class _Search:
    """Asks for objects, and counts the points that are done of those that are known."""

    def __init__(self, filters: Filters, refine: bool, progress: Progress | None) -> None:
        self._filters, self._refine, self._progress = filters, refine, progress
        self._done = self._known = 0

    def look(self, look: _Look, survey: Survey) -> list[_Mask]:
        """Return the masks that a look shows and that pass the filters, in pixels of the plane."""
        assert look.session.shape is not None, "it has an image"
        taken = np.zeros(look.session.shape, np.bool_)  # by sure objects
        points = _within(survey.points, look.own)
        found: list[_Mask] = []
        chunk = max(1, min(CHUNK, LARGEST_CHUNK // taken.size))
        self._count(known=len(points))
        done = 0
        rows, columns = points.round().astype(int).T
        left = np.arange(len(points))
        while len(left):
            left = left[~taken[rows[left], columns[left]]]
            asked, left = left[:chunk], left[chunk:]
            for mask in self._answers(look.session, points[asked].tolist(), survey.foreground):
                found.append(mask)
                if mask.score >= SURE:
                    taken[mask.part.window] |= mask.part.pixels
            self._count(done=len(points) - len(left) - done)
            done = len(points) - len(left)
        return [_moved(mask, look.top, look.left) for mask in found]

    def _answers(
        self, session: PlaneSession, points: list[list[float]], foreground: npt.NDArray[np.float32] | None
    ) -> Iterator[_Mask]:
        """Yield the masks of points that pass the filters."""
        if not points:
            return
        prompts = [Prompts(points=[point]) for point in points]
        answers = session.predict_many(prompts, refine=self._refine, local_detail="off", look_again=False)
        for (y, x), answer in zip(points, answers, strict=True):
            mask = _measured((y, x), answer, foreground)
            if mask is not None and _passes(mask, self._filters):
                yield mask

    def _count(self, *, known: int = 0, done: int = 0) -> None:
        """Tell that so many more points are known, and done: asked, or not worth it any more."""
        self._known += known
        self._done += done
        if self._progress is not None:
            self._progress(self._done, self._known)


def _measured(
    point: tuple[float, float], answer: Prediction, foreground: npt.NDArray[np.float32] | None
) -> _Mask | None:
    """Return the mask of an answer with its score and stability; None where it is empty."""
    part = Part.of(answer.mask)
    area = int(part.pixels.sum())
    if not area:
        return None
    tight, loose = (int(np.count_nonzero(answer.logits > cut)) for cut in (SHARPLY, -SHARPLY))
    stability = tight / loose
    likely = stability
    if foreground is not None:
        likely = float(foreground[:, *part.window][:, part.pixels].mean(1).max())
    return _Mask(point, float(answer.score) * likely, stability, part)


def _passes(mask: _Mask, filters: Filters) -> bool:
    return (
        mask.score >= filters.score
        and mask.stability >= filters.stability
        and int(np.count_nonzero(mask.part.pixels)) >= filters.area
    )


def _within(points: npt.NDArray[np.float64], own: Window) -> npt.NDArray[np.float64]:
    """Return the points (K, 2) that a look answers for."""
    inside = np.ones(len(points), np.bool_)
    for axis, part in enumerate(own):
        inside &= (points[:, axis] >= part.start - 0.5) & (points[:, axis] < part.stop - 0.5)
    return points[inside]


def _moved(mask: _Mask, top: int, left: int) -> _Mask:
    """Return a mask of a window in the pixels of the plane, whose shape nobody asks for any more."""
    rows, columns = mask.part.window
    window = (slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left))
    point = (mask.point[0] + top, mask.point[1] + left)
    return mask._replace(point=point, part=mask.part._replace(window=window))


def _laid(
    shape: tuple[int, int], masks: list[_Mask], filters: Filters
) -> tuple[npt.NDArray[np.uint32], list[FoundObject]]:
    """Lay masks into labels, the surest first; those that surer ones have too much of are left out."""
    labels = np.zeros(shape, np.uint32)
    objects: list[FoundObject] = []
    for mask in sorted(masks, key=lambda one: -one.score):
        region = labels[mask.part.window]
        free = mask.part.pixels & (region == 0)
        pixels = int(np.count_nonzero(free))
        if pixels < max(filters.area, (1.0 - filters.overlap) * np.count_nonzero(mask.part.pixels)):
            continue
        number = len(objects) + 1
        region[free] = number
        objects.append(FoundObject(number, mask.point, mask.score, mask.stability, pixels))
    return labels, objects
