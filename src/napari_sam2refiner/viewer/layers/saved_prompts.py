"""Prompt layers as a prompts file, by napari's own ways to save and open: docs/prompts-file.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points, Shapes

from napari_sam2refiner.errors import InvalidPromptError, SaveError
from napari_sam2refiner.labels.io import save_labels
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.sessions.prompts_file import PromptedObject, read_prompts_file
from napari_sam2refiner.viewer.layers.image import METADATA_KEY
from napari_sam2refiner.viewer.layers.prompts import (
    make_points,
    make_regions,
    name_axes,
    name_polarity,
    read_layer,
    set_features,
)
from napari_sam2refiner.viewer.marks import Marks, Region, group
from napari_sam2refiner.viewer.outlines import outline_mask

if TYPE_CHECKING:
    from napari.types import LayerData

    from napari_sam2refiner.prompts import Prompts

SUFFIX = ".json"
LARGEST = 2**26  # bytes of a file that is looked into: one of prompts is far smaller
UNKNOWN = (2**31, 2**31)  # shape of a plane that is not known
SIZE = 10.0  # of points, which the screen limits anyway, and five times the width of lines


class LastAxes:
    """Planes on the last two axes, which marks are on that do not say otherwise.

    Parameters
    ----------
    ndim : int
    """

    def __init__(self, ndim: int) -> None:
        self.axes = (ndim - 2, ndim - 1)

    def plane_at(self, steps: Sequence[int], axes: tuple[int, int]) -> PlaneIndex:
        """Return the plane that two axes span at these steps."""
        return PlaneIndex(tuple(0 if axis in axes else step for axis, step in enumerate(steps)), axes)


# -- save --------------------------------------------------------------------------------------------------------------


def write_prompts(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write what is marked in points and shapes layers; rough outlines go into label images beside the file.

    Parameters
    ----------
    path : str
        Gets the ending .json where it has none.
    layers : sequence of (data, attributes, type)
        As napari hands them to writers.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    SaveError
        If there is nothing to write, the file cannot hold it, or cannot be written; nothing is left then.
    """
    place = Path(path)
    if not place.suffix:
        place = place.with_name(place.name + SUFFIX)
        if place.exists():  # the dialog asked about another name
            msg = f"{place} is there already; choose another name."
            raise SaveError(msg)
    objects = list(_objects_in([Layer.create(*one) for one in layers]))
    if not objects:
        msg = "There are no prompts to save; select the layers prompts and regions once something is marked in them."
        raise SaveError(msg)
    masks, new, entries = list[Path](), list[Path](), list[str]()
    try:
        for entry, prompts in objects:
            if prompts.mask is not None:
                mask = place.with_name(f"{place.stem}-outline-{len(masks) + 1}.tif")
                new += [] if mask.exists() else [mask]
                masks.append(save_labels(mask, prompts.mask.astype(np.uint8)))
                entry["mask"] = mask.name
            entries.append(json.dumps(entry))
        with written_whole(place) as partial:
            partial.write_text('{"version": 1, "objects": [\n' + ",\n".join(entries) + "\n]}\n", encoding="utf-8")
    except SaveError:
        for mask in new:
            mask.unlink(missing_ok=True)
        raise
    return [str(place), *map(str, masks)]


def _objects_in(layers: Sequence[Layer]) -> Iterator[tuple[dict[str, Any], Prompts]]:
    """Give each object as its entry in the file without a mask, and its prompts."""
    by_plane: dict[PlaneIndex, list[tuple[int, Marks]]] = {}
    shapes: set[tuple[int, int]] = set()
    for layer in layers:
        assert isinstance(layer, Points | Shapes)
        shapes |= {tuple(layer.metadata.get(METADATA_KEY, {}).get("shape", ())[-2:])} - {()}
        if layer.ndim > 3:
            msg = f"{layer.name} has {layer.ndim} dimensions; prompts of planes and of stacks of planes can be saved."
            raise SaveError(msg)
        for found in read_layer(layer, LastAxes(layer.ndim)):
            by_plane.setdefault(found.plane, []).append((found.object_id, found.marks))
    for plane, marks in sorted(by_plane.items(), key=lambda one: one[0].steps):
        if plane.displayed != LastAxes(len(plane.steps)).axes:
            msg = f"These prompts lie on axes {plane.displayed}; those on the last two axes of an image can be saved."
            raise SaveError(msg)
        if min(plane.steps) < 0:
            msg = f"These prompts lie on frame {plane.steps[0]}; move them to one that is there."
            raise SaveError(msg)
        frame = {"frame": plane.steps[0]} if len(plane.steps) == 3 else {}
        for object_id, one in group(marks).items():
            prompts = _prompts(
                one, shapes, " of ".join([f"object {object_id}", *(f"frame {n}" for n in frame.values())])
            )
            yield {**({"id": object_id} if object_id > 0 else {}), **frame, **_coordinates(prompts)}, prompts


