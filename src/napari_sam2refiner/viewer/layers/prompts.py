"""Prompts as napari's points and shapes: how they are read, written and look.

Both layers have the features `object_id` (marks of one id are one object), `polarity` and `axes` (those that the mark
lies on: in a stack a point lies on planes of others, too).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from napari.layers import Points, Shapes

from napari_sam2refiner.viewer.marks import Marks, Region, RegionKind, find_owner, group

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.layers.view import ImageView

FEATURES = ("polarity", "object_id", "axes")
POLARITY_COLORS = {"positive": "#22dd55", "negative": "#ff3366"}
POLARITY_SYMBOLS = {"positive": "disc", "negative": "x"}  # to be told apart without colours too
# Pixels of the screen. Where it limits sizes, vispy makes borders half as wide as the least: 8 hid all red of a cross.
CANVAS_SIZES = (4, 14)
KINDS: dict[str, RegionKind] = {
    "rectangle": "rectangle",
    "ellipse": "ellipse",
    "polygon": "polygon",
    "path": "path",
    "line": "path",
}
Table = dict[str, list[Any]]


class View(Protocol):
    """What says which plane a mark is on."""

    @property
    def axes(self) -> tuple[int, int]:
        """The axes that a mark was made on that does not say so."""

    def plane_at(self, steps: Sequence[int], axes: tuple[int, int]) -> PlaneIndex:
        """Return the plane that two axes span at these steps."""


@dataclass(frozen=True, slots=True)
class NextMark:
    """What a mark that the user makes is.

    Attributes
    ----------
    positive : bool
    object_id : int
        Of an object that begins.
    apart : bool
        Whether each box is an object of its own.
    """

    positive: bool = True
    object_id: int = 1
    apart: bool = False

    @property
    def polarity(self) -> str:
        """As it is noted in a table of features."""
        return name_polarity(self.positive)


@dataclass(frozen=True, slots=True)
class Placed:
    """One mark in a layer: on which plane, of which object, and where in the layer's list."""

    plane: PlaneIndex
    object_id: int
    index: int
    marks: Marks


def make_points(ndim: int, size: float, **common: Any) -> Points:
    """Return a layer of prompts without any."""
    points = Points(
        np.empty((0, ndim)),
        ndim=ndim,
        name="prompts",
        size=size,
        canvas_size_limits=CANVAS_SIZES,
        border_color="white",
        border_width=0.15,
        features=_columns({name: [] for name in FEATURES}),
        face_color_cycle=POLARITY_COLORS,
        **common,
    )
    points.feature_defaults = {"polarity": "positive", "object_id": 1, "axes": name_axes((ndim - 2, ndim - 1))}
    points.face_color = "polarity"
    return points


def make_regions(ndim: int, size: float, **common: Any) -> Shapes:
    """Return a layer of regions without any."""
    return Shapes(
        ndim=ndim,
        name="regions",
        edge_color=POLARITY_COLORS["positive"],
        face_color="transparent",
        edge_width=max(1.0, size / 5),
        features=_columns({name: [] for name in FEATURES}),
        **common,
    )


def read_layer(layer: Points | Shapes, view: View, table: Table | None = None) -> list[Placed]:
    """Return the marks in a layer, also in one that has not all the features, or as if it had those of a table."""
    read = _read_regions if isinstance(layer, Shapes) else _read_points
    return list(read(layer, view, _table(layer) if table is None else table))


def read_marks(layers: Sequence[Points | Shapes], view: View) -> dict[PlaneIndex, Marks]:
    """Return what is marked in layers, by plane; planes without a mark are left out."""
    by_plane: dict[PlaneIndex, list[tuple[int, Marks]]] = {}
    for layer in layers:
        for found in read_layer(layer, view):
            by_plane.setdefault(found.plane, []).append((found.object_id, found.marks))
    return {plane: Marks.of(list(group(marks).values())) for plane, marks in by_plane.items()}


