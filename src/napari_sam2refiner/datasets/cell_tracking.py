"""Cell Tracking Challenge: sequences with gold or silver truth (Maška et al., 10.1038/s41592-023-01879-y).

::

    SET/01/t000.tif                       (Y, X) or (Z, Y, X)
    SET/01_GT/SEG/man_seg000.tif          gold truth of whole frames; man_seg_000_003.tif of plane 3 of frame 0
    SET/01_ST/SEG/man_seg000.tif          silver truth, used where there is no gold

The first sequence is for training, the others are for validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_sam2refiner.datasets.fields import DataSet, Field, LazyFields, Split, make_field
from napari_sam2refiner.planes.files import read_plane

_TRUTH = re.compile(r"man_seg_?(\d+)(?:_(\d+))?")


class Frame(NamedTuple):
    """A plane with truth: its image, its truth, and the plane's index in a volume."""

    image: Path
    truth: Path
    plane: int | None


def find(path: Path) -> list[DataSet]:
    """Return the set that a folder is, if it is one."""
    sequences = sorted(p for p in path.glob("[0-9][0-9]") if any(_truth_folders(p)))
    if not sequences:
        return []
    splits: dict[Split, Callable[[], Sequence[Field]]] = {"train": partial(_open, path.name, sequences[:1])}
    if len(sequences) > 1:
        splits["val"] = partial(_open, path.name, sequences[1:])
    return [DataSet(path.name, path, True, splits)]


def _truth_folders(sequence: Path) -> list[Path]:
    """Gold before silver."""
    places = (sequence.with_name(f"{sequence.name}_{kind}") / "SEG" for kind in ("GT", "ST"))
    return [place for place in places if place.is_dir()]


def _open(name: str, sequences: list[Path]) -> LazyFields[Frame]:
    frames: dict[tuple[Path, int | None], Frame] = {}
    for sequence in sequences:
        for truths in reversed(_truth_folders(sequence)):  # gold replaces silver
            for truth in sorted(truths.glob("man_seg*.tif")):
                match = _TRUTH.fullmatch(truth.stem)
                image = sequence / f"t{match[1]}.tif" if match else truth
                if match and image.exists():
                    plane = None if match[2] is None else int(match[2])
                    frames[image, plane] = Frame(image, truth, plane)
    return LazyFields([frames[key] for key in sorted(frames, key=str)], partial(_read, name))


def _read(name: str, frame: Frame) -> Field:
    image = read_plane(frame.image, () if frame.plane is None else (frame.plane,))
    labels = read_plane(frame.truth)
    suffix = "" if frame.plane is None else f"[{frame.plane}]"
    where = f"{name}/{frame.image.parent.name}/{frame.image.name}{suffix}"
    return make_field(where, image, labels.astype(np.int32), frame.image)
