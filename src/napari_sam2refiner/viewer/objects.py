"""The objects of an image's result: how they came about, and how they are listed; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.viewer.drafts import Reopened
from napari_sam2refiner.viewer.marks import Marks

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex

Color = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object of the plane that is shown, as the table lists it.

    Attributes
    ----------
    object_id : int
    color : (float, float, float, float)
        Red, green, blue and opacity, 0 to 1.
    pixels : int
    score : float or None
        The model's estimate of its IoU, where the dock has kept it.
    """

    object_id: int
    color: Color
    pixels: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Origin:
    """How an object came about: by which marks, and how sure the model was (None where it was not asked)."""

    marks: Marks
    score: float | None


class Origins:
    """How the objects of an image came about, as far as this dock has kept them."""

    def __init__(self) -> None:
        self._known: dict[tuple[PlaneIndex, int], Origin] = {}

    @property
    def known(self) -> Mapping[tuple[PlaneIndex, int], Origin]:
        """By plane and id."""
        return self._known

    def note(self, plane: PlaneIndex, object_id: int, origin: Origin | None) -> Origin | None:
        """Note how an object came about, None where that is not known; return what was noted before."""
        before = self._known.pop((plane, object_id), None)
        if origin is not None:
            self._known[plane, object_id] = origin
        return before

    def reopen(self, plane: PlaneIndex, object_id: int, labels: npt.NDArray[Any]) -> Reopened | None:
        """Return an object of labels (Y, X) of a plane as it is there now; None where it is not there."""
        part = Part.of(labels == object_id)
        if not part.pixels.size:
            return None
        origin = self._known.get((plane, object_id), Origin(Marks(), None))
        return Reopened(object_id, origin.marks, origin.score, part)

    def rows(self, plane: PlaneIndex, areas: Mapping[int, int], colors: Sequence[Color]) -> tuple[ObjectRow, ...]:
        """Return the rows of the objects of a plane, by their areas; none without `colors`, which are in that order."""
        rows = []
        for (object_id, pixels), color in zip(areas.items(), colors, strict=bool(colors)):
            origin = self._known.get((plane, object_id))
            rows.append(ObjectRow(object_id, color, pixels, None if origin is None else origin.score))
        return tuple(rows)
