"""What the user has marked on a plane, for one object or for several; numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.scribbles import sample_path

Mask = npt.NDArray[np.bool_]
Place = tuple[float, float]
Point = tuple[float, float, bool]
RegionKind = Literal["rectangle", "ellipse", "polygon", "path"]
SCRIBBLE_STEP = 1 / 48  # of the diagonal of the plane: from point to point of a scribble


@dataclass(frozen=True, slots=True)
class Region:
    """A shape that the user drew.

    Attributes
    ----------
    kind : "rectangle", "ellipse", "polygon" or "path"
        A rectangle is a box; ellipses and polygons are rough outlines; a path is a scribble.
    corners : tuple of (y, x)
        In plane pixels; of an ellipse the four corners around it, of a path its vertices.
    positive : bool
        Whether what is marked belongs to the object; a box is always around it.
    """

    kind: RegionKind
    corners: tuple[Place, ...]
    positive: bool = True

    def part(self, shape: tuple[int, int]) -> Part:
        """Return the pixels inside, of a plane of this shape."""
        corners = np.array(self.corners)
        if self.kind == "ellipse":
            angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)[:, None]
            down, across = (corners[3] - corners[0]) / 2, (corners[1] - corners[0]) / 2
            corners = corners.mean(0) + np.cos(angle) * down + np.sin(angle) * across
        # Only around the shape: the plane may be very large.
        first = np.clip(np.floor(corners.min(0)).astype(int), 0, shape)
        last = np.clip(np.ceil(corners.max(0)).astype(int) + 1, first, shape)
        if not (last > first).all():
            return Part.nothing(shape)
        inside = polygon2mask(tuple(last - first), corners - first)
        window = (slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1])))
        return Part(shape, window, inside).tight()

    def samples(self, shape: tuple[int, int]) -> list[Point]:
        """Return the points on a plane of this shape that a scribble stands for."""
        points = sample_path(np.array(self.corners), max(2.0, hypot(*shape) * SCRIBBLE_STEP))
        return [(y, x, self.positive) for y, x in points.tolist() if _is_on((y, x), shape)]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) around the corners."""
        corners = np.array(self.corners)
        y0, x0 = corners.min(0).tolist()
        y1, x1 = corners.max(0).tolist()
        return y0, x0, y1, x1

    @property
    def middle(self) -> Place:
        """A place in the middle of it: of a scribble half way along its vertices, else between the corners."""
        if self.kind == "path":
            return self.corners[len(self.corners) // 2]
        y0, x0, y1, x1 = self.box
        return (y0 + y1) / 2, (x0 + x1) / 2


@dataclass(frozen=True, slots=True)
class Marks:
    """Every prompt on a plane, in plane pixels: those of one object, and of the others at hand where there are more.

    Attributes
    ----------
    points : tuple of (y, x, positive)
    regions : tuple of Region
        Rectangles are boxes, polygons and ellipses parts of one rough mask, paths scribbles.
    others : tuple of Marks
        Of each further object; these have no others.
    """

    points: tuple[Point, ...] = ()
    regions: tuple[Region, ...] = ()
    others: tuple[Marks, ...] = ()

    @classmethod
    def of(cls, objects: Sequence[Marks]) -> Marks:
        """Return the marks of several objects, without those that have none."""
        marked = [one for one in objects if one.points or one.regions]
        return replace(marked[0], others=tuple(marked[1:])) if marked else cls()

    def __bool__(self) -> bool:
        return bool(self.points or self.regions or self.others)

    @property
    def objects(self) -> tuple[Marks, ...]:
        """The marks of each object, alone."""
        return (replace(self, others=()), *self.others) if self.others else (self,)

    @property
    def count(self) -> int:
        """How many marks there are."""
        return len(self.points) + len(self.regions) + sum(one.count for one in self.others)

    @property
    def boxes(self) -> tuple[Region, ...]:
        """The regions that are boxes."""
        return tuple(region for region in self.regions if region.kind == "rectangle")

    @property
    def scribbles(self) -> tuple[Region, ...]:
        """The regions that are scribbles."""
        return tuple(region for region in self.regions if region.kind == "path")

    @property
    def areas(self) -> tuple[Region, ...]:
        """The regions that make the rough mask."""
        return tuple(region for region in self.regions if region.kind in ("polygon", "ellipse"))

    @property
    def is_positive(self) -> bool:
        """Whether anything says where the object is, or any of the objects."""
        here = any(region.positive for region in self.regions) or any(positive for _, _, positive in self.points)
        return here or any(one.is_positive for one in self.others)

    def extends(self, other: Marks) -> bool:
        """Return whether every mark of `other`, an object, is here too, and more."""
        return self != other and set(other.points) <= set(self.points) and set(other.regions) <= set(self.regions)

    def find_outside(self, shape: tuple[int, int]) -> Place | None:
        """Return the first point (y, x) that is not on a plane of this shape."""
        places = ((y, x) for one in self.objects for y, x, _ in one.points)
        return next((place for place in places if not _is_on(place, shape)), None)

    def prompts(self, shape: tuple[int, int]) -> Prompts:
        """Return the prompts of the first object for a session; shape is the plane's.

        Outlines make the rough mask in their order: a negative one is cut out of what is there. Where it cuts nothing,
        it is a negative point in its middle.
        """
        points = [*self.points, *(point for one in self.scribbles for point in one.samples(shape))]
        mask: Part | None = None
        for region in self.areas:
            area = region.part(shape)
            if region.positive:
                mask = area if mask is None else Part.union([mask, area])
            elif mask is not None and (mask.within(area.window) & area.pixels).any():
                mask = mask.without(area)
            elif area.pixels.size:
                points.append((*_deepest(area), False))
        return Prompts(
            points=[(y, x) for y, x, _ in points],
            labels=[int(positive) for _, _, positive in points],
            boxes=[region.box for region in self.boxes],
            mask=mask,
        )

    def with_outline(self, outline: Sequence[Region]) -> Marks:
        """Return the marks with a rough outline of one object; of several at hand, of the nearest."""
        objects = list(self.objects)
        owner = nearest(objects, outline[0].middle) if len(objects) > 1 else 0
        objects[owner] = replace(objects[owner], regions=(*objects[owner].regions, *outline))
        return Marks.of(objects)

    def joined(self) -> Marks:
        """Return the marks as those of one object."""
        objects = self.objects
        return Marks(
            tuple(point for one in objects for point in one.points),
            tuple(region for one in objects for region in one.regions),
        )

    def parted(self) -> Marks:
        """Return the marks with each box an object of its own; what else its object has goes to the nearest box."""
        return Marks.of([part for one in self.objects for part in _parts(one)])


def _parts(one: Marks) -> Iterator[Marks]:
    """Give an object that has several boxes box by box."""
    if len(one.boxes) < 2:
        yield one
        return
    boxes = [Marks(regions=(box,)) for box in one.boxes]
    points = [(nearest(boxes, point[:2]), point) for point in one.points]
    regions = [(nearest(boxes, region.middle), region) for region in one.regions if region.kind != "rectangle"]
    for number, box in enumerate(boxes):
        yield Marks(
            tuple(point for owner, point in points if owner == number),
            (*box.regions, *(region for owner, region in regions if owner == number)),
        )


def nearest(objects: Sequence[Marks], place: Place) -> int:
    """Return which object a place belongs to: the one that it lies in, of several the smallest, else the nearest.

    An object lies where its points and the boxes around its regions are.
    """
    reach: list[tuple[float, float]] = []
    for one in objects:
        boxes = [*(region.box for region in one.regions), *((y, x, y, x) for y, x, _ in one.points)]
        reach.append(min(((_gap(box, place), (box[2] - box[0]) * (box[3] - box[1])) for box in boxes), key=tuple))
    return reach.index(min(reach))


def find_owner(held: Mapping[int, Marks], new: Marks, fresh: int, *, apart: bool) -> int:
    """Return the id of the object that a new mark belongs to.

    Parameters
    ----------
    held : mapping of int to Marks
        What is marked on its plane already, by id of the object.
    new : Marks
        That mark alone.
    fresh : int
        Id for an object that begins.
    apart : bool
        Whether each box is an object of its own.
    """
    if not held:
        return fresh
    if apart and new.boxes:
        return max(fresh, max(held) + 1)
    place = new.regions[0].middle if new.regions else new.points[0][:2]
    return list(held)[nearest(list(held.values()), place)]


def group(marks: Iterable[tuple[int, Marks]]) -> dict[int, Marks]:
    """Return single marks put together by the id of their object, in the order of the ids."""
    by_id: dict[int, list[Marks]] = {}
    for object_id, mark in marks:
        by_id.setdefault(object_id, []).append(mark)
    return {object_id: Marks(others=tuple(by_id[object_id])).joined() for object_id in sorted(by_id)}


def _gap(box: tuple[float, float, float, float], place: Place) -> float:
    """Return how far a place is from a box; nothing inside."""
    y0, x0, y1, x1 = box
    return hypot(max(y0 - place[0], 0, place[0] - y1), max(x0 - place[1], 0, place[1] - x1))


def _deepest(part: Part) -> Place:
    """Return the pixel of an area that is farthest from its rim."""
    depth = ndimage.distance_transform_edt(np.pad(part.pixels, 1))
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return float(y) - 1 + part.window[0].start, float(x) - 1 + part.window[1].start


def _is_on(place: Place, shape: tuple[int, int]) -> bool:
    """Return whether a place is on a plane of this shape."""
    return -0.5 <= place[0] <= shape[0] - 0.5 and -0.5 <= place[1] <= shape[1] - 0.5
