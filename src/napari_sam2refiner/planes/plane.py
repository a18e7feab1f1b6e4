"""One plane of an nD array that may lie in memory, on disk or behind dask; nothing else of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError, ReadError

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Window

MOST_DIMENSIONS = 5


@dataclass(frozen=True, slots=True)
class PlaneIndex:
    """Which plane of an array: the axes that span it and the steps along the others.

    Parameters
    ----------
    steps : tuple of int
        One index for each axis of the array; those of the plane's own axes do not matter.
    displayed : (int, int)
        The axes of the plane's rows and columns; a larger axis first means a transposed plane.
    channel_axis : int, optional
        The axis of the channels, which become the plane's last axis. RGB images have `displayed=(0, 1)` and
        `channel_axis=2`.
    """

    steps: tuple[int, ...]
    displayed: tuple[int, int] = (-2, -1)
    channel_axis: int | None = None

    def get(self, array: Any, window: Window | None = None) -> npt.NDArray[Any]:
        """Return the plane; of a numpy array, a view.

        Parameters
        ----------
        array : array
            numpy, dask, zarr, h5py or a memory map: anything with `shape`, `dtype` and basic indexing.
        window : (slice, slice), optional
            Rows and columns of the plane to read; all of them when left out.

        Returns
        -------
        (Y, X) or (Y, X, C) array

        Raises
        ------
        InvalidImageError
            If the array has no such plane.
        ReadError
            If this plane cannot be read; the message has its steps.
        """
        axes = self._axes(array)
        try:
            plane = np.asarray(array[self._key(axes, array.ndim, window)])
        except MemoryError:
            raise
        except Exception as error:  # readers behind lazy arrays raise whatever they like
            msg = f"the plane at {self.steps} cannot be read: {error}; check the file it comes from."
            raise ReadError(msg) from error
        return plane.transpose(np.argsort(np.argsort(axes)))

    def put(self, array: Any, plane: npt.NDArray[Any]) -> None:
        """Write the plane into a writable array.

        Parameters
        ----------
        array : array
            As for `get`, with basic assignment.
        plane : (Y, X) or (Y, X, C) array
            As `get` returns it.

        Raises
        ------
        InvalidImageError
            If the array has no such plane, or one of another shape.
        """
        axes = self._axes(array)
        shape = tuple(array.shape[axis] for axis in axes)
        if plane.shape != shape:
            msg = f"the plane has shape {plane.shape} but the array's planes have {shape}; they must agree."
            raise InvalidImageError(msg)
        array[self._key(axes, array.ndim)] = plane.transpose(np.argsort(axes))

    def shape(self, array: Any) -> tuple[int, int]:
        """Return rows and columns of the plane, without reading it."""
        rows, columns = self._axes(array)[:2]
        return array.shape[rows], array.shape[columns]

    def window(self, array: Any) -> Window:
        """Return rows and columns of all of the plane."""
        rows, columns = self.shape(array)
        return slice(0, rows), slice(0, columns)

    def block(self, window: Window) -> tuple[slice, ...]:
        """Return where a window of the plane is in an array without channels: one slice for each axis."""
        parts = [slice(step, step + 1) for step in self.steps]
        for axis, part in zip(self.displayed, window, strict=True):
            parts[axis] = part
        return tuple(parts)

    def _axes(self, array: Any) -> tuple[int, ...]:
        """Return the axes of rows, columns and channels, counted from the front, after checking that all fits."""
        seen = f"the array has shape {tuple(array.shape)} and dtype {array.dtype}"
        if not 2 <= array.ndim <= MOST_DIMENSIONS:
            msg = f"{seen}; give two to {MOST_DIMENSIONS} dimensions."
            raise InvalidImageError(msg)
        wanted = self.displayed if self.channel_axis is None else (*self.displayed, self.channel_axis)
        axes = tuple(axis + array.ndim if axis < 0 else axis for axis in wanted)
        if len(set(axes)) < len(axes) or not all(0 <= axis < array.ndim for axis in axes):
            msg = f"{seen}, which has no plane on axes {wanted}; give different axes of the array."
            raise InvalidImageError(msg)
        if len(self.steps) != array.ndim:
            msg = f"{seen} but there are {len(self.steps)} steps; give one for each axis."
            raise InvalidImageError(msg)
        for axis, (step, size) in enumerate(zip(self.steps, array.shape, strict=True)):
            if axis not in axes and not 0 <= step < size:
                msg = f"{seen}, which has no step {step} on axis {axis}; choose from 0 to {size - 1}."
                raise InvalidImageError(msg)
        return axes

    def _key(self, axes: tuple[int, ...], ndim: int, window: Window | None = None) -> tuple[int | slice, ...]:
        parts = dict(zip(axes[:2], window or (slice(None), slice(None)), strict=True))
        return tuple(parts.get(axis, slice(None)) if axis in axes else int(self.steps[axis]) for axis in range(ndim))
