"""What is measured of each object on each frame, as a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, boxes_in

PROPERTIES = ("area", "equivalent_diameter_area", "centroid", "bbox")
FLAT = ("axis_major_length", "axis_minor_length", "eccentricity", "orientation", "perimeter")
INTENSITIES = ("intensity_mean", "intensity_min", "intensity_max")


def write(path: Path, objects: LabelledObjects) -> None:
    """Write a row for each object on each frame.

    Sizes are in pixels, or in micrometres where the pixel size is known; boxes are in pixels. Columns of intensities
    end in the channel's number where there are several.
    """
    rows = [row for t in range(len(objects.frames)) for row in _rows(objects, t)]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["object"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _rows(objects: LabelledObjects, frame: int) -> list[dict[str, Any]]:
    from skimage.measure import regionprops_table

    labels = objects.frames[frame]
    ids = list(boxes_in(labels))
    if not ids:
        return []
    # regionprops keeps a place for every number up to the largest: ids may be of any size.
    numbered = np.searchsorted(np.array([0, *ids], np.uint64), labels.astype(np.uint64)).astype(np.int32)
    spacing = objects.pixel_size[-labels.ndim :]
    wanted = [*PROPERTIES]
    if labels.ndim == 2:
        wanted += FLAT if spacing[0] == spacing[1] else FLAT[:-1]  # a perimeter needs square pixels
    image = None
    if objects.image is not None:
        wanted += INTENSITIES
        image = np.asarray(objects.image[frame] if objects.axes.startswith("T") else objects.image)
    table = regionprops_table(numbered, image, wanted, spacing=spacing)
    known = {what: values for what, values in objects.known.items() if values}
    rows = []
    for place, object_id in enumerate(ids):
        row: dict[str, Any] = {"object": object_id}
        if objects.axes.startswith("T"):
            row["frame"] = frame
        row |= {what: values.get(object_id, "") for what, values in known.items()}
        rows.append(row | {_column(name, labels.ndim): values[place].item() for name, values in table.items()})
    return rows


def _column(name: str, ndim: int) -> str:
    """Return the name of a column, with the axis that its number means."""
    stem, _, number = name.rpartition("-")
    axes = "zyx"[-ndim:]
    if stem == "centroid":
        return f"centroid_{axes[int(number)]}"
    if stem == "bbox":
        return f"{'min' if int(number) < ndim else 'max'}_{axes[int(number) % ndim]}"
    return name.replace("-", "_")


class Known(NamedTuple):
    """What a table says of objects, by id."""

    classes: dict[int, str]
    scores: dict[int, float]
    parents: dict[int, int]
    names: dict[int, str]


def read_known(path: Path) -> Known:
    """Read what a table says: it has a column `object`, and some of `name`, `class`, `score` and `parent`.

    Of several rows of an object, the lowest score counts.

    Raises
    ------
    ReadError
        If it is none.
    """
    classes: dict[int, str] = {}
    scores: dict[int, float] = {}
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                object_id = int(row["object"])
                if row.get("class"):
                    classes[object_id] = row["class"]
                if row.get("name"):
                    names[object_id] = row["name"]
                if row.get("score"):
                    scores[object_id] = min(float(row["score"]), scores.get(object_id, np.inf))
                if row.get("parent") and int(row["parent"]):
                    parents[object_id] = int(row["parent"])
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        msg = (
            f"{path} cannot be read: {error}; give a CSV table with a column object, and name, class, score or parent."
        )
        raise ReadError(msg) from error
    return Known(classes, scores, parents, names)


def write_known(path: Path, objects: LabelledObjects) -> None:
    """Write the table that `read_known` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["object", *objects.known])
        for object_id in boxes_in(objects.labels):
            writer.writerow([object_id, *(values.get(object_id, "") for values in objects.known.values())])
