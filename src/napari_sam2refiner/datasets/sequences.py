"""Annotated time-lapses and z-stacks in this project's own layout (see `folders`), frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.planes.files import read_plane

if TYPE_CHECKING:
    from napari_sam2refiner.datasets.fields import Split


@dataclass(frozen=True)
class AnnotatedSequence:
    """Frames of one sequence or stack, read when they are asked for, and their truth.

    Attributes
    ----------
    name : str
        Set and sequence.
    images : tuple of Path
    truths : tuple of Path or None
        None where a frame has no truth.
    drawn : tuple of Path or None, optional
        Files with outlines, where `truths` only marks where objects are; ids differ from theirs.
    parents : mapping of int to int
        What objects came from by division, where that is known.
    """

    name: str
    images: tuple[Path, ...]
    truths: tuple[Path | None, ...]
    drawn: tuple[Path | None, ...] | None = None
    parents: Mapping[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return how many frames there are."""
        return len(self.images)

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        """Read a frame (Y, X) or (Y, X, C)."""
        return read_plane(self.images[frame])

    def truth(self, frame: int) -> npt.NDArray[np.int32] | None:
        """Read the objects (Y, X) of a frame, whose ids are constant over the sequence; None without truth."""
        return _labels(self.truths[frame])

    def outlines(self, frame: int) -> npt.NDArray[np.int32] | None:
        """Read the objects (Y, X) of a frame as they are outlined, with ids of that frame; None without."""
        return _labels((self.truths if self.drawn is None else self.drawn)[frame])


def _labels(path: Path | None) -> npt.NDArray[np.int32] | None:
    return None if path is None else read_plane(path).astype(np.int32)


def find_sequences(folder: Path, split: Split) -> list[AnnotatedSequence]:
    """Return the sequences of a set, in order of name.

    Raises
    ------
    ReadError
        If the split holds none.
    """
    images, labels = (folder / split / kind for kind in ("images", "labels"))
    found = []
    for place in sorted(path for path in images.glob("*") if path.is_dir()):
        frames = tuple(sorted(place.glob("*.png")))
        truths = tuple(labels / place.name / frame.name for frame in frames)
        if frames:
            known = tuple(truth if truth.exists() else None for truth in truths)
            found.append(AnnotatedSequence(f"{folder.name}/{place.name}", frames, known))
    if not found:
        msg = f"{folder} holds no sequences in its split {split!r}; give a set of videos or stacks."
        raise ReadError(msg)
    return found
