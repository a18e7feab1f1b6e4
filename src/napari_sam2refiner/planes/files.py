"""Files: one plane of an image read, other files written whole or not at all.

TIFF (OME, ImageJ, plain) with its axes, PNG, JPEG and what else scikit-image reads.
"""

from __future__ import annotations

import io
import math
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2refiner.errors import InvalidImageError, ReadError, SaveError

_TIFF = (".tif", ".tiff", ".lsm", ".stk")


def read_plane(path: Path, steps: Sequence[int] = (), channels: Sequence[int] = ()) -> npt.NDArray[Any]:
    """Read one plane of an image file; of a TIFF stack, nothing else where its layout allows that.

    Parameters
    ----------
    path : Path
    steps : sequence of int
        Index along each axis longer than 1 that is neither rows, columns nor channels, in the file's order.
    channels : sequence of int
        Which channels to take; all when left out.

    Returns
    -------
    (Y, X) or (Y, X, C) array
        As stored, in the file's dtype.

    Raises
    ------
    ReadError
        If the file is not there or not readable.
    InvalidImageError
        If the steps or channels do not name a plane of it.
    """
    try:
        if path.suffix.lower() in _TIFF:
            with tifffile.TiffFile(path) as file:
                return _Stack(path, file.series[0]).read(steps, channels)
        return _Stack(path, _Picture(path)).read(steps, channels)
    except (InvalidImageError, MemoryError):
        raise
    except Exception as error:  # a damaged file may fail anywhere in the decoder
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        msg = f"{path} cannot be read: {reason}; give a complete TIFF, PNG or JPEG file."
        raise ReadError(msg) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to, and move what is there to the file when it is complete.

    A failure leaves what was there before, and nothing else.

    Raises
    ------
    SaveError
        If the file cannot be written; the message has the file and the reason.
    """
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}; choose another folder or free some space."
        raise SaveError(msg) from error
    finally:
        with suppress(OSError):  # the error that left it there matters more
            partial.unlink(missing_ok=True)


class _Picture:
    """A file of scikit-image's readers, with what is used of a TIFF series."""

    pages: Sequence[Any] = ()

    def __init__(self, path: Path) -> None:
        from skimage.io import imread

        # From memory: with a path, the reader leaves a file that it cannot read open.
        pixels = np.asarray(imread(io.BytesIO(path.read_bytes())))
        # Grey with transparency; colours keep theirs, which `intensity` understands.
        self._pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 2 else pixels
        self.shape = self._pixels.shape
        self.axes = {2: "YX", 3: "YXS", 4: "TYXS"}.get(pixels.ndim, "")[: self._pixels.ndim]

    def asarray(self) -> npt.NDArray[Any]:
        """Return all of it."""
        return self._pixels


class _Stack:
    """An nD image in a file, with named axes; series is a `tifffile.TiffPageSeries` or a `_Picture`."""

    def __init__(self, path: Path, series: Any) -> None:
        self._path = path
        self._series = series
        self._shape: tuple[int, ...] = tuple(series.shape)
        names = str(series.axes)
        if len(self._shape) < 2:
            msg = f"{path} has shape {self._shape}; give an image with rows and columns."
            raise InvalidImageError(msg)
        # Without axes of its own, the last two are the plane's, as in numpy.
        self._names = names if {"X", "Y"} <= set(names) else names[:-2].replace("Y", "Q").replace("X", "Q") + "YX"
        self._channel = next((self._names.index(name) for name in "SC" if name in self._names), None)

    def read(self, steps: Sequence[int], channels: Sequence[int]) -> npt.NDArray[Any]:
        """Return the plane (Y, X) or (Y, X, C) at these steps."""
        index: list[int | slice | list[int]] = [slice(None)] * len(self._shape)
        for axis, step in zip(self._step_axes(steps), steps, strict=True):
            index[axis] = self._checked(axis, step)
        order = {"Y": self._names.index("Y"), "X": self._names.index("X"), "C": self._channel}
        for axis, size in enumerate(self._shape):
            if size == 1 and axis not in (order["Y"], order["X"]):
                index[axis] = 0
        if channels:
            self._choose(index, channels)
        plane = self._region(index)
        left = [axis for axis, part in enumerate(index) if not isinstance(part, int)]
        return plane.transpose([left.index(axis) for axis in order.values() if axis in left])

    def _step_axes(self, steps: Sequence[int]) -> list[int]:
        """Return the axes that steps are for; raise if there are more or fewer of them."""
        axes = [
            axis
            for axis, (name, size) in enumerate(zip(self._names, self._shape, strict=True))
            if name not in "YX" and axis != self._channel and size > 1
        ]
        if len(steps) != len(axes):
            sizes = ", ".join(f"{self._names[axis]} ({self._shape[axis]})" for axis in axes) or "none"
            msg = (
                f"{self._path} has shape {self._shape} with axes {self._names} and got {len(steps)} plane indices; "
                f"give one for each of these: {sizes}."
            )
            raise InvalidImageError(msg)
        return axes

    def _choose(self, index: list[int | slice | list[int]], channels: Sequence[int]) -> None:
        """Put the channels into the index."""
        if self._channel is None:
            msg = f"{self._path} has shape {self._shape} with axes {self._names} and no channels; leave them out."
            raise InvalidImageError(msg)
        chosen = [self._checked(self._channel, channel) for channel in channels]
        index[self._channel] = chosen[0] if len(chosen) == 1 else chosen

    def _checked(self, axis: int, step: int) -> int:
        """Return the step; raise if the axis has no such."""
        if not 0 <= step < self._shape[axis]:
            largest = self._shape[axis] - 1
            msg = f"{self._path} has no index {step} on axis {self._names[axis]}; choose from 0 to {largest}."
            raise InvalidImageError(msg)
        return step

    def _region(self, index: list[int | slice | list[int]]) -> npt.NDArray[Any]:
        """Read a region; only its pages where each page is one plane of the stack."""
        pages = self._series.pages
        inner = tuple(pages[0].shape) if len(pages) else self._shape
        ahead = len(self._shape) - len(inner)
        if ahead < 1 or len(pages) != math.prod(self._shape[:ahead]) or self._shape[ahead:] != inner:
            whole: npt.NDArray[Any] = self._series.asarray()
            return whole[tuple(index)]
        wanted = np.arange(len(pages)).reshape(self._shape[:ahead])[tuple(index[:ahead])]
        read = np.stack([pages[int(number)].asarray() for number in wanted.ravel()])
        return read[(slice(None), *index[ahead:])].reshape(*wanted.shape, *read[0][tuple(index[ahead:])].shape)
