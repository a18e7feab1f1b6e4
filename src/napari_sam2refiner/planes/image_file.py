"""nD images in files, with named axes: one plane at a time, and nothing else where their layout allows that.

TIFF (OME, ImageJ, plain) with its axes, Zarr (OME-Zarr, plain), PNG, JPEG and what else scikit-image reads.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.lazy import LazyPlane
from napari_sam2refiner.planes.plane import PlaneIndex

TIFF = (".tif", ".tiff", ".lsm", ".stk")
ZARR = ".zarr"
LARGE = 2**24  # pixels of a plane of which no more is read than is wanted

Index = list[int | slice | list[int]]


class _Source(Protocol):
    """An nD image: its shape, the names of its axes (one letter each; may be none), and regions of it."""

    shape: tuple[int, ...]
    axes: str

    def region(self, index: Index) -> npt.NDArray[Any]:
        """Read a region: an int, a slice or a list of ints for each axis, at most one of which is a list."""

    def levels(self) -> list[Any]:
        """Return the image as an array that reads what it is indexed by, and smaller versions where there are any."""

    def close(self) -> None:
        """Let go of the file."""


class ImageFile:
    """An open image file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ReadError
        If the file is not there or not readable.
    InvalidImageError
        If it holds no plane.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._source = _open(path)
        except (MemoryError, ReadError):
            raise
        except Exception as error:  # a damaged file may fail anywhere in the decoder
            raise self._unreadable(error) from error
        self._shape = tuple(self._source.shape)
        names = self._source.axes
        if len(self._shape) < 2:
            self.close()
            msg = f"{path} has shape {self._shape}; give an image with rows and columns."
            raise InvalidImageError(msg)
        self._names = _named(names, len(self._shape))
        self._channel = next((self._names.index(name) for name in "SC" if name in self._names), None)

    def __enter__(self) -> Self:
        """Keep it open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    @property
    def steps(self) -> dict[int, tuple[str, int]]:
        """Name and size of the axes that planes are stacked along; a length of 1 is none."""
        return {
            axis: (name, size)
            for axis, (name, size) in enumerate(zip(self._names, self._shape, strict=True))
            if name not in "YX" and axis != self._channel and size > 1
        }

    def open(self, steps: Sequence[int] = (), channels: Sequence[int] = ()) -> npt.NDArray[Any] | LazyPlane:
        """Return the plane as `read` does, which see; a large one so that regions are read while the file is open.

        Several channels that are chosen among more are read whole in any case.
        """
        index = self._index(steps, channels)
        y, x = self._names.index("Y"), self._names.index("X")
        if self._shape[y] * self._shape[x] <= LARGE or any(isinstance(part, list) for part in index):
            return self.read(steps, channels)
        at = tuple(part if isinstance(part, int) else 0 for part in index)
        channel = self._channel if self._channel is not None and isinstance(index[self._channel], slice) else None
        try:
            return LazyPlane(self._source.levels(), PlaneIndex(at, (y, x), channel))
        except (MemoryError, InvalidImageError):
            raise
        except Exception as error:  # as above
            raise self._unreadable(error) from error

    def read(self, steps: Sequence[int] = (), channels: Sequence[int] = ()) -> npt.NDArray[Any]:
        """Return the plane (Y, X) or (Y, X, C) at these steps, one for each axis of `steps`.

        Raises
        ------
        ReadError
            If it cannot be read.
        InvalidImageError
            If steps or channels do not name a plane.
        """
        index = self._index(steps, channels)
        order = {"Y": self._names.index("Y"), "X": self._names.index("X"), "C": self._channel}
        try:
            plane = self._source.region(index)
        except MemoryError:
            raise
        except Exception as error:  # as above
            raise self._unreadable(error) from error
        left = [axis for axis, part in enumerate(index) if not isinstance(part, int)]
        return plane.transpose([left.index(axis) for axis in order.values() if axis in left])

    def _index(self, steps: Sequence[int], channels: Sequence[int]) -> Index:
        """Return what stands for the plane along each axis."""
        self._check_steps(steps)
        index: Index = [slice(None)] * len(self._shape)
        for axis, step in zip(self.steps, steps, strict=True):
            index[axis] = self._checked(axis, step)
        for axis, size in enumerate(self._shape):
            if size == 1 and self._names[axis] not in "YX":
                index[axis] = 0
        if channels:
            self._choose(index, channels)
        return index

    def _unreadable(self, error: Exception) -> ReadError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        kind = "Zarr array or OME-Zarr image" if self._path.suffix.lower() == ZARR else "TIFF, PNG or JPEG file"
        return ReadError(f"{self._path} cannot be read: {reason}; give a complete {kind}.")

    def _check_steps(self, steps: Sequence[int]) -> None:
        """Raise if there are more or fewer steps than axes that they are for."""
        if len(steps) != len(self.steps):
            sizes = ", ".join(f"{name} ({size})" for name, size in self.steps.values()) or "none"
            msg = (
                f"{self._path} has shape {self._shape} with axes {self._names} and got {len(steps)} plane indices; "
                f"give one for each of these: {sizes}."
            )
            raise InvalidImageError(msg)

    def _choose(self, index: Index, channels: Sequence[int]) -> None:
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


def _named(names: str, axes: int) -> str:
    """Return a letter for each axis, no two alike; without names the last two are the plane's, as in numpy."""
    if len(names) != axes or not {"X", "Y"} <= set(names):
        names = names[: axes - 2].replace("X", "Q").replace("Y", "Q").ljust(axes - 2, "Q") + "YX"
    free = (letter for letter in "QRUVWABDE" if letter not in names)
    letters: list[str] = []
    for name in names:
        letters.append(next(free) if name in letters else name)
    return "".join(letters)


