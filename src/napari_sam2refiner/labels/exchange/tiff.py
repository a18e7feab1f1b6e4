"""Labels as TIFF files that name their axes: ImageJ's where ImageJ can hold them, else OME's; any are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile

from napari_sam2refiner.labels.exchange.objects import LabelledObjects, guess_axes
from napari_sam2refiner.labels.io import compact, load_labels

IMAGEJ_MOST, OME_MOST = 65535, 2**32 - 1  # larger labels go into a TIFF of tifffile's own


def write(path: Path, objects: LabelledObjects) -> None:
    """Write labels; what else is known of objects has no place."""
    labels = compact(objects.labels)
    wants_ome = path.stem.lower().endswith(".ome") or labels.max() > IMAGEJ_MOST
    about = _for_ome(objects) if wants_ome else _for_imagej(objects)
    if labels.max() > OME_MOST:
        about = {"metadata": {"axes": objects.axes}}
    tifffile.imwrite(path, labels, compression="zlib", photometric="minisblack", **about)


def _for_imagej(objects: LabelledObjects) -> dict[str, Any]:
    about: dict[str, Any] = {"axes": objects.axes}
    options: dict[str, Any] = {"imagej": True, "metadata": about}
    if objects.scale is not None:
        size = dict(zip(objects.axes, objects.scale, strict=True))
        about |= {"unit": "um", "spacing": size.get("Z", 1.0), "finterval": size.get("T", 1.0)}
        options["resolution"] = (1 / size["X"], 1 / size["Y"])
    return options


def _for_ome(objects: LabelledObjects) -> dict[str, Any]:
    about: dict[str, Any] = {"axes": objects.axes}
    for axis, size in zip(objects.axes, objects.pixel_size, strict=True):
        if objects.scale is not None:
            name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
            about |= {name: size, f"{name}Unit": "s" if axis == "T" else "µm"}
    return {"ome": True, "metadata": about}


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read labels; where the file does not name its axes a stack is a time-lapse."""
    labels = load_labels(path)
    with tifffile.TiffFile(path) as file:
        axes = str(file.series[0].axes)
    if len(axes) != labels.ndim:
        axes = "?" * labels.ndim
    kept = tuple(n for n in range(labels.ndim) if labels.shape[n] > 1 or n >= labels.ndim - 2)
    labels = labels.reshape([labels.shape[n] for n in kept])
    named = "".join(axes[n] for n in kept)
    return LabelledObjects(labels, named if named in ("YX", "TYX", "ZYX", "TZYX") else guess_axes(labels.ndim))