def _prompts(one: Marks, shapes: set[tuple[int, int]], name: str) -> Prompts:
    """Return the prompts of an object, as a model is asked."""
    shape = next(iter(shapes)) if len(shapes) == 1 else None
    if shape is None and (one.areas or one.scribbles):
        reason = f"they are of images of shapes {sorted(shapes)}" if shapes else "nothing says of which image"
        msg = f"Outlines and scribbles cannot be saved, {reason}; take them up in the dock, and save its own layers."
        raise SaveError(msg)
    try:
        prompts = one.prompts(shape or UNKNOWN)
        prompts.check(shape or UNKNOWN)
    except InvalidPromptError as error:
        msg = f"Prompts cannot be saved: {name}: {error}"
        raise SaveError(msg) from error
    return prompts


def _coordinates(prompts: Prompts) -> dict[str, Any]:
    """Return points and boxes as the file has them."""
    entry: dict[str, Any] = {}
    if len(prompts.points):
        entry |= {"points": prompts.points.tolist(), "labels": prompts.labels.astype(int).tolist()}
    if len(prompts.boxes):
        entry["boxes"] = prompts.boxes.tolist()
    return entry


# -- open --------------------------------------------------------------------------------------------------------------


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens a prompts file; None for other JSON files, which others may read."""
    if isinstance(path, list):
        return get_reader(path[0]) if len(path) == 1 else None
    return read_prompts if _entries(Path(path)) is not None else None


def read_prompts(path: str | list[str]) -> list[LayerData]:
    """Read a prompts file as layers like *prompts* and *regions*, which the dock takes up.

    Raises
    ------
    ReadError, InvalidPromptError
        If it, or a mask that it names, cannot be read or does not follow the schema.
    """
    place = Path(path[0] if isinstance(path, list) else path)
    objects = read_prompts_file(place)
    is_stack = any("frame" in entry for entry in _entries(place) or ())
    made = (_points(objects, 2 + is_stack), _regions(objects, 2 + is_stack))
    layers = [layer for layer in made if len(layer.data)]
    for layer in layers:
        layer.name = f"{layer.name} ({place.stem})"
    return [layer.as_layer_data_tuple() for layer in layers]


def _entries(path: Path) -> list[dict[str, Any]] | None:
    """Return the entries of what looks like a prompts file; None where it does not."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or "version" not in content or not isinstance(content.get("objects"), list):
        return None
    return [entry for entry in content["objects"] if isinstance(entry, dict)]


def _points(objects: Sequence[PromptedObject], ndim: int) -> Points:
    layer = make_points(ndim, SIZE)
    places, table = list[list[float]](), _empty()
    for one in objects:
        places += [_expand(place, one.frame, ndim) for place in one.prompts.points.tolist()]
        _note(table, one, [bool(label) for label in one.prompts.labels], ndim)
    if places:
        layer.data = np.array(places)
        set_features(layer, table)
    return layer


def _regions(objects: Sequence[PromptedObject], ndim: int) -> Shapes:
    layer = make_regions(ndim, SIZE)
    drawn, table = list[tuple[Any, str]](), _empty()
    shape: list[int] = []
    for one in objects:
        regions = [_box(*box) for box in one.prompts.boxes.tolist()]
        if one.prompts.mask is not None:
            regions += outline_mask(one.prompts.mask)
            shape = list(one.prompts.mask.shape)
        for region in regions:
            drawn.append((np.array([_expand(place, one.frame, ndim) for place in region.corners]), region.kind))
        _note(table, one, [region.positive for region in regions], ndim)
    if drawn:
        layer.add([corners for corners, _ in drawn], shape_type=[kind for _, kind in drawn])
        set_features(layer, table)
    if shape:  # so that what came from a file can be saved again
        layer.metadata = {METADATA_KEY: {"shape": shape}}
    return layer


def _box(y0: float, x0: float, y1: float, x1: float) -> Region:
    return Region("rectangle", ((y0, x0), (y0, x1), (y1, x1), (y1, x0)))


def _empty() -> dict[str, list[Any]]:
    return {"polarity": [], "object_id": [], "axes": []}


def _note(table: dict[str, list[Any]], one: PromptedObject, positives: Sequence[bool], ndim: int) -> None:
    """Add marks of one object to a table of features."""
    table["polarity"] += [name_polarity(positive) for positive in positives]
    table["object_id"] += [one.object_id] * len(positives)
    table["axes"] += [name_axes((ndim - 2, ndim - 1))] * len(positives)


def _expand(place: Sequence[float], frame: int, ndim: int) -> list[float]:
    """Return a place of a plane as one of the layer."""
    return [frame, *place] if ndim == 3 else [*place]
