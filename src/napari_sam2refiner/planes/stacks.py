"""Stacks in files, read frame by frame: one file with a stacked axis, or a folder with a file for each frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.files import read_plane
from napari_sam2refiner.planes.image_file import TIFF, ZARR, ImageFile

_PICTURES = (*TIFF, ".png", ".jpg", ".jpeg", ".bmp")


class StackFile:
    """Frames of a file along one of its axes, or of a folder's images in the order of their names.

    Parameters
    ----------
    path : Path
        A TIFF or Zarr stack, or a folder.
    axis : str, optional
        Letter of the axis that frames follow each other on; by default T, else Z, else the only one that there is.
    steps : sequence of int
        Index along each other axis longer than 1 that is neither rows, columns nor channels, in the file's order.
    channels : sequence of int
        Which channels to take; all when left out.

    Raises
    ------
    ReadError
        If it is not there, not readable, or a folder without images.
    InvalidImageError
        If it is no stack, or has no such axis.
    """

    def __init__(
        self, path: Path, axis: str | None = None, steps: Sequence[int] = (), channels: Sequence[int] = ()
    ) -> None:
        self._steps, self._channels = tuple(steps), tuple(channels)
        self._files: list[Path] = []
        self._file: ImageFile | None = None
        if path.is_dir() and path.suffix.lower() != ZARR:
            self._files = sorted((f for f in path.iterdir() if f.suffix.lower() in _PICTURES), key=_natural)
            if not self._files:
                msg = f"{path} holds no images; give a folder of TIFF or PNG files, one for each frame."
                raise ReadError(msg)
            return
        self._file = ImageFile(path)
        try:
            self._place, self._length = _stacked(path, self._file, axis)
        except InvalidImageError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Keep it open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        """Return how many frames there are."""
        return self._length if self._file is not None else len(self._files)

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        """Read a frame (Y, X) or (Y, X, C)."""
        if self._file is None:
            return read_plane(self._files[frame], self._steps, self._channels)
        steps = (*self._steps[: self._place], frame, *self._steps[self._place :])
        return self._file.read(steps, self._channels)


def _stacked(path: Path, file: ImageFile, axis: str | None) -> tuple[int, int]:
    """Return which of a file's stacked axes frames follow each other on, and how many there are."""
    names = [name for name, _ in file.steps.values()]
    sizes = ", ".join(f"{name} ({size})" for name, size in file.steps.values()) or "none"
    if axis is None:
        axis = next((name for name in "TZ" if name in names), names[0] if len(names) == 1 else None)
    if axis is None or axis.upper() not in names:
        msg = f"{path} has no stacked axis {axis or 'T or Z'}; its stacked axes are: {sizes}."
        raise InvalidImageError(msg)
    place = names.index(axis.upper())
    return place, list(file.steps.values())[place][1]


def _natural(path: Path) -> list[str | int]:
    """Sort frame2 before frame10."""
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", path.name)]
