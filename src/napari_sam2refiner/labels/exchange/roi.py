"""Objects as ImageJ regions of interest, in a ZIP file that its ROI manager opens."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidLabelsError, ReadError
from napari_sam2refiner.labels.exchange.objects import (
    LabelledObjects,
    Sheet,
    boxes_in,
    guess_axes,
    load_library,
    one_line,
)
from napari_sam2refiner.labels.exchange.outlines import fill, trace

LARGEST = 32767  # rows and columns that a ROI can name
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # as java.awt.geom.PathIterator has them
GIVEN_BY_IMAGEJ = re.compile(r"[\d-]*")  # names that nobody has chosen
UNFIT = re.compile(r'[/\\:*?"<>|]')  # for names of files, which a ROI's name is within the ZIP file
LONGEST = 60  # characters of such a name


def _roifile() -> Any:
    return load_library("roifile", "roifile", "ImageJ ROI zip")


def write(path: Path, objects: LabelledObjects) -> None:
    """Write a ROI for each object on each plane, as exact as its pixels; one with holes or pieces is composite.

    Raises
    ------
    InvalidLabelsError
        If the planes are larger than ROIs can be.
    """
    if max(objects.labels.shape[-2:]) > LARGEST:
        msg = f"the labels have shape {objects.labels.shape}; ImageJ's ROIs end at {LARGEST} rows and columns."
        raise InvalidLabelsError(msg)
    roifile = _roifile()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for steps, plane in objects.planes():
            at = dict(zip(objects.axes, steps, strict=False))
            for object_id, box in boxes_in(plane).items():
                corner = (box[0].start, box[1].start)
                outlines = [np.add(outline, corner) for outline in trace(plane[box] == object_id)]
                number = "-".join([*(f"{axis}{step + 1:04}" for axis, step in at.items()), f"{object_id:04}"])
                called = one_line(objects.names.get(object_id, ""))
                name = f"{number} {called}" if called else number
                roi = _roi(outlines, roifile, name)
                roi.t_position, roi.z_position = (at[axis] + 1 if axis in at else 0 for axis in "TZ")
                roi.position = 0 if len(at) != 1 else next(iter(at.values())) + 1
                roi.properties = _properties(objects, object_id)
                file.writestr(f"{UNFIT.sub('_', name)[:LONGEST].rstrip()}.roi", roi.tobytes())


def _roi(outlines: list[npt.NDArray[Any]], roifile: Any, name: str) -> Any:
    """Return one outline as a traced ROI, several as a path."""
    if len(outlines) == 1:
        roi = roifile.ImagejRoi.frompoints(outlines[0][:, ::-1].astype(np.int32), name=name)
        roi.roitype = roifile.ROI_TYPE.TRACED
        return roi
    path: list[float] = []
    for outline in outlines:
        for place, (y, x) in enumerate(outline.tolist()):
            path += [LINE if place else MOVE, x, y]
        path.append(CLOSE)
    corners = np.concatenate(outlines)
    (top, left), (bottom, right) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = roifile.ImagejRoi(name=name, roitype=roifile.ROI_TYPE.RECT, byteorder=">")
    roi.top, roi.left, roi.bottom, roi.right = top, left, bottom, right
    roi.multi_coordinates, roi.shape_roi_size = np.array(path, np.float32), len(path)
    return roi


def _properties(objects: LabelledObjects, object_id: int) -> dict[str, str]:
    found = {"object": str(object_id), "axes": objects.axes}
    return found | {what: one_line(str(value)) for what, value in objects.known_of(object_id).items()}


def _notes(roi: Any) -> dict[str, str]:
    """Return a ROI's properties as the texts that they are: a class or a name may look like a number."""
    lines = (line.partition(":") for line in (roi.props or "").splitlines())
    return {what.strip(): value.strip() for what, colon, value in lines if colon}


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:
    """Read areas (polygons, traced, freehand and composite ones, rectangles, ovals).

    Raises
    ------
    ReadError
        If it is no such file, or nobody says which shape the image has.
    """
    roifile = _roifile()
    if shape is None:
        msg = f"{path} does not know how large its image is; open the image first, or give --shape Y X (T Y X)."
        raise ReadError(msg)
    try:
        with zipfile.ZipFile(path) as file:
            rois = [roifile.ImagejRoi.frombytes(file.read(name)) for name in file.namelist() if name.endswith(".roi")]
            return _objects(rois, shape)
    except Exception as error:  # a damaged file may fail anywhere in the decoder
        msg = f"{path} cannot be read: {error}; give a ZIP file of ImageJ's ROI manager, and its image's shape."
        raise ReadError(msg) from error


def _objects(rois: list[Any], shape: tuple[int, ...]) -> LabelledObjects:
    notes = [_notes(roi) for roi in rois]
    for note, roi in zip(notes, rois, strict=True):
        if "object" not in note and roi.name and not GIVEN_BY_IMAGEJ.fullmatch(roi.name):
            note["name"] = roi.name
    free = max((int(note["object"]) for note in notes if "object" in note), default=0)
    ids = []
    for note in notes:
        free += "object" not in note
        ids.append(int(note.get("object", free)))
    axes = next((note["axes"] for note in notes if len(note.get("axes", "")) == len(shape)), "")
    axes = axes or guess_axes(len(shape))
    sheet = Sheet(shape, max(ids, default=1))
    known: dict[str, dict[int, str]] = {"name": {}, "class": {}, "score": {}, "parent": {}}
    for object_id, note, roi in zip(ids, notes, rois, strict=True):
        steps = _steps(roi, axes)
        sheet.put(steps, fill(_outlines(roi), (shape[-2], shape[-1])), object_id)
        for name in known.keys() & note.keys():
            known[name][object_id] = note[name]
    scores = {number: float(score) for number, score in known["score"].items()}
    parents = {number: int(parent) for number, parent in known["parent"].items()}
    return LabelledObjects(sheet.labels, axes, known["class"], scores, parents, note=sheet.note, names=known["name"])


def _steps(roi: Any, axes: str) -> tuple[int, ...]:
    """Return which plane a ROI is on; ImageJ counts from 1, and has 0 for all."""
    at = {"T": roi.t_position, "Z": roi.z_position}
    if len(axes) == 3 and not at[axes[0]]:
        at[axes[0]] = roi.position
    return tuple(max(0, at[axis] - 1) for axis in axes[:-2])


def _outlines(roi: Any) -> list[npt.NDArray[Any]]:
    """Return the outlines (y, x) of a ROI."""
    found = roi.coordinates(multi=True)
    return [np.asarray(one)[:, ::-1] for one in (found if isinstance(found, list) else [found]) if len(one) > 2]