def _open(path: Path) -> _Source:
    """Open a file by what its name says that it is."""
    if path.suffix.lower() in TIFF:
        return _Tiff(path)
    return _Zarr(path) if path.suffix.lower() == ZARR else _Picture(path)


class _Picture:
    """A file of scikit-image's readers."""

    def __init__(self, path: Path) -> None:
        from skimage.io import imread

        # From memory: with a path, the reader leaves a file that it cannot read open.
        pixels = np.asarray(imread(io.BytesIO(path.read_bytes())))
        # Grey with transparency; colours keep theirs, which `intensity` understands.
        self._pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 2 else pixels
        self.shape = self._pixels.shape
        self.axes = {2: "YX", 3: "YXS", 4: "TYXS"}.get(pixels.ndim, "")[: self._pixels.ndim]

    def region(self, index: Index) -> npt.NDArray[Any]:
        part: npt.NDArray[Any] = self._pixels[tuple(index)]
        return part

    def levels(self) -> list[Any]:
        return [self._pixels]

    def close(self) -> None:
        """Nothing is open."""


class _Tiff:
    """The first series of a TIFF file."""

    def __init__(self, path: Path) -> None:
        self._file = tifffile.TiffFile(path)
        try:
            self._series = self._file.series[0]
        except BaseException:
            self._file.close()
            raise
        self.shape = tuple(self._series.shape)
        self.axes = str(self._series.axes)

    def region(self, index: Index) -> npt.NDArray[Any]:
        """Read only the pages of a region where each page is one plane of the stack."""
        pages: Any = self._series.pages
        inner = tuple(pages[0].shape)
        ahead = len(self.shape) - len(inner)
        if ahead < 1 or len(pages) != math.prod(self.shape[:ahead]) or self.shape[ahead:] != inner:
            return np.array(self._whole()[tuple(index)])
        wanted = np.arange(len(pages)).reshape(self.shape[:ahead])[tuple(index[:ahead])]
        read = np.stack([pages[int(number)].asarray() for number in wanted.ravel()])
        return read[(slice(None), *index[ahead:])].reshape(*wanted.shape, *read[0][tuple(index[ahead:])].shape)

    def _whole(self) -> npt.NDArray[Any]:
        """Return all of it; from the disk as it is used, where it lies there in one piece (ImageJ's large stacks)."""
        if self._series.dataoffset is None:
            whole: npt.NDArray[Any] = self._series.asarray()
            return whole
        dtype = self._series.dtype.newbyteorder(self._file.byteorder)
        return self._file.filehandle.memmap_array(dtype, self.shape, self._series.dataoffset)

    def levels(self) -> list[Any]:
        if self._series.dataoffset is not None:
            return [self._whole()]
        import zarr

        return [zarr.open(self._series.aszarr(level=n), mode="r") for n in range(len(self._series.levels))]

    def close(self) -> None:
        self._file.close()


class _Zarr:
    """A Zarr array, or the first of an OME-Zarr image's scales."""

    def __init__(self, path: Path) -> None:
        import zarr

        opened: Any = zarr.open(path, mode="r")
        self.axes = ""
        self._levels: list[Any] = [opened]
        if isinstance(opened, zarr.Group):
            about: Any = opened.attrs.get("ome", opened.attrs)
            image = about["multiscales"][0]
            # Version 0.3 of the format has plain names here.
            names = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", [])]
            self.axes = "".join(name[0] for name in names).upper()
            self._levels = [opened[one["path"]] for one in image["datasets"]]
            opened = self._levels[0]
        elif opened.metadata.zarr_format == 3:
            self.axes = "".join((name or "Q")[0] for name in opened.metadata.dimension_names or ()).upper()
        self._array: Any = opened
        self.shape = tuple(opened.shape)

    def region(self, index: Index) -> npt.NDArray[Any]:
        return np.asarray(self._array.oindex[tuple(index)])

    def levels(self) -> list[Any]:
        return self._levels

    def close(self) -> None:
        """Nothing stays open."""
