"""Objects as a graph in GEFF (https://liveimagetrackingtools.org/geff), with the labels inside its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.lineage import links_of, nodes_of, tracks_along
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, load_library
from napari_sam2refiner.labels.exchange.zarr_image import read as read_zarr
from napari_sam2refiner.labels.io import compact

LABELS = "labels"
OBJECT = "object"  # property with an object's id, the same on all frames
FORMAT: Final = 2  # of Zarr: version 3 has no text yet that others are sure to read


def _library(module: str) -> Any:
    return load_library(module, "geff", "GEFF")


def write(path: Path, objects: LabelledObjects) -> None:
    """Write a node for each object on each frame, edges to what follows, and the labels."""
    import zarr

    geff, spec, nx = _library("geff"), _library("geff_spec"), _library("networkx")
    nodes = nodes_of(objects)
    size = dict(zip(objects.axes, objects.pixel_size, strict=True))
    graph = nx.DiGraph()
    for place, node in enumerate(nodes):
        middle = zip(objects.space, node.middle, strict=True)
        at = {axis.lower(): value * size[axis] for axis, value in middle}
        graph.add_node(place, t=node.frame, **at, **_known(objects, node.object_id), area=node.pixels)
    graph.add_edges_from(links_of(nodes, objects.parents))
    names = ["t", *objects.space.lower()]
    kinds = ["time", *["space"] * len(objects.space)]
    units = [None, *["micrometer" if objects.scale is not None else None] * len(objects.space)]
    about = geff.GeffMetadata(
        directed=True,
        node_props_metadata={},
        edge_props_metadata={},
        related_objects=[spec.RelatedObject(type="labels", path=LABELS, node_prop=OBJECT)],
    )
    geff.write(graph, path, metadata=about, axis_names=names, axis_types=kinds, axis_units=units, zarr_format=FORMAT)
    labels = compact(objects.labels)
    chunks = (*(1,) * (labels.ndim - 2), *labels.shape[-2:])
    array = zarr.create_array(path / LABELS, shape=labels.shape, dtype=labels.dtype, chunks=chunks, zarr_format=FORMAT)
    array[...] = labels
    array.attrs["axes"] = objects.axes


def _known(objects: LabelledObjects, object_id: int) -> dict[str, Any]:
    """Return what is known of an object, under each name that is used at all."""
    found: dict[str, Any] = {OBJECT: object_id}
    for what, texts in (("name", objects.names), ("class", objects.classes)):
        if texts:
            found[what] = texts.get(object_id, "")
    if objects.scores and object_id in objects.scores:
        found["score"] = objects.scores[object_id]
    return found


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read a graph that names labels; where nodes have no id of their track, tracks are found by the edges.

    Raises
    ------
    ReadError
        If it is none, or names no labels.
    """
    geff = _library("geff")
    if not path.exists():
        msg = f"{path} cannot be read: there is no such folder; give a GEFF."
        raise ReadError(msg)
    try:
        graph, about = geff.read(path, backend="networkx")
    except Exception as error:  # whatever is wrong with it
        msg = f"{path} cannot be read: {error}; give a GEFF."
        raise ReadError(msg) from error
    related = next((one for one in about.related_objects or [] if one.type == "labels"), None)
    prop = None if related is None else related.node_prop
    if related is None or prop is None:
        msg = f"{path} has points but names no labels; give a GEFF whose related objects have labels."
        raise ReadError(msg)
    objects = read_zarr((path / related.path).resolve())
    try:
        return _named(objects, graph, prop, about)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        msg = f"{path} cannot be read: its nodes do not fit its labels ({error}); give a complete GEFF."
        raise ReadError(msg) from error


def _named(objects: LabelledObjects, graph: Any, prop: str, about: Any) -> LabelledObjects:
    """Return labels under the ids of tracks."""
    time = next((axis.name for axis in about.axes or [] if axis.type == "time"), "t")
    if prop == OBJECT:
        ids = {node: int(values[OBJECT]) for node, values in graph.nodes(data=True)}
        parents = {ids[b]: ids[a] for a, b in graph.edges if ids[a] != ids[b]}
        labels = objects.labels
    else:
        numbers, parents = tracks_along(list(graph.nodes), list(graph.edges))
        ids = {node: numbers[node] for node in graph.nodes}
        labels = np.zeros(objects.labels.shape, compact(np.array([[max(ids.values(), default=1)]])).dtype)
        for node, values in graph.nodes(data=True):
            frame = round(values[time]) if objects.axes.startswith("T") else ...
            labels[frame][objects.labels[frame] == values[prop]] = ids[node]
    known: dict[str, dict[int, Any]] = {"name": {}, "class": {}, "score": {}}
    for node, values in graph.nodes(data=True):
        for name in known.keys() & values.keys():
            if values[name] != "":
                known[name][ids[node]] = values[name]
    scores = {number: float(score) for number, score in known["score"].items()}
    return LabelledObjects(labels, objects.axes, known["class"], scores, parents, names=known["name"])
