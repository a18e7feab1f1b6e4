"""What a user says about one object, in plane pixels.

Coordinates are (y, x) with pixel centres at integers, so that (0, 0) is the middle of the first pixel and a plane of
shape (Y, X) reaches from -0.5 to Y - 0.5 and X - 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidPromptError
from napari_sam2refiner.planes.region import Part


@dataclass(frozen=True, eq=False, init=False)
class Prompts:
    """Points, boxes and a mask that together mean one object.

    Parameters
    ----------
    points : sequence of (y, x), optional
        Clicks, in plane pixels.
    labels : sequence of int, optional
        1 for a positive point, 0 for a negative one; as many as points. All positive when left out.
    boxes : sequence of (y0, x0, y1, x1), optional
        Boxes around the object, in plane pixels; corners in any order.
    mask : (Y, X) array or Part, optional
        A rough mask of the object, nonzero inside, of the plane's shape; cut out where the plane is very large.

    Raises
    ------
    InvalidPromptError
        If shapes, values or counts make no sense; the message names the prompt.
    """

    points: npt.NDArray[np.float64]  # (N, 2)
    labels: npt.NDArray[np.bool_]  # (N,)
    boxes: npt.NDArray[np.float64]  # (B, 4), y0 < y1, x0 < x1
    area: npt.NDArray[np.bool_] | Part | None  # the mask, (Y, X), or cut

    def __init__(
        self,
        points: Sequence[Sequence[float]] | npt.NDArray[Any] = (),
        labels: Sequence[int] | npt.NDArray[Any] | None = None,
        boxes: Sequence[Sequence[float]] | npt.NDArray[Any] = (),
        mask: npt.NDArray[Any] | Part | None = None,
    ) -> None:
        coordinates = _rows(points, 2, "points")
        signs = _signs(labels, len(coordinates))
        corners = _corners(boxes)
        area = None if mask is None else _area(mask)
        for name, value in (("points", coordinates), ("labels", signs), ("boxes", corners), ("area", area)):
            object.__setattr__(self, name, value)

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """The mask (Y, X)."""
        return self.area.whole() if isinstance(self.area, Part) else self.area

    @property
    def has_positive(self) -> bool:
        """Whether anything says where the object is."""
        return bool(self.labels.any()) or len(self.boxes) > 0 or self.area is not None

    @property
    def is_single_click(self) -> bool:
        """Whether this is one positive point and nothing else: the one ambiguous prompt."""
        return len(self.points) == 1 and bool(self.labels[0]) and len(self.boxes) == 0 and self.area is None

    @property
    def is_mask_alone(self) -> bool:
        """Whether this is a mask and nothing else."""
        return self.area is not None and len(self.points) == 0 and len(self.boxes) == 0

    def within(self, rows: slice, columns: slice) -> Prompts | None:
        """Return the prompts as a part of the plane sees them; None if nothing positive is left.

        Parameters
        ----------
        rows, columns : slice
            The part, with start and stop. Points and boxes outside it are left out, boxes are cut to it.
        """
        start, stop = np.array([rows.start, columns.start]), np.array([rows.stop, columns.stop])
        inside = ((self.points > start - 0.5) & (self.points < stop - 0.5)).all(1)
        first, last = np.maximum(self.boxes[:, :2], start - 0.5), np.minimum(self.boxes[:, 2:], stop - 0.5)
        kept = (first < last).all(1)
        boxes = np.concatenate([first, last], 1)[kept] - np.tile(start, 2)
        area = self.area
        mask = area.within((rows, columns)) if isinstance(area, Part) else None if area is None else area[rows, columns]
        if mask is not None and not mask.any():
            mask = None
        part = Prompts(self.points[inside] - start, self.labels[inside], boxes, mask)
        return part if part.has_positive else None

    def check(self, shape: tuple[int, int], *, corrects: bool = False) -> None:
        """Raise unless the prompts mean an object on a plane of this shape.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of the plane.
        corrects : bool
            Whether there is a mask that points correct, so that negative ones alone mean something.

        Raises
        ------
        InvalidPromptError
            No positive prompt, a point outside the plane, a box that does not touch it, a mask of another shape.
        """
        if not self.has_positive and not (corrects and len(self.points)):
            msg = "there is no positive prompt; add a positive point, a box or a mask on the object."
            raise InvalidPromptError(msg)
        end = np.array(shape) - 0.5
        outside = np.flatnonzero(((self.points < -0.5) | (self.points > end)).any(1))
        if len(outside):
            place = tuple(self.points[outside[0]].tolist())
            msg = f"point {outside[0]} at {place} lies outside the plane of shape {shape}; move it inside."
            raise InvalidPromptError(msg)
        outside = np.flatnonzero((np.minimum(self.boxes[:, 2:], end) <= np.maximum(self.boxes[:, :2], -0.5)).any(1))
        if len(outside):
            box = tuple(self.boxes[outside[0]].tolist())
            msg = f"box {outside[0]} {box} lies outside the plane of shape {shape}; draw it on the image."
            raise InvalidPromptError(msg)
        if self.area is not None and self.area.shape != tuple(shape):
            msg = f"the mask has shape {self.area.shape} but the plane has {tuple(shape)}; they must agree."
            raise InvalidPromptError(msg)


def _rows(values: Any, width: int, name: str) -> npt.NDArray[np.float64]:
    """Return values as an (N, width) array of finite floats."""
    try:
        rows = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"{name} {values!r} are not rows of {width} numbers; give one row for each."
        raise InvalidPromptError(msg) from None
    if rows.size == 0:
        return np.empty((0, width))
    if rows.ndim != 2 or rows.shape[1] != width:
        msg = f"{name} has shape {rows.shape}; give rows of {width} numbers, (N, {width})."
        raise InvalidPromptError(msg)
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
        msg = f"{name} {bad} is {tuple(rows[bad].tolist())}; coordinates must be finite numbers."
        raise InvalidPromptError(msg)
    return rows


def _signs(labels: Any, count: int) -> npt.NDArray[np.bool_]:
    """Return point labels as (count,) truth values, all true where there are none given."""
    try:
        signs = np.ones(count) if labels is None else np.asarray(labels)
    except ValueError:
        msg = f"labels {labels!r} are not one number for each point; give 1 or 0 for each."
        raise InvalidPromptError(msg) from None
    if signs.shape != (count,):
        msg = f"labels has shape {signs.shape} but there are {count} points; give one label for each point."
        raise InvalidPromptError(msg)
    bad = np.flatnonzero(~np.isin(signs, (0, 1)))
    if len(bad):
        msg = f"label {bad[0]} is {signs[bad[0]]}; use 1 for a positive point and 0 for a negative one."
        raise InvalidPromptError(msg)
    return signs.astype(bool)


def _corners(boxes: Any) -> npt.NDArray[np.float64]:
    """Return boxes as (B, 4) rows of y0, x0, y1, x1 with y0 < y1 and x0 < x1."""
    rows = _rows(boxes, 4, "boxes")
    corners = np.concatenate([np.minimum(rows[:, :2], rows[:, 2:]), np.maximum(rows[:, :2], rows[:, 2:])], 1)
    flat = np.flatnonzero((corners[:, 2:] <= corners[:, :2]).any(1))
    if len(flat):
        msg = f"box {flat[0]} {tuple(corners[flat[0]].tolist())} has no area; draw it around the object."
        raise InvalidPromptError(msg)
    return corners


def _area(mask: Any) -> npt.NDArray[np.bool_] | Part:
    """Return where a (Y, X) mask is nonzero."""
    if isinstance(mask, Part) and mask.pixels.any():
        return mask
    area: npt.NDArray[np.bool_] = np.asarray(mask.pixels if isinstance(mask, Part) else mask) != 0
    if area.ndim != 2:
        msg = f"the mask has shape {area.shape}; it must be 2-dimensional, of the plane's shape."
        raise InvalidPromptError(msg)
    if not area.any():
        msg = "the mask is empty; draw at least one pixel inside the object."
        raise InvalidPromptError(msg)
    return area
