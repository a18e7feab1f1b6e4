"""Objects as results of the Cell Tracking Challenge: a folder of mask000.tif and so on, and res_track.txt.

A truth, with man_track000.tif and man_track.txt, is read too.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import tifffile

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.lineage import as_tracks, read_tracks
from napari_sam2refiner.labels.exchange.objects import LabelledObjects
from napari_sam2refiner.labels.io import load_labels

FRAME = re.compile(r"(?:mask|man_track)(\d+)\.tif")
TABLES = ("res_track.txt", "man_track.txt")


def write(path: Path, objects: LabelledObjects) -> None:
    """Write a file for each frame, and the tracks; an object that is away in between gets an id for each stay."""
    path.mkdir()
    frames, tracks = as_tracks(objects.frames, objects.parents)
    digits = 3 if len(frames) <= 1000 else 4
    for t, labels in enumerate(frames):
        tifffile.imwrite(path / f"mask{t:0{digits}}.tif", labels, compression="zlib", photometric="minisblack")
    lines = "".join(" ".join(map(str, track)) + "\n" for track in tracks)
    (path / TABLES[0]).write_text(lines, encoding="utf-8")


def is_ours(path: Path) -> bool:
    """Return whether a folder holds such a result and nothing else."""
    names = [entry.name for entry in path.iterdir()]
    return all(FRAME.fullmatch(name) or name in TABLES for name in names)


def read(path: Path, shape: tuple[int, ...] | None = None) -> LabelledObjects:  # noqa: ARG001 - it knows its own
    """Read all frames and the tracks.

    Raises
    ------
    ReadError
        If there are none, or the frames differ in shape.
    """
    found = sorted((int(match[1]), file) for file in path.glob("*.tif") if (match := FRAME.fullmatch(file.name)))
    table = next((path / name for name in TABLES if (path / name).exists()), None)
    if not found or table is None:
        msg = (
            f"{path} holds no result of the Cell Tracking Challenge; give a folder with mask000.tif and res_track.txt."
        )
        raise ReadError(msg)
    tracks = read_tracks(table)
    frames = [load_labels(file) for _, file in found]
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) > 1 or len(shapes[0]) not in (2, 3):
        msg = f"{path} holds frames of shapes {', '.join(map(str, shapes))}; give planes or volumes of one shape."
        raise ReadError(msg)
    parents = {track.label: track.parent for track in tracks if track.parent}
    axes = "YX" if len(shapes[0]) == 2 else "ZYX"
    if len(frames) == 1:
        return LabelledObjects(frames[0], axes, parents=parents)
    return LabelledObjects(np.stack(frames), f"T{axes}", parents=parents)
