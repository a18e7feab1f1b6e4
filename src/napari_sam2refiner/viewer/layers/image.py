"""The layers that the dock makes for one image, and what happens to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_sam2refiner.labels.write import Overlap, areas_in, fill, part_of, write
from napari_sam2refiner.planes.plane import MOST_DIMENSIONS, PlaneIndex
from napari_sam2refiner.viewer.layers import open_results
from napari_sam2refiner.viewer.layers.channels import ImageChannels
from napari_sam2refiner.viewer.layers.cutting import CuttingLine
from napari_sam2refiner.viewer.layers.features import describe, read_names, read_parents
from napari_sam2refiner.viewer.layers.given import GivenLayers
from napari_sam2refiner.viewer.layers.levels import empty_labels, is_large
from napari_sam2refiner.viewer.layers.preview import PREVIEW_COLORS, Drawing
from napari_sam2refiner.viewer.layers.prompts import (
    NextMark,
    make_points,
    make_regions,
    note_new,
    note_next,
    read_layer,
    read_marks,
    write_points,
    write_regions,
)
from napari_sam2refiner.viewer.layers.result import GivenIds, Places, WrittenMask, WrittenObjects, WrittenPatches
from napari_sam2refiner.viewer.layers.view import TRANSFORMS, ImageView, finest
from napari_sam2refiner.viewer.marks import Marks, Region, group

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points, Shapes

    from napari_sam2refiner.labels.backup import Block
    from napari_sam2refiner.labels.patch import Patch
    from napari_sam2refiner.planes.region import Part, Picture, Window
    from napari_sam2refiner.viewer.autosave import Identity
    from napari_sam2refiner.viewer.layers.source import ArraySource, ComposedSource
    from napari_sam2refiner.viewer.objects import Color, Described, Names

METADATA_KEY = "napari_sam2refiner"
Role = Literal["prompts", "regions", "preview", "result"]
MARKED: tuple[Role, ...] = ("prompts", "regions")
STACKED: tuple[Role, ...] = ("result", "preview", "regions", "prompts")  # from below
LATER_ROLES: tuple[Role, ...] = ("regions", "preview")
BOXING, SCRIBBLING = "add_rectangle", "add_path"


class ImageLayers:
    """Prompts, regions, preview and result of one image.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    defer : callable
        Calls its argument once the event at hand is dealt with: napari removes several layers in one loop, which must
        not be changed from inside.
    later : callable, optional
        Calls its argument some time, in order, once the window has drawn; at once when left out.
    settle : callable, optional
        Calls its argument once the user lets go of what is being dragged; at once when left out.

    Attributes
    ----------
    channels : ImageChannels
        What is looked at together with the image.

    Signals
    -------
    marks_changed : a prompt was added, moved or deleted
    plane_changed : another plane is shown
    image_changed(reshaped) : other pixels
    image_renamed, image_removed
    layer_lost(role, layer) : the user deleted one of the layers
    labels_changed(block) : something was written or painted into the result, there (slices) or anywhere (None)
    names_changed : objects have other names or classes
    line_drawn(line) : a line was drawn to cut objects along, (N, 2) pixels of the plane that is shown
    """

    marks_changed = Signal()
    plane_changed = Signal()
    image_changed = Signal(bool)
    image_renamed = Signal()
    image_removed = Signal()
    layer_lost = Signal(str, object)
    labels_changed = Signal(object)
    names_changed = Signal()
    line_drawn = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        defer: Callable[[Callable[[], None]], None],
        later: Callable[[Callable[[], None]], None] = lambda call: call(),
        settle: Callable[[Callable[[], None]], None] = lambda call: call(),
    ) -> None:
        self._viewer = viewer
        self._later = later
        self._image = image
        self._view = ImageView(viewer, image)
        self._given = GivenLayers(viewer, image, self._view)
        self._defer = defer
        self._layers: dict[Role, Layer] = {}
        self._shape = self._view.shape
        self.channels = ImageChannels(viewer, image, defer, settle)
        self._seen: tuple[PlaneIndex, str] = (self.plane, self.obstacle)
        self._next = NextMark()
        self._is_flipped = False
        self._known_regions = 0  # how many there were at the last look
        self._is_quiet = False
        self._is_attached = False
        self._drawing = Drawing()
        self._ids = GivenIds()
        self._names: Names | None = None  # not read yet
        self._cutting = CuttingLine(viewer, image, defer, self._on_line_drawn)
        self._places = Places()
        self._has_result = False
        self._refreshed = self.plane
        for events, slot in self._connections():
            events.connect(slot)
        open_results.add(self)

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
    def source(self) -> ArraySource | ComposedSource:
        """Where its planes come from, with the channels that are looked at together."""
        return self.channels.source

    @property
    def obstacle(self) -> str:
        """Why this view cannot be clicked, with the remedy; empty when it can."""
        return self._view.obstacle

    @property
    def plane(self) -> PlaneIndex:
        """The plane that is shown, or the nearest."""
        return self._view.plane

    @property
    def extent(self) -> tuple[float, float] | None:
        """How many rows and columns of the plane are on the screen; None where that is not known."""
        return self._view.extent

    def shape_of(self, plane: PlaneIndex) -> tuple[int, int]:
        """Return rows and columns of a plane; no pixels where the image has no such plane."""
        return self._view.shape_of(plane)

    def go_to(self, plane: PlaneIndex) -> None:
        """Show a plane; those on the way are no news."""
        with self._quiet():
            self._view.go_to(plane)
        self._on_dims_changed()

    # -- being in the viewer ---------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Put the layers into the viewer, one by one, those that a click needs first; the next click is a point."""
        if self._is_attached:
            return
        self._is_attached = True
        self._layer("result")
        self._seen = (self.plane, self.obstacle)
        if "prompts" in self._layers:
            self.start_clicking()
        else:
            self._later(self._complete_prompts)
        for role in LATER_ROLES:
            self._later(partial(self._complete, role))

    def _complete_prompts(self) -> None:
        """Add the layer that is clicked on, unless somebody needed it already."""
        if self._is_attached and self.exists and "prompts" not in self._layers:
            self.start_clicking()

    def _complete(self, role: Role) -> None:
        """Add a layer that could wait, where it is not there yet."""
        if self._is_attached and self.exists:
            self._layer(role)

    def detach(self) -> None:
        """Take the layers out of the viewer, all but a result that was written to; they keep what they hold."""
        if not self._is_attached:
            return
        self._is_attached = False
        self._cutting.stop()
        with self._quiet():
            for role, layer in self._layers.items():
                if layer in self._viewer.layers and not (role == "result" and self._is_written(layer)):
                    self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Detach, and take no more notice of the image."""
        open_results.remove(self)
        self.detach()
        self.channels.close()
        for events, slot in self._connections():
            events.disconnect(slot)

    def _is_written(self, result: Layer) -> bool:
        """Return whether anything was ever written into the result, also without telling anybody."""
        return self._has_result or (not is_large(self._shape) and bool(np.any(result.data)))

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

    def start_scribbling(self) -> None:
        """Make the next drag on the image a scribble."""
        self._activate("regions", SCRIBBLING)

    def start_cutting(self) -> None:
        """Make the next drag on the image a line that objects are cut along."""
        self._cutting.start(self._transforms())

    @property
    def is_cutting(self) -> bool:
        """Whether the next drag on the image is such a line."""
        return self._cutting.is_active

    @property
    def is_boxing(self) -> bool:
        """Whether the next drag on the image is a box."""
        return self._draws(BOXING)

    @property
    def is_scribbling(self) -> bool:
        """Whether the next drag on the image is a scribble."""
        return self._draws(SCRIBBLING)

    def _draws(self, mode: str) -> bool:
        regions = self._layers.get("regions")
        # Not `is`: to plugins napari hands its layers in wrappers.
        return regions is not None and self._viewer.layers.selection.active == regions and regions.mode == mode

    def _activate(self, role: Role, mode: str) -> None:
        self._cutting.stop()
        layer = cast("Points | Shapes", self._layer(role))
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = mode

    # -- prompts ---------------------------------------------------------------------------------------------------

    def set_next(self, *, positive: bool, object_id: int, apart: bool) -> None:
        """Say what the next mark is, and whether each box is an object of its own."""
        mark = NextMark(positive, object_id, apart)
        if mark != self._next:
            self._next = mark
            for layer in self._marked():
                note_next(layer, self._view, mark)

    @property
    def marks(self) -> dict[PlaneIndex, Marks]:
        """What is marked, by plane; planes without a mark are left out."""
        return read_marks(self._marked(), self._view)

    def write_marks(self, plane: PlaneIndex, marks: Marks, first_id: int = 1) -> None:
        """Replace what is marked on a plane; its objects are numbered from there."""
        if marks != self.marks.get(plane, Marks()):
            with self._quiet():
                points, regions = cast("Points", self._layer("prompts")), cast("Shapes", self._layer("regions"))
                if write_points(points, self._view, plane, marks, first_id):
                    note_next(points, self._view, self._next)
                if write_regions(regions, self._view, plane, marks, first_id):
                    note_next(regions, self._view, self._next)
            self._known_regions = len(self._layers["regions"].data)

    def outline_label(self, layer: Labels | None = None) -> tuple[str, tuple[Region, ...]]:
        """Return the name and the outline of a layer's selected label, by default of the label under the mouse.

        Raises
        ------
        InvalidLabelsError
            If there is none, or the layer does not fit the image.
        """
        if layer is not None:
            return self._given.outline_selected(layer)
        return self._given.outline_under_mouse(list(self._layers.values()))

    def read_prompts(self, layers: Sequence[Layer]) -> dict[PlaneIndex, Marks]:
        """Return what is marked in layers of the user's, by plane; raise `InvalidPromptError` where nothing is."""
        return self._given.read_prompts([layer for layer in layers if layer not in self._layers.values()])

    def _marked(self) -> list[Points | Shapes]:
        """Return the layers with marks."""
        return [cast("Points | Shapes", self._layers[role]) for role in MARKED if role in self._layers]

    def _note_new(self, layer: Points | Shapes, first: int, mark: NextMark) -> None:
        """Note what the marks are that a layer has from there on."""
        held: dict[PlaneIndex, list[tuple[int, Marks]]] = defaultdict(list)
        for other in self._marked():
            for placed in read_layer(other, self._view):
                if other is not layer or placed.index < first:
                    held[placed.plane].append((placed.object_id, placed.marks))
        with self._quiet():
            grouped = {plane: group(marks) for plane, marks in held.items()}
            note_new(layer, self._view, range(first, len(layer.data)), grouped, mark)
            note_next(layer, self._view, self._next)

    # -- masks -----------------------------------------------------------------------------------------------------

    def show_preview(self, plane: PlaneIndex, mask: Part | Picture | None) -> None:
        """Show a mask on a plane, or a picture of several objects, or none; what is shown is not drawn again."""
        plane = self._view.as_label_plane(plane)
        if not self._drawing.shows(plane, mask):
            preview = cast("Labels", self._layer("preview"))
            longer = max(self.shape_of(plane))
            seen = max(self.extent or (longer,)) if is_large(self._shape) else longer
            self._drawing.draw(finest(preview), plane, mask, min(longer, seen))
            preview.refresh()

    def next_id(self) -> int:
        """Return the next free id of the result layer."""
        result = self._layers.get("result") or self._adopted()
        return 1 if result is None else self._ids.next(finest(result))

    def write_mask(
        self,
        plane: PlaneIndex,
        mask: Part,
        object_id: int,
        overlap: Overlap,
        instead_of: Part | None = None,
    ) -> WrittenMask:
        """Write a mask into the result layer, instead of what it had of this object on the plane.

        A layer that no longer fits the image is left alone, a new one made.
        """
        written = self._changed(plane, lambda labels: write(labels, mask, object_id, overlap, instead_of))
        ((label_plane, patch),) = written.patches
        self._note_place(plane, object_id, patch.window)
        pixels = patch.count(label_plane.get(finest(written.layer)), object_id)
        return WrittenMask(written.layer, written.patches, written.on_change, pixels)

    def write_objects(self, plane: PlaneIndex, picture: Picture, overlap: Overlap) -> WrittenObjects:
        """Write several new objects into the result layer, at once; their numbers in the picture are their ids."""
        given, window = picture.pixels, picture.window
        written = self._changed(plane, lambda labels: fill(labels, given, window, overlap))
        now = self._view.as_label_plane(plane).get(finest(written.layer))[window]
        areas = areas_in(np.where(now == given, given, 0))
        for object_id in areas:
            self._note_place(plane, object_id, window)
        return WrittenObjects(written.layer, written.patches, written.on_change, areas)

    def _note_place(self, plane: PlaneIndex, object_id: int, window: Window) -> None:
        """Note where a large plane has an object: nobody paints there, and to look for it takes long."""
        if is_large(self._shape):
            self._places.note(self._view.as_label_plane(plane), object_id, window)

    def write_labels(self, plane: PlaneIndex, act: Callable[[npt.NDArray[Any]], Patch]) -> WrittenPatches:
        """Change the result layer's labels (Y, X) of a plane by an act, which returns what it changed."""
        written = self._changed(plane, act)
        for label_plane, patch in written.patches:
            self._places.widen(label_plane, patch.window)
        return written

    def _changed(self, plane: PlaneIndex, act: Callable[[npt.NDArray[Any]], Patch]) -> WrittenPatches:
        """Change a plane of the result layer."""
        result = cast("Labels", self._layer("result"))
        plane = self._view.as_label_plane(plane)
        patch = act(plane.get(finest(result)))
        with self._quiet():
            result.refresh()
        on_change = partial(self._on_mask_written, plane, patch)
        on_change()
        return WrittenPatches(result, ((plane, patch),), on_change)

    @property
    def names(self) -> Names:
        """Names and classes of objects, as the result layer has them; another mapping after each change."""
        result = self._layers.get("result")
        if self._names is None:
            self._names = {} if result is None else read_names(cast("Labels", result))
        return self._names

    @property
    def parents(self) -> Mapping[int, int]:
        """Which objects came of which, as the result layer's features say."""
        result = self._layers.get("result")
        return {} if result is None else read_parents(cast("Labels", result))

    def describe(self, described: Mapping[int, Described]) -> None:
        """Note in the result layer what is known of objects."""
        result = self._layers.get("result")
        if result is not None:
            with self._quiet():
                describe(cast("Labels", result), described)
            named = {**self.names, **{object_id: one.named for object_id, one in described.items()}}
            names = {object_id: one for object_id, one in named.items() if one}
            if names != self.names:
                self._names = names
                self.names_changed.emit()

    def fill(self, blocks: Sequence[tuple[Block, npt.NDArray[Any]]]) -> WrittenPatches:
        """Write labels into blocks of the result layer, one plane high, where there are none; all or nothing."""
        result = cast("Labels", self._layer("result"))
        written: list[tuple[PlaneIndex, Patch]] = []
        try:
            for block, labels in blocks:
                plane = PlaneIndex(tuple(part.start for part in block), (len(block) - 2, len(block) - 1))
                values, window = labels.reshape(labels.shape[-2:]), (block[-2], block[-1])
                written.append((plane, fill(plane.get(finest(result)), values, window)))
        except BaseException:
            for plane, patch in written:
                patch.undo(plane.get(finest(result)))
            raise
        with self._quiet():
            result.refresh()
        self._on_result_data()
        return WrittenPatches(result, tuple(written), self._on_result_data)

    @property
    def kept_in(self) -> Path | None:
        """Where the result is kept, as it says itself."""
        result = self._layers.get("result")
        return None if result is None else kept_in(result)

    @kept_in.setter
    def kept_in(self, folder: Path | None) -> None:
        result = self._layers.get("result")
        if result is not None:
            result.metadata[METADATA_KEY]["kept_in"] = None if folder is None else str(folder)

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """All labels of the result; None where there is no result that fits."""
        result = self._layers.get("result")
        return cast("npt.NDArray[Any]", finest(result)) if result is not None and self._fits(result) else None

    @property
    def has_result(self) -> bool:
        """Whether anything was ever written into the result, as far as it is known."""
        return self._has_result

    @property
    def identity(self) -> Identity:
        """Which image it is."""
        return self._view.identity

    def labels_on(self, plane: PlaneIndex) -> npt.NDArray[Any] | None:
        """Return a view (Y, X) of the result's labels of a plane; None where there is no result that fits."""
        labels = self.labels
        if labels is None or labels.ndim > MOST_DIMENSIONS or not all(self.shape_of(plane)):
            return None
        return self._view.as_label_plane(plane).get(labels)

    def colors_of(self, ids: Sequence[int]) -> list[Color]:
        """Return the colours that labels have in the result; none where there is no result."""
        result = self._layers.get("result")
        if result is None:
            return []
        colors = result.colormap.map(np.array(ids, dtype=finest(result).dtype))
        return [cast("Color", tuple(color)) for color in np.reshape(colors, (-1, 4)).tolist()]

    def place_of(self, plane: PlaneIndex, object_id: int) -> Window | None:
        """Return rows and columns that hold all of an object of the result; None where all of the plane may."""
        return self._places.of(self._view.as_label_plane(plane), object_id)

    def center_on(self, plane: PlaneIndex, object_id: int) -> None:
        """Show an object of the result in the middle of the view."""
        labels = self.labels_on(plane)
        part = None if labels is None else part_of(labels, object_id, self.place_of(plane, object_id))
        if part is not None and part.pixels.size:
            self._view.center_on(plane, *((side.start + side.stop - 1) / 2 for side in part.window))

    @property
    def object_under_mouse(self) -> int:
        """Id of the object of the result that the mouse is on, 0 where there is none."""
        labels, (y, x) = self.labels_on(self.plane), self._view.mouse
        is_inside = labels is not None and 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
        return int(labels[y, x]) if labels is not None and is_inside else 0

    def bring_back(self, layer: Any) -> None:
        """Put a deleted result layer into the viewer again."""
        if layer not in self._viewer.layers:
            self._layers["result"] = layer
            self._names = None
            self._place(layer)
            self._insert("result", layer)
            self._on_result_data()

    def take_away(self, layer: Any) -> None:
        """Take a result layer out of the viewer."""
        if layer in self._viewer.layers:
            with self._quiet():
                self._viewer.layers.remove(layer)
        if self._layers.get("result") is layer:
            del self._layers["result"]
            self._names = None
            self.labels_changed.emit(None)

    # -- making layers ---------------------------------------------------------------------------------------------

    def _layer(self, role: Role) -> Layer:
        """Return the layer of a role, in the viewer; made or put back where there is none."""
        layer = self._layers.get(role)
        if layer is None or (role == "result" and not self._fits(layer)):
            adopted = self._adopted() if role == "result" else None
            self._has_result = self._has_result or adopted is not None
            if role == "result":
                self._ids.doubt()
                self._places.forget()
            layer = adopted or self._make(role)
            self._place(layer)
            self._layers[role] = layer
            self._listen(role, layer)
            if role in MARKED:
                note_next(cast("Points | Shapes", layer), self._view, self._next)
            self._names = None
        if layer not in self._viewer.layers:
            self._insert(role, layer)
        return layer

    def _make(self, role: Role) -> Layer:
        note = {"role": role, "image": str(self._image.unique_id), "shape": self._shape}
        common = {"metadata": {METADATA_KEY: note}, **self._transforms()}
        size = max(2.0, min(self._shape[-2:]) / 50)
        if role == "prompts":
            return make_points(self._image.ndim, size, **common)
        if role == "regions":
            return make_regions(self._image.ndim, size, **common)
        if role == "preview":
            return empty_labels(self._shape, np.uint8, name="preview", opacity=1, colormap=PREVIEW_COLORS, **common)
        self._ids.begin()
        return empty_labels(self._shape, np.uint32, name=f"{self.name} objects", opacity=0.5, **common)

    def _adopted(self) -> Labels | None:
        """Return a result layer that was made for this very image before, by an earlier dock say."""
        for layer in self._viewer.layers:
            note = layer.metadata.get(METADATA_KEY, {})
            if note.get("role") == "result" and note.get("image") == str(self._image.unique_id) and self._fits(layer):
                return cast("Labels", layer)
        return None

    def _fits(self, layer: Layer | None) -> bool:
        data = None if layer is None else finest(cast("Labels", layer))
        return isinstance(data, np.ndarray) and data.shape == self._shape and data.flags.writeable

    def _insert(self, role: Role, layer: Layer) -> None:
        """Put a layer into the viewer: the result below the tools, the tools on top in their order."""
        layers = self._viewer.layers
        active = layers.selection.active
        above = [self._layers.get(other) for other in STACKED[STACKED.index(role) + 1 :]]
        layers.insert(next((layers.index(upper) for upper in above if upper in layers), len(layers)), layer)
        if active is not None and active in layers:
            layers.selection.active = active

    def _listen(self, role: Role, layer: Layer) -> None:
        if role == "prompts":
            layer.events.data.connect(self._on_points_data)
            layer.mouse_drag_callbacks.append(self._on_points_pressed)
        elif role == "regions":
            self._known_regions = len(layer.data)
            layer.events.data.connect(self._on_shapes_data)
        elif role == "result":
            layer.events.data.connect(self._on_result_data)
            layer.events.paint.connect(self._on_result_painted)
            layer.events.labels_update.connect(self._on_result_painted)
            layer.events.set_data.connect(self._on_result_refreshed)
            layer.events.features.connect(self._on_result_features)

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
            points = cast("Points", self._layers["prompts"])
            positive = self._next.positive != self._is_flipped
            self._note_new(points, len(points.data) - len(event.data_indices), replace(self._next, positive=positive))
            self._is_flipped = False
        self.marks_changed.emit()

    def _on_shapes_data(self, event: Any) -> None:
        if self._is_quiet or not self._is_attached or _action(event) not in ("added", "changed", "removed"):
            return
        regions = cast("Shapes", self._layers["regions"])
        if _action(event) == "added" and self._known_regions < len(regions.data):
            self._note_new(regions, self._known_regions, self._next)
        self._known_regions = len(regions.data)
        self.marks_changed.emit()

    def on_plane_written(self, plane: PlaneIndex, window: Window) -> None:
        """Somebody else has written into a window of a plane of the result."""
        self._places.widen(plane, window)
        self._on_plane_written(plane, window)

    def _on_mask_written(self, plane: PlaneIndex, patch: Patch) -> None:
        """We have written on a plane; the layer may hold other data by now."""
        self._on_plane_written(plane, patch.window)

    def _on_plane_written(self, plane: PlaneIndex, window: Window) -> None:
        """Look for ids where a plane was written on; where the layer holds other data by now, in all of it."""
        self._has_result = True
        fits = self._fits(self._layers.get("result"))
        self._ids.doubt((plane, window) if fits else None)
        self.labels_changed.emit(plane.block(window) if fits else None)

    def _on_result_painted(self) -> None:
        """What is painted is painted on the plane that is shown, or around it."""
        result = self._layers.get("result")
        self._places.forget()
        if result is None or result.n_edit_dimensions > 2 or self.obstacle:
            self._on_result_data()
        else:
            plane = self._view.as_label_plane(self.plane)
            self._on_plane_written(plane, plane.window(finest(result)))

    def _on_result_refreshed(self) -> None:
        """Napari's own undo and redo of strokes say nothing but this; a slider that moves says it too.

        Large results cannot be painted on, and say it whenever the view moves.
        """
        if is_large(self._shape):
            return
        is_another, self._refreshed = self.plane != self._refreshed, self.plane
        if not self._is_quiet and not is_another and self._has_result and self.labels is not None:
            self._on_result_painted()

    def _on_result_features(self) -> None:
        if not self._is_quiet:
            self._names = None
            self.names_changed.emit()

    def _on_line_drawn(self, line: npt.NDArray[np.float64]) -> None:
        """A line was drawn in image data; nothing comes of it where the user has gone elsewhere meanwhile."""
        if self._is_attached and not self.obstacle:
            self.line_drawn.emit(line[:, list(self.plane.displayed)])

    def _on_result_data(self) -> None:
        self._ids.doubt()
        self._places.forget()
        self._has_result = True
        self.labels_changed.emit(None)

    def _on_dims_changed(self) -> None:
        if self._is_quiet or not self._is_attached or self._view.shape != self._shape:
            return  # of another shape there will be an event of its own
        seen = (self.plane, self.obstacle)
        if seen != self._seen:
            self._seen = seen
            self.plane_changed.emit()

    def _on_image_data(self) -> None:
        self.channels.renew()
        shape = self._view.shape
        reshaped, self._shape = shape != self._shape, shape
        for layer in self._layers.values():
            layer.metadata.setdefault(METADATA_KEY, {})["shape"] = shape
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
        return transforms_of(self._image)

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
                    self._drawing.forget()
                elif role == "result":
                    self._ids.doubt()
                    self._has_result, self._names = False, None
                    self._places.forget()
                self._defer(partial(self._on_layer_lost, role, layer))

    def _on_image_lost(self) -> None:
        if not self.exists:
            self.image_removed.emit()

    def _on_layer_lost(self, role: Role, layer: Layer) -> None:
        if self._is_attached and self.exists:
            self.layer_lost.emit(role, layer)


def transforms_of(layer: Layer) -> dict[str, Any]:
    """Return what puts another layer where this one is."""
    return {name: getattr(layer, name) for name in TRANSFORMS if hasattr(layer, name)}


def kept_in(layer: Layer) -> Path | None:
    """Return where a result is kept, as it says itself; None where it does not."""
    folder = layer.metadata.get(METADATA_KEY, {}).get("kept_in")
    return None if folder is None else Path(folder)


def _action(event: Any) -> str:
    """Return what happened to a layer's data, whichever way this napari says it."""
    action = getattr(event, "action", "changed")
    return str(getattr(action, "value", action)).lower()
