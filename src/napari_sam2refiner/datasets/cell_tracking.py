"""Cell Tracking Challenge: sequences with gold or silver truth (Maška et al., 10.1038/s41592-023-01879-y).

::

    SET/01/t000.tif                       (Y, X) or (Z, Y, X)
    SET/01_GT/SEG/man_seg000.tif          gold truth of whole frames; man_seg_000_003.tif of plane 3 of frame 0
    SET/01_ST/SEG/man_seg000.tif          silver truth, used where there is no gold
    SET/01_GT/TRA/man_track000.tif        marks with ids that stay over the sequence
    SET/01_GT/TRA/man_track.txt           id, first frame, last frame, parent or 0

The truth of a volume is one of its planes, or a volume. The first sequence is for training, the others are for
validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_sam2refiner.datasets.fields import DataSet, Field, LazyFields, Split, make_field
from napari_sam2refiner.datasets.sequences import AnnotatedSequence
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.exchange.lineage import read_tracks
from napari_sam2refiner.planes.files import read_plane
from napari_sam2refiner.planes.image_file import ImageFile

_TRUTH = re.compile(r"man_seg_?(\d+)(?:_(\d+))?")


class Frame(NamedTuple):
    """A plane with truth: its image, its truth, its index in a volume, and whether the truth is a volume too."""

    image: Path
    truth: Path
    plane: int | None
    volume: bool = False


def find(path: Path) -> list[DataSet]:
    """Return the set that a folder is, if it is one."""
    splits: dict[Split, Callable[[], Sequence[Field]]] = {
        split: partial(_open, path.name, sequences) for split, sequences in _splits(path).items()
    }
    return [DataSet(path.name, path, True, splits)] if splits else []


def find_tracked(path: Path, split: Split) -> list[AnnotatedSequence]:
    """Return the sequences of a set whose objects are marked on every frame; none if it has none."""
    return [tracked for sequence in _splits(path).get(split, []) if (tracked := _tracked(path.name, sequence))]


def _splits(path: Path) -> dict[Split, list[Path]]:
    """Return the sequences with outlines of each split."""
    sequences = sorted(p for p in path.glob("[0-9][0-9]") if any(_truth_folders(p)))
    splits: dict[Split, list[Path]] = {"train": sequences[:1], "val": sequences[1:]}
    return {split: those for split, those in splits.items() if those}


def _tracked(name: str, sequence: Path) -> AnnotatedSequence | None:
    """Return a sequence with its marks, and with the outlines that there are."""
    marks = sequence.with_name(f"{sequence.name}_GT") / "TRA"
    table = marks / "man_track.txt"
    if not table.exists():
        return None
    parents = {track.label: track.parent for track in read_tracks(table)}
    frames = sorted(sequence.glob("t[0-9]*.tif"))
    if frames:
        with ImageFile(frames[0]) as file:
            if file.steps:
                msg = f"{sequence} holds volumes, whose objects cannot be tracked here; give sequences of planes."
                raise ReadError(msg)
    outlined = (_first(kind / f"man_seg{frame.stem[1:]}.tif" for kind in _truth_folders(sequence)) for frame in frames)
    return AnnotatedSequence(
        f"{name}/{sequence.name}",
        tuple(frames),
        tuple(_first([marks / f"man_track{frame.stem[1:]}.tif"]) for frame in frames),
        tuple(outlined),
        parents,
    )


def _first(paths: Iterable[Path]) -> Path | None:
    """Return the first file that is there."""
    return next((path for path in paths if path.exists()), None)


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
                    for frame in _frames(image, truth, match[2]):
                        frames[image, frame.plane] = frame
    return LazyFields([frames[key] for key in sorted(frames, key=str)], partial(_read, name))


def _frames(image: Path, truth: Path, plane: str | None) -> list[Frame]:
    """Return the planes that a file has the truth of."""
    if plane is not None:
        return [Frame(image, truth, int(plane))]
    with ImageFile(truth) as file:
        sizes = [size for _, size in file.steps.values()]
    return [Frame(image, truth, z, volume=True) for z in range(sizes[0])] if sizes else [Frame(image, truth, None)]


def _read(name: str, frame: Frame) -> Field:
    image = read_plane(frame.image, () if frame.plane is None else (frame.plane,))
    labels = read_plane(frame.truth, (frame.plane,) if frame.volume and frame.plane is not None else ())
    suffix = "" if frame.plane is None else f"[{frame.plane}]"
    where = f"{name}/{frame.image.parent.name}/{frame.image.name}{suffix}"
    return make_field(where, image, labels.astype(np.int32), frame.image)