def _read_points(points: Points, view: View, table: Table) -> Iterator[Placed]:
    """Give each point with its plane: that of the axes it was clicked on, since it lies on others too."""
    known = {name_axes(axes): axes for axes in combinations(range(points.ndim), 2)}
    for index, place in enumerate(np.asarray(points.data, dtype=np.float64).tolist()):
        axes = known.get(table["axes"][index]) or view.axes
        plane = view.plane_at([round(step) for step in place], axes)
        point = (place[axes[0]], place[axes[1]], table["polarity"][index] == "positive")
        yield Placed(plane, table["object_id"][index], index, Marks((point,)))


def _read_regions(shapes: Shapes, view: View, table: Table) -> Iterator[Placed]:
    """Give each shape with its plane: that of the axes it was drawn on, where it is flat, else where it is largest."""
    known = {name_axes(axes): axes for axes in combinations(range(shapes.ndim), 2)}
    for index, (data, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
        corners = np.asarray(data, dtype=np.float64)
        largest = sorted(np.argsort(np.ptp(corners, axis=0), kind="stable")[-2:].tolist())
        noted = known.get(table["axes"][index])
        axes = noted if noted is not None and _is_flat(corners, noted) else (largest[0], largest[1])
        if _is_flat(corners, axes) and kind in KINDS:
            plane = view.plane_at(np.round(corners[0]).astype(int).tolist(), axes)
            places = tuple((y, x) for y, x in corners[:, list(axes)].tolist())
            is_positive = table["polarity"][index] == "positive" or kind == "rectangle"
            region = Region(KINDS[cast("str", kind)], places, is_positive)
            yield Placed(plane, table["object_id"][index], index, Marks(regions=(region,)))


def write_points(points: Points, view: ImageView, plane: PlaneIndex, marks: Marks, first_id: int) -> bool:
    """Replace the points of a plane; its objects are numbered on from `first_id`. Return whether any are others now."""
    placed = read_layer(points, view)
    here = [(found.object_id, point) for found in placed if found.plane == plane for point in found.marks.points]
    if here == [(object_id, point) for object_id, one in enumerate(marks.objects, first_id) for point in one.points]:
        return False  # napari takes tens of milliseconds also where nothing comes of it
    table, kept = _table(points), [found.index for found in placed if found.plane != plane]
    table = {name: [column[index] for index in kept] for name, column in table.items()}
    places: list[tuple[float, float]] = []
    for object_id, one in enumerate(marks.objects, first_id):
        places += [(y, x) for y, x, _ in one.points]
        _extend(table, [positive for _, _, positive in one.points], object_id, plane)
    data = np.concatenate([np.asarray(points.data, dtype=np.float64)[kept], view.expand(plane, places)])
    points.selected_data = set()
    points.data = data
    set_features(points, table)
    return True


def write_regions(shapes: Shapes, view: ImageView, plane: PlaneIndex, marks: Marks, first_id: int) -> bool:
    """Replace the shapes of a plane; its objects are numbered on from `first_id`. Return whether any are others now."""
    placed = [found for found in read_layer(shapes, view) if found.plane == plane]
    here = [(found.object_id, region) for found in placed for region in found.marks.regions]
    if here == [(object_id, region) for object_id, one in enumerate(marks.objects, first_id) for region in one.regions]:
        return False
    mode, shapes.mode = shapes.mode, "pan_zoom"  # ends a shape that is being drawn
    gone = {found.index for found in read_layer(shapes, view) if found.plane == plane}
    table = {name: [one for i, one in enumerate(column) if i not in gone] for name, column in _table(shapes).items()}
    if gone:
        shapes.selected_data = gone
        shapes.remove_selected()
    regions: list[Region] = []
    for object_id, one in enumerate(marks.objects, first_id):
        regions += one.regions
        _extend(table, [region.positive for region in one.regions], object_id, plane)
    if regions:  # at once: of one after the other napari draws each
        data = [view.expand(plane, region.corners) for region in regions]
        shapes.add(data, shape_type=[region.kind for region in regions])
    set_features(shapes, table)
    shapes.selected_data = set()
    shapes.mode = mode
    return True


def note_new(
    layer: Points | Shapes,
    view: ImageView,
    new: Sequence[int],
    held: dict[PlaneIndex, dict[int, Marks]],
    mark: NextMark,
) -> None:
    """Note what marks are that the user has made: napari's own default follows whatever was selected last.

    Parameters
    ----------
    layer : Points or Shapes
    view : ImageView
    new : sequence of int
        Where they are in the layer's list.
    held : mapping of PlaneIndex to mapping of int to Marks
        What was marked before, by plane and by id of the object; the new ones are added to it.
    mark : NextMark
    """
    table = _table(layer)
    before = {name: list(column) for name, column in table.items()}
    for index in new:
        table["polarity"][index], table["axes"][index] = mark.polarity, name_axes(view.axes)
    for found in read_layer(layer, view, table):
        if found.index in new:
            ours = held.setdefault(found.plane, {})
            owner = find_owner(ours, found.marks, mark.object_id, apart=mark.apart)
            table["object_id"][found.index] = owner
            table["polarity"][found.index] = name_polarity(_is_positive(found.marks))
            ours[owner] = Marks(others=(ours.get(owner, Marks()), found.marks)).joined()
    # A point that is as it was said beforehand has its colour already, but the symbol of the one before it.
    if table != before or isinstance(layer, Shapes) or not _look_right(layer, table, new):
        set_features(layer, table)


def _look_right(layer: Points, table: Table, indices: Sequence[int]) -> bool:
    """Return whether points have the symbols of their polarity."""
    return all(layer.symbol[index].value == POLARITY_SYMBOLS[table["polarity"][index]] for index in indices)


def note_next(layer: Points | Shapes, view: ImageView, mark: NextMark) -> None:
    """Say what the next mark in a layer is."""
    layer.feature_defaults = {"polarity": mark.polarity, "object_id": mark.object_id, "axes": name_axes(view.axes)}
    if isinstance(layer, Shapes):
        layer.selected_data = set()  # else what is selected would get the colour
        layer.current_edge_color = POLARITY_COLORS[mark.polarity]


def set_features(layer: Points | Shapes, table: Table) -> None:
    """Give marks what is known of them, and the look that says so."""
    layer.features = _columns(table)
    if isinstance(layer, Points):
        layer.symbol = [POLARITY_SYMBOLS.get(polarity, "disc") for polarity in table["polarity"]]
    elif table["polarity"]:
        layer.edge_color = [POLARITY_COLORS[polarity] for polarity in table["polarity"]]


def name_axes(axes: tuple[int, int]) -> str:
    """Return axes as they are noted in a table of features."""
    return "{}, {}".format(*axes)


def name_polarity(positive: bool) -> str:
    """Return a polarity as it is noted in a table of features."""
    return "positive" if positive else "negative"


def _table(layer: Points | Shapes) -> Table:
    """Return what a layer's features say, by name; where they say nothing, a mark is a positive one of object 0."""
    count = len(layer.data)
    columns = {name: layer.features[name].tolist() if name in layer.features else [None] * count for name in FEATURES}
    return {
        "polarity": [name_polarity(str(value) != "negative") for value in columns["polarity"]],
        "object_id": [_as_id(value) for value in columns["object_id"]],
        "axes": [str(value) for value in columns["axes"]],
    }


def _as_id(value: Any) -> int:
    """Return an id that was noted, also as text or as a fraction; 0 where none was."""
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def _extend(table: Table, positives: Sequence[bool], object_id: int, plane: PlaneIndex) -> None:
    """Add marks of one object to a table."""
    table["polarity"] += [name_polarity(positive) for positive in positives]
    table["object_id"] += [object_id] * len(positives)
    table["axes"] += [name_axes(plane.displayed)] * len(positives)


def _columns(table: Table) -> dict[str, npt.NDArray[Any]]:
    return {
        "polarity": np.array(table["polarity"], dtype=object),
        "object_id": np.array(table["object_id"], dtype=np.int64),
        "axes": np.array(table["axes"], dtype=object),
    }


def _is_positive(marks: Marks) -> bool:
    """Return whether a single mark is positive."""
    return marks.regions[0].positive if marks.regions else marks.points[0][2]


def _is_flat(corners: npt.NDArray[np.float64], axes: tuple[int, int]) -> bool:
    """Return whether a shape lies on one plane along two axes."""
    across = [axis for axis in range(corners.shape[1]) if axis not in axes]
    return not across or bool((np.round(corners[:, across]) == np.round(corners[0, across])).all())
