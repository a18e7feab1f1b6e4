"""Labels as an OME-Zarr label image, version 0.5: https://ngff.openmicroscopy.org/0.5/#labels-md."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.objects import AXES, LabelledObjects, guess_axes, load_library
from napari_sam2refiner.labels.io import compact
from napari_sam2refiner.labels.write import ids_in

CHUNK = 512  # pixels along rows and columns
KINDS = {"T": ("time", "second"), "Z": ("space", "micrometer"), "Y": ("space", "micrometer")}
KINDS["X"] = KINDS["Y"]


def write(path: Path, objects: LabelledObjects) -> None:
    """Write labels with a pyramid, and what is known of each object as its properties."""
    import zarr

    writer, formats = (load_library(f"ome_zarr.{name}", "ome-zarr", "OME-Zarr") for name in ("writer", "format"))
    labels = compact(objects.labels)
    pyramid = [labels]
    while max(pyramid[-1].shape[-2:]) > 2 * CHUNK:
        pyramid.append(pyramid[-1][..., ::2, ::2])
    group = zarr.open_group(path, mode="w", zarr_format=3)
    options = {"fmt": formats.FormatV05(), "axes": _axes(objects), "name": "labels"}
    scales = [_scaled(objects, 2**level) for level in range(len(pyramid))]
    chunks = {"chunks": (*(1,) * (labels.ndim - 2), *(min(CHUNK, size) for size in labels.shape[-2:]))}
    dask = load_library("dask", "ome-zarr", "OME-Zarr")
    # Threads would go on after one of them has failed.
    with dask.config.set(scheduler="synchronous"), warnings.catch_warnings():
        # Of the scales: what version 0.17 has in their stead, those before have not.
        warnings.simplefilter("ignore", DeprecationWarning)
        writer.write_multiscale(pyramid, group, coordinate_transformations=scales, storage_options=chunks, **options)
    about: Any = group.attrs["ome"]
    group.attrs["ome"] = {**about, "image-label": {"version": "0.5", "properties": _properties(objects)}}


def _scaled(objects: LabelledObjects, factor: int) -> list[dict[str, Any]]:
    """Return where a level of the pyramid is that has every so manieth row and column."""
    size = [*objects.pixel_size[:-2], *(factor * size for size in objects.pixel_size[-2:])]
    return [{"type": "scale", "scale": size}]


def _axes(objects: LabelledObjects) -> list[dict[str, str]]:
    axes = []
    for letter in objects.axes:
        kind, unit = KINDS[letter]
        axes.append({"name": letter.lower(), "type": kind} | ({"unit": unit} if objects.scale is not None else {}))
    return axes


def _properties(objects: LabelledObjects) -> list[dict[str, Any]]:
    return [{"label-value": number, **objects.known_of(number)} for number in ids_in(objects.labels)]


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read the largest level of an OME-Zarr image of labels, or a plain Zarr array."""
    import zarr

    if not path.exists():
        msg = f"{path} cannot be read: there is no such folder; give a Zarr array or an OME-Zarr image of labels."
        raise ReadError(msg)
    try:
        opened: Any = zarr.open(path, mode="r")
        if isinstance(opened, zarr.Group):
            return _read_image(opened)
        names = getattr(opened.metadata, "dimension_names", None) or opened.attrs.get("axes", "")
        return _named(np.asarray(opened[...]), [name or "?" for name in names])
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        msg = f"{path} cannot be read: {error}; give a Zarr array or an OME-Zarr image of labels."
        raise ReadError(msg) from error


def _read_image(group: Any) -> LabelledObjects:
    about = group.attrs.get("ome", group.attrs)
    image = about["multiscales"][0]
    level = image["datasets"][0]
    names = [axis["name"] for axis in image["axes"]]
    labels = _named(np.asarray(group[level["path"]][...]), names)
    known: dict[str, dict[int, Any]] = {"name": {}, "class": {}, "score": {}, "parent": {}}
    for row in about.get("image-label", {}).get("properties", []):
        for name in known.keys() & row.keys():
            known[name][row["label-value"]] = row[name]
    sizes = next((one["scale"] for one in level.get("coordinateTransformations", []) if "scale" in one), None)
    has_units = any("unit" in axis for axis in image["axes"])
    scale = tuple(map(float, sizes))[-labels.labels.ndim :] if sizes and has_units else None
    classes, scores, parents = known["class"], known["score"], known["parent"]
    return LabelledObjects(labels.labels, labels.axes, classes, scores, parents, scale, names=known["name"])


def _named(labels: Any, names: list[str]) -> LabelledObjects:
    """Return labels with their axes, without those of length 1 that are no axis of ours."""
    letters = "".join(name[0] for name in names).upper()
    if len(letters) == labels.ndim and "C" in letters and labels.shape[letters.index("C")] == 1:
        labels = labels.squeeze(letters.index("C"))
        letters = letters.replace("C", "")
    return LabelledObjects(labels, letters if letters in AXES else guess_axes(labels.ndim))
