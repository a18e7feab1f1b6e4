"""Where the planes of an image come from: one array, or several looked at together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_sam2refiner.planes.channels import ComposedPlane, Limits
from napari_sam2refiner.planes.lazy import LazyPlane

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """Planes of an array; a new source for each change of the pixels.

    Attributes
    ----------
    array : array
    levels : tuple of array
        Of a pyramid, all of its levels, the array first.
    limits : (float, float) or None
        The intensities that become black and white; percentiles of each plane where that is None.
    """

    array: Any
    levels: tuple[Any, ...] = ()
    limits: Limits | None = None

    @property
    def key(self) -> Hashable:
        """The source itself."""
        return self

    def read(self, plane: PlaneIndex) -> npt.NDArray[Any]:
        """Return a plane; of a lazy array nothing else is computed."""
        return plane.get(self.array)

    def open(self, plane: PlaneIndex) -> LazyPlane:
        """Return a plane of which regions are read when they are wanted."""
        return LazyPlane(self.levels or (self.array,), plane)


@dataclass(frozen=True, slots=True, eq=False)
class ComposedSource:
    """Planes of arrays of one shape, looked at together as channels; a new source for each change of any.

    Attributes
    ----------
    channels : tuple of ArraySource
        Two or three of one channel each, with the limits of each.
    """

    channels: tuple[ArraySource, ...]

    @property
    def key(self) -> Hashable:
        """The source itself."""
        return self

    @property
    def limits(self) -> Limits:
        """0 and 1, which each channel is brought between before."""
        return 0.0, 1.0

    def read(self, plane: PlaneIndex) -> npt.NDArray[Any]:
        """Return a plane (Y, X, C); of lazy arrays nothing else is computed."""
        return self.open(plane).whole()

    def open(self, plane: PlaneIndex) -> ComposedPlane:
        """Return a plane of which regions are read when they are wanted."""
        return ComposedPlane([one.open(plane) for one in self.channels], [one.limits for one in self.channels])
