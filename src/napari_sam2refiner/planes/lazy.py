"""A plane that may be larger than memory: read region by region, from the coarsest level of a pyramid that will do.

Letters: Y, X rows and columns of the plane; C channels; k plane pixels along a cell.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.intensity import check_kind, limits
from napari_sam2refiner.planes.plane import PlaneIndex

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Window

BLOCK = 2048  # plane pixels along the side of what is read at once, at most
SAMPLES = 10  # blocks along each axis that the intensities are sampled in
SAMPLE = 128  # pixels along the side of such a block


class RegionPlane(ABC):
    """A plane, (Y, X) or (Y, X, C), of which regions are read when they are asked for.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    @abstractmethod
    def is_in_memory(self) -> bool:
        """Whether all of it is in memory already."""

    @abstractmethod
    def __getitem__(self, window: Window) -> npt.NDArray[Any]:
        """Read rows and columns."""

    @abstractmethod
    def whole(self) -> npt.NDArray[Any]:
        """Read all of it."""

    @abstractmethod
    def coarsest(self, scale: int) -> int:
        """Return how many plane pixels a pixel has of what `reduced` reads at a scale."""

    @abstractmethod
    def reduced(self, window: Window, scale: int) -> npt.NDArray[Any]:
        """Return a part of the plane in cells of `scale` x `scale` pixels, each their mean."""

    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Return the intensities that become black and white."""


class LazyPlane(RegionPlane):
    """One plane of an nD array, of which regions are read when they are asked for.

    Parameters
    ----------
    levels : sequence of array
        The array (numpy, dask, zarr, h5py, a memory map: anything with `shape`, `dtype` and basic indexing), and
        smaller versions of it, if there are any, in the order of a pyramid.
    index : PlaneIndex, optional
        Which plane; by default the only one of arrays (Y, X) or (Y, X, C).

    Raises
    ------
    InvalidImageError
        If these have no such plane.
    """

    def __init__(self, levels: Sequence[Any], index: PlaneIndex | None = None) -> None:
        self._levels = tuple(levels)
        finest = self._levels[0]
        if index is None:
            index = PlaneIndex((0,) * finest.ndim, (0, 1), 2 if finest.ndim == 3 else None)
        self._index = index
        rows, columns = index.shape(finest)
        channels = () if index.channel_axis is None else (int(finest.shape[index.channel_axis]),)
        self.shape = (int(rows), int(columns), *channels)
        self.dtype = np.dtype(finest.dtype)
        self._channels = check_kind(self.shape, self.dtype)
        self._factors = _factors([self._index_on(level).shape(array) for level, array in enumerate(self._levels)])

    @classmethod
    def of(cls, image: Any) -> RegionPlane | None:
        """Return an image as one: an array (Y, X) or (Y, X, C), or the levels of its pyramid; None for other things."""
        if isinstance(image, RegionPlane):
            return image
        levels = image if isinstance(image, (list, tuple)) else [image]
        known = bool(len(levels)) and all(hasattr(level, "shape") and hasattr(level, "dtype") for level in levels)
        if not known or not 2 <= len(levels[0].shape) <= 3:
            return None
        heights = [level.shape[0] for level in levels]
        return cls(levels) if all(a > b for a, b in itertools.pairwise(heights)) else None

    @property
    def is_in_memory(self) -> bool:
        """Whether all of it is in memory already."""
        return isinstance(self._levels[0], np.ndarray) and not isinstance(self._levels[0], np.memmap)

    def __getitem__(self, window: Window) -> npt.NDArray[Any]:
        """Read rows and columns, without alpha channel."""
        return self._read(0, window)

    def whole(self) -> npt.NDArray[Any]:
        """Read all of it."""
        return self._index.get(self._levels[0])

    def coarsest(self, scale: int) -> int:
        """Return how many plane pixels a pixel has of what `reduced` reads at a scale."""
        return max(factor for factor in self._factors if scale % factor == 0)

    def reduced(self, window: Window, scale: int) -> npt.NDArray[Any]:
        """Return a part of the plane in cells of `scale` x `scale` pixels, each their mean; as it is where that is 1.

        No more than `BLOCK` x `BLOCK` pixels, or one cell, are read at once.

        Parameters
        ----------
        window : (slice, slice)
            Rows and columns, with start and stop; the starts are multiples of the scale.
        scale : int
            k.
        """
        if scale == 1:
            return self[window]
        factor = self.coarsest(scale)
        times = scale // factor  # pixels of that level along a cell
        rows, columns = (-(-(part.stop - part.start) // scale) for part in window)
        channels = () if len(self.shape) == 2 else (self._channels,)
        out = np.empty((rows, columns, *channels), np.float32)
        step = max(1, BLOCK // times)
        first = [part.start // scale for part in window]
        for at in _blocks((rows, columns), step):
            y, x = (
                slice((begin + part.start) * times, (begin + part.stop) * times)
                for begin, part in zip(first, at, strict=True)
            )
            pixels = self._read(self._factors[factor], (y, x))
            out[at] = _means(pixels, times, (at[0].stop - at[0].start, at[1].stop - at[1].start))
        return out

    def limits(self) -> tuple[float, float]:
        """Return the intensities that become black and white, as `intensity.limits` does.

        Of a plane that is not in memory only some blocks are looked at, spread evenly; each within one chunk where
        chunks are known.
        """
        if self.is_in_memory:
            return limits(self.whole())
        axes = (self._index.displayed[0], self._index.displayed[1])
        chunks = _chunks(self._levels[0], axes)
        starts = [_spread(n, chunk) for n, chunk in zip(self.shape[:2], chunks, strict=True)]
        found = [
            self[slice(y, y + SAMPLE), slice(x, x + SAMPLE)].ravel() for y, x in itertools.product(starts[0], starts[1])
        ]
        low, high = limits(np.concatenate(found)[None])
        if low == high and self.dtype.kind in "iu":  # there is nothing in the sample
            return 0.0, float(np.iinfo(self.dtype).max)
        return low, high

    def _index_on(self, level: int) -> PlaneIndex:
        """Return the plane of a level; its other axes may be shorter, too."""
        index = self._index
        sizes = zip(index.steps, self._levels[level].shape, self._levels[0].shape, strict=True)
        steps = tuple(step * size // whole if whole else step for step, size, whole in sizes)
        return PlaneIndex(steps, index.displayed, index.channel_axis)

    def _read(self, level: int, window: Window) -> npt.NDArray[Any]:
        array, index = self._levels[level], self._index_on(level)
        # A level may end a pixel before the plane does.
        last = [n - 1 for n in index.shape(array)]
        rows, columns = (slice(min(part.start, n), part.stop) for part, n in zip(window, last, strict=True))
        pixels = index.get(array, (rows, columns))
        return pixels[..., : self._channels] if pixels.ndim == 3 else pixels


def _factors(shapes: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return the level by how many plane pixels along its pixels have, where that is a whole number both ways."""
    found = {}
    for level, shape in enumerate(shapes):
        factor = round(shapes[0][0] / shape[0])
        if all(n // factor <= m <= -(-n // factor) for n, m in zip(shapes[0], shape, strict=True)):
            found[factor] = level
    return found


def _blocks(shape: tuple[int, int], step: int) -> Iterator[Window]:
    """Give the windows of at most `step` x `step` that make up a plane."""
    for y in range(0, shape[0], step):
        for x in range(0, shape[1], step):
            yield slice(y, min(y + step, shape[0])), slice(x, min(x + step, shape[1]))


def _means(pixels: npt.NDArray[Any], times: int, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return means of `times` x `times` pixels, as many as the shape says; the last ones may have fewer."""
    missing = [n * times - m for n, m in zip(shape, pixels.shape, strict=False)]
    if any(missing):
        pad = [(0, n) for n in missing] + [(0, 0)] * (pixels.ndim - 2)
        pixels = np.pad(pixels, pad, mode="edge")
    if times == 1:
        return pixels.astype(np.float32)
    cells = pixels.reshape(shape[0], times, shape[1], times, *pixels.shape[2:])
    means: npt.NDArray[np.float32] = cells.mean((1, 3), dtype=np.float32)
    return means


def _chunks(array: Any, axes: tuple[int, int]) -> tuple[int, int]:
    """Return the size of an array's chunks along two axes; 1 where it has none."""
    chunks: Any = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if chunks is None or not all(isinstance(n, int) for n in chunks):
        return 1, 1
    return chunks[axes[0]], chunks[axes[1]]


def _spread(length: int, chunk: int) -> list[int]:
    """Return where sampled blocks begin along an axis; at the beginnings of chunks where these are larger."""
    if length <= SAMPLE * SAMPLES:
        return list(range(0, length, SAMPLE))
    places = np.linspace(0, length - SAMPLE, SAMPLES).astype(int).tolist()
    if chunk > SAMPLE:
        places = [min(place, max(place // chunk * chunk, (place // chunk + 1) * chunk - SAMPLE)) for place in places]
    return sorted(set(places))
