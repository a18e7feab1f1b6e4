"""The layers that the dock makes for one image; the one file that reads and writes napari layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer, Points, Shapes
from psygnal import Signal

from napari_sam2refiner.errors import SAM2RefinerError
from napari_sam2refiner.labels.write import Overlap, Patch, next_free_id, write
from napari_sam2refiner.planes.plane import MOST_DIMENSIONS, PlaneIndex
from napari_sam2refiner.planes.region import bounding_window
from napari_sam2refiner.viewer.drafts import Marks, Region, RegionKind

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

METADATA_KEY = "napari_sam2refiner"
Role = Literal["prompts", "regions", "preview", "result"]
TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
BOXING = "add_rectangle"
FEATURES = ("polarity", "object_id", "axes")
POLARITY_COLORS = {"positive": "#22dd55", "negative": "#ff3366"}
POLARITY_SYMBOLS = {"positive": "disc", "negative": "x"}  # to be told apart without colours too
FILL, OUTLINE = 1, 2
PREVIEW_COLORS = {None: "transparent", 0: "transparent", FILL: (1.0, 0.85, 0.1, 0.3), OUTLINE: (1.0, 0.85, 0.1, 1.0)}
NOTHING = (slice(0, 0), slice(0, 0))
LARGEST_SCAN = 2**26  # labels that are looked through for the largest id within some tens of milliseconds


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """Planes of an array; a new source for each change of the pixels."""

    array: Any

    @property
    def key(self) -> Hashable:
        """The source itself."""
        return self

    def read(self, plane: PlaneIndex) -> npt.NDArray[Any]:
        """Return a plane; of a lazy array nothing else is computed."""
        return plane.get(self.array)


@dataclass(frozen=True, slots=True, eq=False)
class WrittenMask:
    """A mask in a result layer; goes on meaning that layer when it is renamed or removed."""

    layer: Labels
    plane: PlaneIndex
    patch: Patch
    on_change: Callable[[PlaneIndex], None]

    @property
    def pixels(self) -> int:
        """How many pixels took the object's id."""
        return self.patch.changed

    def undo(self) -> None:
        """Take the mask out again; what was painted over it since stays."""
        self._apply(self.patch.undo)

    def redo(self) -> None:
        """Write it again; what was painted there since stays."""
        self._apply(self.patch.redo)

    def _apply(self, change: Callable[[npt.NDArray[Any]], None]) -> None:
        with suppress(SAM2RefinerError, ValueError):  # other labels, or read-only ones: not ours to change
            change(self.plane.get(self.layer.data))
        self.layer.refresh()
        self.on_change(self.plane)


