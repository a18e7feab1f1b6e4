"""The objects of an image's result: how they came about, and how they are listed; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_sam2refiner.labels.write import part_of
from napari_sam2refiner.viewer.drafts import Reopened
from napari_sam2refiner.viewer.marks import Marks

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.planes.region import Window

Color = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Named:
    """The name and the class that users give an object; empty where they gave none."""

    name: str = ""
    kind: str = ""

    def __bool__(self) -> bool:
        return bool(self.name or self.kind)


Names = Mapping[int, Named]  # by id; objects without a name and a class are left out


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of an object on all planes: its name and class, and the lowest score that it was kept with."""

    named: Named
    score: float | None


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
    named : Named
    frames : int or None
        On how many planes along the sliders it is; None where that is not known, or there are no sliders.
    """

    object_id: int
    color: Color
    pixels: int
    score: float | None
    named: Named = Named()
    frames: int | None = None


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

    def reopen(
        self, plane: PlaneIndex, object_id: int, labels: npt.NDArray[Any], place: Window | None = None
    ) -> Reopened | None:
        """Return an object of labels (Y, X) of a plane as it is there now; None where it is not there.

        Only looked for in a `place`, where one is known to hold it.
        """
        part = part_of(labels, object_id, place)
        if not part.pixels.size:
            return None
        origin = self._known.get((plane, object_id), Origin(Marks(), None))
        return Reopened(object_id, origin.marks, origin.score, part)

    def lowest_scores(self, ids: Collection[int] | None = None) -> dict[int, float]:
        """Return the lowest scores of objects, of all by default, on any plane; those without one are left out."""
        lowest: dict[int, float] = {}
        for (_, object_id), origin in self._known.items():
            if (ids is None or object_id in ids) and origin.score is not None:
                lowest[object_id] = min(origin.score, lowest.get(object_id, origin.score))
        return lowest

    def merged(self, plane: PlaneIndex, ids: Sequence[int]) -> Origin | None:
        """Return how an object came about that others of a plane were made into: by the marks of all."""
        parts = [self._known[plane, one] for one in ids if (plane, one) in self._known]
        points = dict.fromkeys(point for part in parts for point in part.marks.points)
        regions = dict.fromkeys(region for part in parts for region in part.marks.regions)
        return Origin(Marks(tuple(points), tuple(regions)), None) if points or regions else None

    def rows(
        self,
        plane: PlaneIndex,
        areas: Mapping[int, int],
        colors: Sequence[Color],
        names: Names | None = None,
        frames: Mapping[int, int] | None = None,
    ) -> tuple[ObjectRow, ...]:
        """Return the rows of the objects of a plane.

        Parameters
        ----------
        plane : PlaneIndex
        areas : mapping of int to int
            Pixels by id.
        colors : sequence of Color
            Of these, in this order; none without colours.
        names : mapping of int to Named, optional
        frames : mapping of int to int, optional
            On how many planes objects are, where that is known.
        """
        rows = []
        for (object_id, pixels), color in zip(areas.items(), colors, strict=bool(colors)):
            origin, named = self._known.get((plane, object_id)), (names or {}).get(object_id, Named())
            score = None if origin is None else origin.score
            planes = None if frames is None else frames.get(object_id, 1)
            rows.append(ObjectRow(object_id, color, pixels, score, named, planes))
        return tuple(rows)
