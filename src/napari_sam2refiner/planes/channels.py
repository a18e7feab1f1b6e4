"""Several planes of one shape as the channels of one, each between its own black and white; read region by region.

Letters: Y, X rows and columns of the plane; C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError
from napari_sam2refiner.planes.intensity import limits as limits_of
from napari_sam2refiner.planes.intensity import mapped
from napari_sam2refiner.planes.lazy import RegionPlane

if TYPE_CHECKING:
    from napari_sam2refiner.planes.lazy import LazyPlane
    from napari_sam2refiner.planes.region import Window

Limits = tuple[float, float]
MOST_CHANNELS = 3


class ComposedPlane(RegionPlane):
    """Planes of one channel each, looked at together, (Y, X, C) from 0 to 1: a dim one counts as much as a bright one.

    NaN and infinities become NaN, for `intensity.rescale` to deal with.

    Parameters
    ----------
    channels : sequence of LazyPlane
        Two or three, (Y, X) each.
    limits : sequence of (float, float) or None
        The intensities of each channel that become 0 and 1; percentiles of it where that is None, found when it is
        first read.

    Raises
    ------
    InvalidImageError
        If these are no channels of one plane.
    """

    def __init__(self, channels: Sequence[LazyPlane], limits: Sequence[Limits | None]) -> None:
        shapes = [channel.shape for channel in channels]
        if not 2 <= len(channels) <= MOST_CHANNELS or len(set(shapes)) > 1 or len(shapes[0]) > 2:
            msg = f"the channels have shapes {shapes}; give two or three planes of one shape (Y, X)."
            raise InvalidImageError(msg)
        self._channels = tuple(channels)
        self._limits = list(limits)
        self.shape = (*shapes[0], len(shapes))
        self.dtype = np.dtype(np.float32)

    @property
    def is_in_memory(self) -> bool:
        """Whether all of it is in memory already."""
        return all(channel.is_in_memory for channel in self._channels)

    def __getitem__(self, window: Window) -> npt.NDArray[np.float32]:
        """Read rows and columns."""
        return self._composed([channel[window] for channel in self._channels])

    def whole(self) -> npt.NDArray[np.float32]:
        """Read all of it; percentiles that are not known yet are those of all pixels."""
        pixels = [channel.whole() for channel in self._channels]
        for i, found in enumerate(self._limits):
            self._limits[i] = found or limits_of(pixels[i])
        return self._composed(pixels)

    def coarsest(self, scale: int) -> int:
        """Return how many plane pixels a pixel has of what `reduced` reads at a scale, of the finest channel."""
        return min(channel.coarsest(scale) for channel in self._channels)

    def reduced(self, window: Window, scale: int) -> npt.NDArray[np.float32]:
        """Return a part of the plane in cells, as `LazyPlane.reduced` does: means that are mapped to 0 to 1."""
        return self._composed([channel.reduced(window, scale) for channel in self._channels])

    def limits(self) -> Limits:
        """Return 0 and 1, which each channel lies between."""
        return 0.0, 1.0

    def _composed(self, pixels: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Return pixels of each channel as (Y, X, C), each between its own limits."""
        out = np.empty((*pixels[0].shape, len(pixels)), np.float32)
        for i, values in enumerate(pixels):
            low, high = self._limits[i] or self._channels[i].limits()
            self._limits[i] = low, high
            out[..., i] = mapped(values, low, high)
            if values.dtype.kind == "f":
                out[..., i][~np.isfinite(values)] = np.nan
        return out