class ImageLayers:
    """Prompts, regions, preview and result of one image.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    defer : callable
        Calls its argument once the event at hand is dealt with: napari removes several layers in one loop, which must
        not be changed from inside.

    Signals
    -------
    marks_changed : a prompt was added, moved or deleted
    plane_changed : another plane is shown
    image_changed(reshaped) : other pixels
    image_renamed, image_removed
    layer_lost(role, layer) : the user deleted one of the layers
    """

    marks_changed = Signal()
    plane_changed = Signal()
    image_changed = Signal(bool)
    image_renamed = Signal()
    image_removed = Signal()
    layer_lost = Signal(str, object)

    def __init__(self, viewer: ViewerModel, image: Image, defer: Callable[[Callable[[], None]], None]) -> None:
        self._viewer = viewer
        self._image = image
        self._defer = defer
        self._layers: dict[Role, Layer] = {}
        self._shape = self._plain_shape()
        self._source = ArraySource(self._array())
        self._view: tuple[PlaneIndex, str] = (self.plane, self.obstacle)
        self._positive = True
        self._object_id = 1
        self._is_flipped = False
        self._is_quiet = False
        self._is_attached = False
        self._drawn: dict[PlaneIndex, npt.NDArray[np.bool_]] = {}
        self._largest_id = 0
        self._unread: set[PlaneIndex] | None = None  # planes with new labels; None: all of them
        self._has_result = False
        for events, slot in self._connections():
            events.connect(slot)

    # -- the image and where the user is in it ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The image's name."""
        return str(self._image.name)

    @property
    def exists(self) -> bool:
        """Whether the image is still in the viewer."""
        return self._image in self._viewer.layers

    @property
    def source(self) -> ArraySource:
        """Where its planes come from."""
        return self._source

    @property
    def obstacle(self) -> str:
        """Why this view cannot be clicked, with the remedy; empty when it can."""
        if self._image.ndim > MOST_DIMENSIONS:
            return f"This image has {self._image.ndim} dimensions; split it to at most {MOST_DIMENSIONS}."
        if self._viewer.dims.ndisplay != 2:
            return "Switch to the 2D view (the cube button below the layer list) to click."
        if self._displayed() is None:
            return "This view does not show a plane of the image; roll its axes back to click."
        steps = self._steps()
        others = [axis for axis in range(self._image.ndim) if axis not in self._axes()]
        if any(not 0 <= steps[axis] < self._shape[axis] for axis in others):
            return "The slider has left this image; move it back to click."
        return ""

    @property
    def plane(self) -> PlaneIndex:
        """The plane that is shown, or the nearest."""
        steps = zip(self._steps(), self._shape, strict=True)
        return self._plane([min(max(step, 0), size - 1) for step, size in steps], self._axes())

    def shape_of(self, plane: PlaneIndex) -> tuple[int, int]:
        """Return rows and columns of a plane; no pixels where the image has no such plane."""
        rows, columns = plane.displayed
        steps = zip(plane.steps, self._shape, strict=False)
        return (self._shape[rows], self._shape[columns]) if all(0 <= step < size for step, size in steps) else (0, 0)

    def go_to(self, plane: PlaneIndex) -> None:
        """Show a plane."""
        if not self.exists or (plane == self.plane and not self.obstacle):
            return
        dims, ndim = self._viewer.dims, self._image.ndim
        lead = dims.ndim - ndim
        others = [axis for axis in range(ndim) if axis not in plane.displayed]
        with self._quiet():
            if plane.displayed != self._displayed():
                behind = [axis for axis in dims.order if axis - lead not in plane.displayed]
                dims.order = (*behind, *(axis + lead for axis in plane.displayed))
            point = self._image.world_to_data(dims.point)
            for axis in others:
                point[axis] = plane.steps[axis]
            world = self._image.data_to_world(point)
            for axis in others:
                dims.set_point(axis + lead, world[axis])
        self._on_dims_changed()

    def _plane(self, steps: Sequence[int], axes: tuple[int, int]) -> PlaneIndex:
        inside = tuple(0 if axis in axes else step for axis, step in enumerate(steps))
        return PlaneIndex((*inside, 0), axes, self._image.ndim) if self._image.rgb else PlaneIndex(inside, axes)

    @property
    def _id(self) -> str:
        """Which image this is, whatever its name."""
        return str(self._image.unique_id)

    def _array(self) -> Any:
        return self._image.data[0] if self._image.multiscale else self._image.data

    def _plain_shape(self) -> tuple[int, ...]:
        """Return the shape without the colours."""
        return tuple(self._array().shape[: self._image.ndim])

    def _displayed(self) -> tuple[int, int] | None:
        """Return the axes on display, in the image's own order: a transposed view shows the same plane."""
        lead = self._viewer.dims.ndim - self._image.ndim
        axes = tuple(sorted(axis - lead for axis in self._viewer.dims.displayed[-2:]))
        return cast("tuple[int, int]", axes) if len(axes) == 2 and min(axes) >= 0 else None

    def _axes(self) -> tuple[int, int]:
        return self._displayed() or (self._image.ndim - 2, self._image.ndim - 1)

    def _steps(self) -> list[int]:
        return [round(float(step)) for step in self._image.world_to_data(self._viewer.dims.point)]

    # -- being in the viewer ---------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Put the layers into the viewer; the next click is a point."""
        if self._is_attached:
            return
        self._is_attached = True
        for role in ("result", "preview", "regions", "prompts"):
            self._layer(role)
        self._view = (self.plane, self.obstacle)
        self.start_clicking()

    def detach(self) -> None:
        """Take the layers out of the viewer, all but a result that was written to; they keep what they hold."""
        if not self._is_attached:
            return
        self._is_attached = False
        with self._quiet():
            for role, layer in self._layers.items():
                if layer in self._viewer.layers and not (role == "result" and self._is_written(layer)):
                    self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Detach, and take no more notice of the image."""
        self.detach()
        for events, slot in self._connections():
            events.disconnect(slot)

    def _is_written(self, result: Layer) -> bool:
        """Return whether anything was ever written into the result, also without telling anybody."""
        return self._has_result or bool(np.any(result.data))

    def _connections(self) -> list[tuple[Any, Callable[..., None]]]:
        image = self._image.events
        copied = [getattr(image, name) for name in TRANSFORMS if hasattr(image, name)]
        return [
            (self._viewer.layers.events.removed, self._on_layers_removed),
            (self._viewer.dims.events, self._on_dims_changed),
            (image.data, self._on_image_data),
            (image.name, self._on_image_name),
            *((event, self._on_image_transform) for event in copied),
        ]

    def start_clicking(self) -> None:
        """Make the next click on the image a point."""
        self._activate("prompts", "add")

    def start_boxing(self) -> None:
        """Make the next drag on the image a box."""
        self._activate("regions", BOXING)

    @property
    def is_boxing(self) -> bool:
        """Whether the next drag on the image is a box."""
        regions = self._layers.get("regions")
        return regions is not None and self._viewer.layers.selection.active is regions and regions.mode == BOXING

    def _activate(self, role: Role, mode: str) -> None:
        layer = cast("Points | Shapes", self._layer(role))
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = mode

    # -- prompts ---------------------------------------------------------------------------------------------------

    def set_polarity(self, positive: bool, object_id: int) -> None:
        """Say what the next point is."""
        if (positive, object_id) == (self._positive, self._object_id):
            return
        self._positive, self._object_id = positive, object_id
        points = self._layers.get("prompts")
        if points is not None:
            points.feature_defaults = self._feature_defaults()

    @property
    def marks(self) -> dict[PlaneIndex, Marks]:
        """What is marked, by plane; planes without a mark are left out."""
        points, regions = defaultdict(list), defaultdict(list)
        for plane, point in self._read_points():
            points[plane].append(point)
        for plane, _, region in self._read_regions():
            regions[plane].append(region)
        return {plane: Marks(tuple(points[plane]), tuple(regions[plane])) for plane in {**points, **regions}}

    def write_marks(self, plane: PlaneIndex, marks: Marks) -> None:
        """Replace what is marked on a plane."""
        if marks != self.marks.get(plane, Marks()):
            with self._quiet():
                self._write_points(plane, marks)
                self._write_regions(plane, marks)

    def _read_points(self) -> Iterator[tuple[PlaneIndex, tuple[float, float, bool]]]:
        """Give each point with its plane: that of the axes it was clicked on, since it lies on others too."""
        points = self._layers.get("prompts")
        if points is None:
            return
        known = {_name_axes(axes): axes for axes in combinations(range(self._image.ndim), 2)}
        columns = (points.features[name].to_numpy() for name in ("polarity", "axes"))
        for place, polarity, name in zip(np.asarray(points.data, dtype=np.float64).tolist(), *columns, strict=True):
            axes = known.get(name) or self._axes()
            plane = self._plane([round(step) for step in place], axes)
            yield plane, (place[axes[0]], place[axes[1]], bool(polarity == "positive"))

    def _read_regions(self) -> Iterator[tuple[PlaneIndex, int, Region]]:
        """Give each shape with its plane, the one along which it is largest, and its index in the layer."""
        shapes = self._layers.get("regions")
        if shapes is None:
            return
        for index, (data, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
            corners = np.asarray(data, dtype=np.float64)
            rows, columns = sorted(np.argsort(np.ptp(corners, axis=0), kind="stable")[-2:].tolist())
            plane = self._plane(np.round(corners[0]).astype(int).tolist(), (rows, columns))
            is_flat = (np.delete(np.round(corners) == np.round(corners[0]), (rows, columns), axis=1)).all()
            if is_flat and kind in ("rectangle", "ellipse", "polygon"):
                places = corners[:, [rows, columns]].tolist()
                yield plane, index, Region(cast("RegionKind", kind), tuple((y, x) for y, x in places))

    def _write_points(self, plane: PlaneIndex, marks: Marks) -> None:
        points = cast("Points", self._layer("prompts"))
        kept = np.array([other != plane for other, _ in self._read_points()], dtype=bool)
        polarity = ["positive" if positive else "negative" for _, _, positive in marks.points]
        table = {name: [*points.features[name].to_numpy()[kept]] for name in FEATURES}
        new = self._expand(plane, [(y, x) for y, x, _ in marks.points])
        data = np.concatenate([np.asarray(points.data, dtype=np.float64)[kept], new])
        points.selected_data = set()
        points.data = data
        table["polarity"] += polarity
        table["object_id"] += [self._object_id] * len(polarity)
        table["axes"] += [_name_axes(plane.displayed)] * len(polarity)
        self._set_features(points, table)

    def _write_regions(self, plane: PlaneIndex, marks: Marks) -> None:
        shapes = cast("Shapes", self._layer("regions"))
        mode, shapes.mode = shapes.mode, "pan_zoom"  # ends a shape that is being drawn
        gone = {index for other, index, _ in self._read_regions() if other == plane}
        if gone:
            shapes.selected_data = gone
            shapes.remove_selected()
        for region in marks.regions:
            shapes.add(self._expand(plane, region.corners), shape_type=region.kind)
        shapes.selected_data = set()
        shapes.mode = mode

    def _expand(self, plane: PlaneIndex, corners: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64]:
        """Return plane pixels as data coordinates of the image."""
        data = np.tile(np.array(plane.steps[: self._image.ndim], dtype=np.float64), (len(corners), 1))
        data[:, list(plane.displayed)] = np.reshape(np.array(corners, dtype=np.float64), (-1, 2))
        return data

    def _polarity(self) -> str:
        return "positive" if self._positive != self._is_flipped else "negative"

    def _feature_defaults(self) -> dict[str, Any]:
        return {"polarity": self._polarity(), "object_id": self._object_id, "axes": _name_axes(self._axes())}

    def _set_features(self, points: Points, table: dict[str, list[Any]]) -> None:
        points.features = {
            "polarity": np.array(table["polarity"], dtype=object),
            "object_id": np.array(table["object_id"]),
            "axes": np.array(table["axes"], dtype=object),
        }
        points.symbol = [POLARITY_SYMBOLS.get(polarity, "disc") for polarity in table["polarity"]]
        points.feature_defaults = self._feature_defaults()  # an empty table has made them NaN

    # -- masks -----------------------------------------------------------------------------------------------------

    def show_preview(self, plane: PlaneIndex, mask: npt.NDArray[np.bool_] | None) -> None:
        """Show a mask on a plane, or none; what is shown already is not drawn again."""
        if mask is self._drawn.get(plane):
            return
        preview = cast("Labels", self._layer("preview"))
        view = self._label_plane(plane).get(preview.data)
        self._erase(view, self._drawn.pop(plane, None))
        if mask is not None and mask.shape == view.shape:
            window = bounding_window(mask) or NOTHING
            view[window] = paint(mask[window], max(1, round(max(mask.shape) / 600)))
            self._drawn[plane] = mask
        preview.refresh()

    def _erase(self, view: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> None:
        if mask is not None:
            view[bounding_window(mask) or NOTHING] = 0

    def next_id(self) -> int:
        """Return the next free id of the result layer: all of it is looked through once, then what has changed."""
        result = self._layers.get("result") or self._adopted()
        if result is None:
            return 1
        if self._unread is None or (self._unread and result.data.size <= LARGEST_SCAN):
            self._largest_id = next_free_id(result.data) - 1
        else:
            found = [next_free_id(plane.get(result.data)) - 1 for plane in self._unread]
            self._largest_id = max(self._largest_id, *found, 0)
        self._unread = set()
        return self._largest_id + 1

    def write_mask(
        self, plane: PlaneIndex, mask: npt.NDArray[np.bool_], object_id: int, overlap: Overlap
    ) -> WrittenMask:
        """Write a mask into the result layer; one that no longer fits the image is left alone, a new one made."""
        result = cast("Labels", self._layer("result"))
        plane = self._label_plane(plane)
        patch = write(plane.get(result.data), mask, object_id, overlap)
        result.refresh()
        self._on_mask_written(plane)
        return WrittenMask(result, plane, patch, self._on_mask_written)

    def bring_back(self, layer: Any) -> None:
        """Put a deleted result layer into the viewer again."""
        if layer not in self._viewer.layers:
            self._layers["result"] = layer
            self._place(layer)
            self._insert("result", layer)
            self._unread, self._has_result = None, True

    def take_away(self, layer: Any) -> None:
        """Take a result layer out of the viewer."""
        if layer in self._viewer.layers:
            with self._quiet():
                self._viewer.layers.remove(layer)
        if self._layers.get("result") is layer:
            del self._layers["result"]

    def _label_plane(self, plane: PlaneIndex) -> PlaneIndex:
        """Return the plane in an array without colours."""
        return PlaneIndex(plane.steps[: self._image.ndim], plane.displayed)

    # -- making layers ---------------------------------------------------------------------------------------------

    def _layer(self, role: Role) -> Layer:
        """Return the layer of a role, in the viewer; made or put back where there is none."""
        layer = self._layers.get(role)
        if layer is None or (role == "result" and not self._fits(layer)):
            adopted = self._adopted() if role == "result" else None
            self._has_result = self._has_result or adopted is not None
            layer = adopted or self._make(role)
            self._place(layer)
            self._layers[role] = layer
            self._listen(role, layer)
        if layer not in self._viewer.layers:
            self._insert(role, layer)
        return layer

    def _make(self, role: Role) -> Layer:
        common = {"metadata": {METADATA_KEY: {"role": role, "image": self._id}}, **self._transforms()}
        size = max(2.0, min(self._shape[-2:]) / 50)
        if role == "prompts":
            points = Points(
                np.empty((0, self._image.ndim)),
                ndim=self._image.ndim,
                name="prompts",
                size=size,
                canvas_size_limits=(8, 12),
                border_color="white",
                border_width=0.15,
                features={
                    "polarity": np.array([], object),
                    "object_id": np.array([], int),
                    "axes": np.array([], object),
                },
                face_color_cycle=POLARITY_COLORS,
                **common,
            )
            points.feature_defaults = self._feature_defaults()
            points.face_color = "polarity"
            return points
        if role == "regions":
            return Shapes(
                ndim=self._image.ndim,
                name="regions",
                edge_color=POLARITY_COLORS["positive"],
                face_color="transparent",
                edge_width=max(1.0, size / 5),
                **common,
            )
        if role == "preview":
            data = np.zeros(self._shape, np.uint8)
            return Labels(data, name="preview", opacity=1, colormap=PREVIEW_COLORS, **common)
        return Labels(np.zeros(self._shape, np.uint32), name=f"{self.name} objects", opacity=0.5, **common)

    def _adopted(self) -> Labels | None:
        """Return a result layer that was made for this very image before, by an earlier dock say."""
        for layer in self._viewer.layers:
            note = layer.metadata.get(METADATA_KEY, {})
            if note.get("role") == "result" and note.get("image") == self._id and self._fits(layer):
                return cast("Labels", layer)
        return None

    def _fits(self, layer: Layer | None) -> bool:
        data = None if layer is None else layer.data
        return isinstance(data, np.ndarray) and data.shape == self._shape and data.flags.writeable

    def _insert(self, role: Role, layer: Layer) -> None:
        """Put a layer into the viewer: the result below the tools, the tools on top in their order."""
        layers = self._viewer.layers
        active = layers.selection.active
        above = {"result": "preview", "preview": "regions", "regions": "prompts", "prompts": ""}[role]
        upper = self._layers.get(cast("Role", above))
        layers.insert(layers.index(upper) if upper is not None and upper in layers else len(layers), layer)
        if active is not None and active in layers:
            layers.selection.active = active

    def _listen(self, role: Role, layer: Layer) -> None:
        if role == "prompts":
            layer.events.data.connect(self._on_points_data)
            layer.mouse_drag_callbacks.append(self._on_points_pressed)
        elif role == "regions":
            layer.events.data.connect(self._on_shapes_data)
        elif role == "result":
            self._unread = None
            layer.events.data.connect(self._on_result_data)
            layer.events.paint.connect(self._on_result_painted)
            layer.events.labels_update.connect(self._on_result_painted)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Take no notice of our own changes."""
        before, self._is_quiet = self._is_quiet, True
        try:
            yield
        finally:
            self._is_quiet = before

    # -- what happens ----------------------------------------------------------------------------------------------

    def _on_points_pressed(self, layer: Points, event: Any) -> None:  # noqa: ARG002
        """Alt turns one click around."""
        self._is_flipped = "Alt" in event.modifiers

    def _on_points_data(self, event: Any) -> None:
        if self._is_quiet or not self._is_attached or _action(event) not in ("added", "changed", "removed"):
            return
        if _action(event) == "added":
            self._mark_new_points(cast("Points", self._layers["prompts"]), len(event.data_indices))
        self.marks_changed.emit()

    def _mark_new_points(self, points: Points, count: int) -> None:
        """Give new points the polarity of the dock; napari's own default follows whatever was selected last."""
        old = len(points.data) - count
        wanted, columns = self._feature_defaults(), {name: points.features[name].to_numpy() for name in FEATURES}
        is_right = wanted["polarity"] == "positive" and all(
            (columns[name][old:] == wanted[name]).all() for name in FEATURES
        )
        self._is_flipped = False
        if not is_right:
            with self._quiet():
                self._set_features(points, {name: [*columns[name][:old], *[wanted[name]] * count] for name in FEATURES})

    def _on_shapes_data(self, event: Any) -> None:
        if not self._is_quiet and self._is_attached and _action(event) in ("added", "changed", "removed"):
            self.marks_changed.emit()

    def _on_mask_written(self, plane: PlaneIndex) -> None:
        """Look for ids on a plane that we wrote on; where the layer holds other data by now, in all of it."""
        self._has_result = True
        if not self._fits(self._layers.get("result")):
            self._unread = None
        elif self._unread is not None:
            self._unread.add(plane)

    def _on_result_painted(self) -> None:
        """What is painted is painted on the plane that is shown, or around it."""
        result = cast("Labels", self._layers["result"])
        if result.n_edit_dimensions > 2 or self.obstacle:
            self._on_result_data()
        else:
            self._on_mask_written(self._label_plane(self.plane))

    def _on_result_data(self) -> None:
        self._unread, self._has_result = None, True

    def _on_dims_changed(self) -> None:
        if self._is_quiet or not self._is_attached:
            return
        view = (self.plane, self.obstacle)
        if view != self._view:
            self._view = view
            self.plane_changed.emit()

    def _on_image_data(self) -> None:
        self._source = ArraySource(self._array())
        shape = self._plain_shape()
        reshaped, self._shape = shape != self._shape, shape
        self.image_changed.emit(reshaped)

    def _on_image_name(self) -> None:
        self.image_renamed.emit()

    def _on_image_transform(self) -> None:
        """Keep our layers where the image is."""
        for layer in self._layers.values():
            self._place(layer)

    def _place(self, layer: Layer) -> None:
        for name, value in self._transforms().items():
            setattr(layer, name, value)

    def _transforms(self) -> dict[str, Any]:
        return {name: getattr(self._image, name) for name in TRANSFORMS if hasattr(self._image, name)}

    def _on_layers_removed(self, event: Any) -> None:
        if self._is_quiet:
            return
        if event.value is self._image:
            self._defer(self._on_image_lost)
            return
        for role, layer in list(self._layers.items()):
            if layer is event.value:
                del self._layers[role]
                if role == "preview":
                    self._drawn.clear()
                elif role == "result":
                    self._unread, self._has_result = None, False
                self._defer(partial(self._on_layer_lost, role, layer))

    def _on_image_lost(self) -> None:
        if not self.exists:
            self.image_removed.emit()

    def _on_layer_lost(self, role: Role, layer: Layer) -> None:
        if self._is_attached and self.exists:
            self.layer_lost.emit(role, layer)


def paint(mask: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.uint8]:
    """Return a (Y, X) picture of a mask: FILL inside, OUTLINE on its rim of `width` pixels."""
    inner = np.pad(mask, width)
    for _ in range(width):
        core = inner.copy()
        core[1:] &= inner[:-1]
        core[:-1] &= inner[1:]
        core[:, 1:] &= inner[:, :-1]
        core[:, :-1] &= inner[:, 1:]
        inner = core
    inside = inner[width : width + mask.shape[0], width : width + mask.shape[1]]
    return np.where(inside, FILL, np.where(mask, OUTLINE, 0)).astype(np.uint8)


def _name_axes(axes: tuple[int, int]) -> str:
    """Return axes as they are noted in a table of features."""
    return "{}, {}".format(*axes)


def _action(event: Any) -> str:
    """Return what happened to a layer's data, whichever way this napari says it."""
    action = getattr(event, "action", "changed")
    return str(getattr(action, "value", action)).lower()
