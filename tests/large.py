"""Planes that are drawn where they are read, and cannot be read whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

PITCH = 100  # pixels from one nucleus to the next
MOST = 2**22 + 1  # pixels that may be read at once


class DrawnNuclei:
    """Bright nuclei on a dark noisy ground, one on each square of a grid; whoever reads too much of it fails."""

    def __init__(self, shape: tuple[int, int] = (20_000, 20_000), most: int = MOST, zoom: int = 1) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.uint16), 2
        self.most, self.zoom = most, zoom
        self.read = 0  # pixels so far

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        msg = "the whole plane was read"
        raise AssertionError(msg)

    def __getitem__(self, key: tuple[slice, slice]) -> npt.NDArray[np.uint16]:
        (y0, y1, _), (x0, x1, _) = (part.indices(n) for part, n in zip(key, self.shape, strict=True))
        size = (y1 - y0) * (x1 - x0)
        self.read += size
        if size > self.most:
            msg = f"{key} was read at once"
            raise AssertionError(msg)
        # The same noise wherever a pixel is read from.
        rows, columns = np.arange(y0, y1)[:, None], np.arange(x0, x1)[None]
        image = 200 + 20 * np.sin(rows * 12.9898 + columns * 78.233) * np.sin(rows * 3.7 - columns * 9.1)
        for place in self._places((slice(y0, y1), slice(x0, x1))):
            window, distance = self._nucleus(place, (slice(y0, y1), slice(x0, x1)))
            image[window] += 1500 / (1 + np.exp((distance - 1) * 12))
        return image.astype(np.uint16)

    def middle(self, place: tuple[int, int]) -> tuple[float, float]:
        """Return the middle of the nucleus on a square of the grid."""
        y, x, *_ = self._about(place)
        return y, x

    def truth(self, place: tuple[int, int], window: tuple[slice, slice]) -> npt.NDArray[np.bool_]:
        """Return the nucleus of a square of the grid in a window of the plane."""
        mask = np.zeros([part.stop - part.start for part in window], bool)
        at, distance = self._nucleus(place, window)
        mask[at] = distance <= 1
        return mask

    def _about(self, place: tuple[int, int]) -> tuple[float, float, float, float, float]:
        """Return middle, radii and angle of a nucleus."""
        draw = np.random.default_rng((7, *place))
        pitch = PITCH * self.zoom
        y, x = (np.array(place) + 0.5 + draw.uniform(-0.12, 0.12, 2)) * pitch
        a, b = draw.uniform(0.18, 0.3, 2) * pitch
        return float(y), float(x), float(a), float(b), float(draw.uniform(0, np.pi))

    def _places(self, window: tuple[slice, slice]) -> list[tuple[int, int]]:
        pitch = PITCH * self.zoom
        rows, columns = (range(part.start // pitch, -(-part.stop // pitch)) for part in window)
        return [(row, column) for row in rows for column in columns]

    def _nucleus(
        self, place: tuple[int, int], window: tuple[slice, slice]
    ) -> tuple[tuple[slice, slice], npt.NDArray[np.float64]]:
        """Return where the square of a nucleus is in a window, and how far its pixels are from it, 1 on the outline."""
        y, x, a, b, angle = self._about(place)
        pitch = PITCH * self.zoom
        starts = [max(0, n * pitch - part.start) for n, part in zip(place, window, strict=True)]
        stops = [min(part.stop, (n + 1) * pitch) - part.start for n, part in zip(place, window, strict=True)]
        rows = np.arange(starts[0], stops[0])[:, None] + window[0].start - y
        columns = np.arange(starts[1], stops[1])[None] + window[1].start - x
        along, across = rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)
        at = (slice(starts[0], max(starts[0], stops[0])), slice(starts[1], max(starts[1], stops[1])))
        return at, np.hypot(along / a, across / b)
