"""Prompts as napari's points and shapes: how they are read, written and look."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from napari.layers import Points, Shapes

from napari_sam2refiner.viewer.drafts import Marks, Region, RegionKind

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.layers.view import ImageView

NextPoint = dict[str, Any]  # its features
FEATURES = ("polarity", "object_id", "axes")
POLARITY_COLORS = {"positive": "#22dd55", "negative": "#ff3366"}
POLARITY_SYMBOLS = {"positive": "disc", "negative": "x"}  # to be told apart without colours too


def make_points(ndim: int, size: float, next_point: NextPoint, **common: Any) -> Points:
    """Return a layer of prompts without any."""
    points = Points(
        np.empty((0, ndim)),
        ndim=ndim,
        name="prompts",
        size=size,
        canvas_size_limits=(8, 12),
        border_color="white",
        border_width=0.15,
        features={"polarity": np.array([], object), "object_id": np.array([], int), "axes": np.array([], object)},
        face_color_cycle=POLARITY_COLORS,
        **common,
    )
    points.feature_defaults = next_point
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
        **common,
    )


def read_points(points: Points, view: ImageView) -> Iterator[tuple[PlaneIndex, tuple[float, float, bool]]]:
    """Give each point with its plane: that of the axes it was clicked on, since it lies on others too."""
    known = {name_axes(axes): axes for axes in combinations(range(points.ndim), 2)}
    columns = (points.features[name].to_numpy() for name in ("polarity", "axes"))
    for place, polarity, name in zip(np.asarray(points.data, dtype=np.float64).tolist(), *columns, strict=True):
        axes = known.get(name) or view.axes
        plane = view.plane_at([round(step) for step in place], axes)
        yield plane, (place[axes[0]], place[axes[1]], bool(polarity == "positive"))


def read_regions(shapes: Shapes, view: ImageView) -> Iterator[tuple[PlaneIndex, int, Region]]:
    """Give each shape with its plane, the one along which it is largest, and its index in the layer."""
    for index, (data, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
        corners = np.asarray(data, dtype=np.float64)
        rows, columns = sorted(np.argsort(np.ptp(corners, axis=0), kind="stable")[-2:].tolist())
        plane = view.plane_at(np.round(corners[0]).astype(int).tolist(), (rows, columns))
        is_flat = (np.delete(np.round(corners) == np.round(corners[0]), (rows, columns), axis=1)).all()
        if is_flat and kind in ("rectangle", "ellipse", "polygon"):
            places = corners[:, [rows, columns]].tolist()
            yield plane, index, Region(cast("RegionKind", kind), tuple((y, x) for y, x in places))


def write_points(points: Points, view: ImageView, plane: PlaneIndex, marks: Marks, next_point: NextPoint) -> None:
    """Replace the points of a plane."""
    kept = np.array([other != plane for other, _ in read_points(points, view)], dtype=bool)
    polarity = ["positive" if positive else "negative" for _, _, positive in marks.points]
    table = {name: [*points.features[name].to_numpy()[kept]] for name in FEATURES}
    new = view.expand(plane, [(y, x) for y, x, _ in marks.points])
    data = np.concatenate([np.asarray(points.data, dtype=np.float64)[kept], new])
    points.selected_data = set()
    points.data = data
    table["polarity"] += polarity
    table["object_id"] += [next_point["object_id"]] * len(polarity)
    table["axes"] += [name_axes(plane.displayed)] * len(polarity)
    set_features(points, table, next_point)


def write_regions(shapes: Shapes, view: ImageView, plane: PlaneIndex, marks: Marks) -> None:
    """Replace the shapes of a plane."""
    mode, shapes.mode = shapes.mode, "pan_zoom"  # ends a shape that is being drawn
    gone = {index for other, index, _ in read_regions(shapes, view) if other == plane}
    if gone:
        shapes.selected_data = gone
        shapes.remove_selected()
    for region in marks.regions:
        shapes.add(view.expand(plane, region.corners), shape_type=region.kind)
    shapes.selected_data = set()
    shapes.mode = mode


def set_features(points: Points, table: dict[str, list[Any]], next_point: NextPoint) -> None:
    """Give the points what is known of them, and the look that says so."""
    points.features = {
        "polarity": np.array(table["polarity"], dtype=object),
        "object_id": np.array(table["object_id"]),
        "axes": np.array(table["axes"], dtype=object),
    }
    points.symbol = [POLARITY_SYMBOLS.get(polarity, "disc") for polarity in table["polarity"]]
    points.feature_defaults = next_point  # an empty table has made them NaN


def name_axes(axes: tuple[int, int]) -> str:
    """Return axes as they are noted in a table of features."""
    return "{}, {}".format(*axes)
