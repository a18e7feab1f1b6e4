"""The formats that objects are exported to and imported from; one list for the command line and the dock."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError, ReadError, SaveError
from napari_sam2refiner.labels.exchange import (
    cell_tracking,
    coco,
    measures,
    numpy_file,
    roi,
    tiff,
    tracking_graph,
    trackmate,
    zarr_image,
)
from napari_sam2refiner.labels.exchange.objects import LabelledObjects
from napari_sam2refiner.planes.files import written_whole

if TYPE_CHECKING:
    import os

Write = Callable[[Path, LabelledObjects], None]
Read = Callable[[Path, tuple[int, ...] | None], LabelledObjects]


@dataclass(frozen=True, slots=True)
class Format:
    """A way to keep objects in files.

    Attributes
    ----------
    name : str
        As the command line has it.
    title : str
        As people call it.
    suffixes : tuple of str
        What names end in, the usual first; none where it is a folder of any name.
    write : callable
    read : callable, optional
        None where labels cannot be had back.
    is_folder : bool
    stacks, lineage, classes, scores, names : bool
        What it keeps, beside the labels.
    knows_shape : bool
        Whether it says how large the image is.
    is_ours : callable
        Whether a folder that is in the way is one of this format and nothing else.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    write: Write
    read: Read | None
    is_folder: bool = False
    stacks: bool = True
    lineage: bool = False
    classes: bool = False
    scores: bool = False
    names: bool = False
    knows_shape: bool = True
    is_ours: Callable[[Path], bool] = lambda path: path.is_file()


def _is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr group or array."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


_Full = partial(Format, lineage=True, classes=True, scores=True, names=True)  # keeps all that is known of objects

FORMATS = (
    Format("tiff", "TIFF", (".tif", ".tiff"), tiff.write, tiff.read),
    _Full(
        "ome-zarr",
        "OME-Zarr labels",
        (".zarr",),
        zarr_image.write,
        zarr_image.read,
        is_folder=True,
        is_ours=_is_zarr,
    ),
    _Full("coco", "COCO JSON", (".json",), coco.write, coco.read),
    Format(
        "ctc",
        "Cell Tracking Challenge",
        (),
        cell_tracking.write,
        cell_tracking.read,
        is_folder=True,
        lineage=True,
        is_ours=cell_tracking.is_ours,
    ),
    _Full("roi", "ImageJ ROIs", (".zip",), roi.write, roi.read, knows_shape=False),
    _Full(
        "geff",
        "GEFF graph",
        (".geff",),
        tracking_graph.write,
        tracking_graph.read,
        is_folder=True,
        is_ours=_is_zarr,
    ),
    Format("trackmate", "TrackMate XML", (".xml",), trackmate.write, trackmate.read, lineage=True, names=True),
    _Full("csv", "Measures (CSV)", (".csv",), measures.write, None),
    Format("npy", "numpy", (".npy",), numpy_file.write, numpy_file.read),
)
NAMES = tuple(one.name for one in FORMATS)


def find_format(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """Return the format of a name, else the one that a file's name means; a folder without an ending is CTC's.

    Raises
    ------
    InvalidConfigError
        If there is none.
    """
    if name is not None:
        found = next((one for one in FORMATS if one.name == name), None)
        if found is None:
            msg = f"there is no format {name!r}; choose {', '.join(NAMES)}."
            raise InvalidConfigError(msg)
        return found
    path = Path(path)
    suffix = path.suffix.lower()
    found = next((one for one in FORMATS if suffix in one.suffixes), None)
    if found is None and (not suffix or path.is_dir()):
        found = next(one for one in FORMATS if not one.suffixes)
    if found is not None:
        return found
    endings = ", ".join(suffix for one in FORMATS for suffix in one.suffixes[:1])
    msg = f"{path} has an ending that no format has; end the name in {endings}, or name the format."
    raise InvalidConfigError(msg)


def export_objects(
    path: str | os.PathLike[str], objects: LabelledObjects, name: str | None = None, *, overwrite: bool = False
) -> Path:
    """Write objects, whole or not at all.

    Parameters
    ----------
    path : path
    objects : LabelledObjects
    name : str, optional
        Of a format; the path's ending says it when left out.
    overwrite : bool
        Whether what is there already is replaced; a folder only if it is of the same format.

    Returns
    -------
    Path
        Where they are now.

    Raises
    ------
    InvalidConfigError
        If there is no such format, or its library is missing.
    InvalidLabelsError
        If the format cannot hold them.
    SaveError
        If something is there already, or nothing can be written.
    """
    path = Path(path)
    one = find_format(path, name)
    check_place(path, one, overwrite=overwrite)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with written_whole(path) as partial:
            one.write(partial, objects)
            if path.is_dir():  # which cannot be replaced in one step
                path.rename(aside)
    finally:
        if aside.exists() and path.exists():
            shutil.rmtree(aside, ignore_errors=True)
        elif aside.exists():
            aside.rename(path)
    return path


def check_place(path: Path, one: Format, *, overwrite: bool) -> None:
    """Raise before any work if objects cannot be written where they are wanted.

    Raises
    ------
    SaveError
        If something is there already that may not be replaced, or the name or the folder is wrong.
    """
    if one.suffixes and path.suffix.lower() not in one.suffixes:
        msg = f"{path} cannot be written as {one.title}; end the name in {one.suffixes[0]}."
        raise SaveError(msg)
    if not path.parent.is_dir():
        msg = f"{path} cannot be written, there is no folder {path.parent}; make it or choose another."
        raise SaveError(msg)
    if not path.exists():
        return
    if not overwrite:
        msg = f"{path} is there already; choose another name, or on the command line ask to replace it (--overwrite)."
        raise SaveError(msg)
    if path.is_dir() != one.is_folder or not one.is_ours(path):
        msg = f"{path} is there already and is no {one.title}, so it is not overwritten; choose another name."
        raise SaveError(msg)


def import_objects(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    shape: tuple[int, ...] | None = None,
    axes: str | None = None,
) -> LabelledObjects:
    """Read objects.

    Parameters
    ----------
    path : path
    name : str, optional
        Of a format; the path's ending says it when left out.
    shape : tuple of int, optional
        Of the image, where the format does not know it; else it must agree.
    axes : str, optional
        What the axes are, where the file says otherwise or nothing: TYX or ZYX for instance.

    Raises
    ------
    InvalidConfigError
        If there is no such format, it cannot be read, or its library is missing.
    ReadError
        If the file is not there, damaged, or of another kind.
    InvalidLabelsError
        If the shape or the axes do not fit.
    """
    path = Path(path)
    one = find_format(path, name)
    if one.read is None:
        msg = f"{path}: labels cannot be had back from {one.title}; choose another file."
        raise InvalidConfigError(msg)
    if not path.exists():
        msg = f"{path} cannot be read: there is no such file or folder; check the name."
        raise ReadError(msg)
    objects = one.read(path, shape)
    if shape is not None and objects.labels.shape != tuple(shape):
        msg = f"{path} has labels of shape {objects.labels.shape}, but the image has {tuple(shape)}; they must agree."
        raise InvalidLabelsError(msg)
    return objects if axes is None else replace(objects, axes=axes.upper())
