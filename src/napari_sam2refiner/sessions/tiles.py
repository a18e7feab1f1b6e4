"""Tiles of a plane larger than the network's square, at a power-of-two scale; no torch here.

Letters: Y, X rows and columns of the plane; k plane pixels along a cell of a tile; H, W rows and columns of the tile.

Tiles of one scale lie on a grid with half a tile between neighbours, so that an object of up to half a tile lies wholly
in the one it is nearest to the middle of, and clicks side by side share theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.region import Part, Window
from napari_sam2refiner.prompts import Prompts

Corners = npt.NDArray[np.float64]


class Tile(NamedTuple):
    """A part of a plane, seen in cells of `scale` x `scale` pixels.

    Attributes
    ----------
    scale : int
        k.
    top, left : int
        First row and column of the plane; multiples of the scale.
    height, width : int
        How many it has of each; the last cells may have fewer pixels.
    """

    scale: int
    top: int
    left: int
    height: int
    width: int

    @property
    def window(self) -> Window:
        """Rows and columns of the plane that it shows."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def cells(self) -> tuple[int, int]:
        """H and W."""
        return -(-self.height // self.scale), -(-self.width // self.scale)

    def to_cells(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Plane (..., 2) as (y, x) to the same in cells."""
        return (places - (self.top, self.left) + 0.5) / self.scale - 0.5

    def to_plane(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Cells (..., 2) to plane pixels."""
        return (places + 0.5) * self.scale - 0.5 + (self.top, self.left)

    def holds(self, corners: Corners) -> bool:
        """Return whether all corners (N, 2) lie in it."""
        end = (self.top + self.height - 0.5, self.left + self.width - 0.5)
        return bool(((corners >= np.array([self.top, self.left]) - 0.5) & (corners <= np.array(end))).all())

    def prompts(self, prompts: Prompts) -> Prompts:
        """Return prompts of the plane as this tile sees them; points outside are left out, boxes are cut."""
        start, stop = np.array([self.top, self.left]), np.array([self.top + self.height, self.left + self.width])
        inside = ((prompts.points >= start - 0.5) & (prompts.points <= stop - 0.5)).all(1)
        first, last = np.maximum(prompts.boxes[:, :2], start - 0.5), np.minimum(prompts.boxes[:, 2:], stop - 0.5)
        kept = (first < last).all(1)
        boxes = np.concatenate([self.to_cells(first), self.to_cells(last)], 1)[kept]
        mask = None if prompts.area is None else self._mask(Part.of(prompts.area))
        return Prompts(self.to_cells(prompts.points[inside]), prompts.labels[inside], boxes, mask)

    def _mask(self, part: Part) -> npt.NDArray[np.bool_] | None:
        """Return a mask of the plane in cells, those that it fills by half, else touches; None if there are none."""
        if self.scale == 1:
            mask = part.within(self.window)
            return mask if mask.any() else None
        share = np.zeros(self.cells, np.float32)
        # Only around the mask: the tile may be the whole plane.
        first = [max(0, (p.start - n) // self.scale) for p, n in zip(part.window, self[1:3], strict=True)]
        last = [
            min(cells, -(-(p.stop - n) // self.scale))
            for p, n, cells in zip(part.window, self[1:3], self.cells, strict=True)
        ]
        if first[0] >= last[0] or first[1] >= last[1]:
            return None
        rows, columns = (
            slice(n + a * self.scale, n + b * self.scale) for n, a, b in zip(self[1:3], first, last, strict=True)
        )
        there = part.within((rows, columns))
        shape = (last[0] - first[0], self.scale, last[1] - first[1], self.scale)
        share[first[0] : last[0], first[1] : last[1]] = there.reshape(shape).mean((1, 3), dtype=np.float32)
        mask = share >= 0.5
        mask = mask if mask.any() else share > 0
        return mask if mask.any() else None


def tile_at(middle: Sequence[float], scale: int, side: int, shape: tuple[int, int]) -> Tile:
    """Return the tile of a scale, `side` cells long, whose middle is nearest to a place of a plane."""
    starts, sizes = [], []
    for place, length in zip(middle, shape, strict=True):
        cells = -(-length // scale)
        step = side / 2
        start = round(round(((place + 0.5) / scale - side / 2) / step) * step)
        start = max(0, min(start, cells - side))
        starts.append(start * scale)
        sizes.append(min(side * scale, length - start * scale))
    return Tile(scale, starts[0], starts[1], sizes[0], sizes[1])


def scale_for(size: float, cells: float) -> int:
    """Return the smallest scale, a power of two, at which something takes up no more than so many cells."""
    return int(2 ** max(0, math.ceil(math.log2(max(size, 1.0) / cells))))


def scale_of_view(shown: Sequence[float], side: int) -> int:
    """Return the scale at which a tile shows between half of what is on the screen and all of it; at least 1."""
    return int(2 ** max(0, math.floor(math.log2(max(max(shown), 1.0) / side))))


def largest_scale(side: int, shape: tuple[int, int]) -> int:
    """Return the smallest scale at which one tile shows the whole plane."""
    return scale_for(max(shape), side)


def touches_edge(mask: npt.NDArray[np.bool_], tile: Tile, shape: tuple[int, int]) -> bool:
    """Return whether a mask of a tile (H, W) reaches an edge beyond which the plane goes on."""
    edges = (
        (tile.top > 0, mask[0]),
        (tile.left > 0, mask[:, 0]),
        (tile.top + tile.height < shape[0], mask[-1]),
        (tile.left + tile.width < shape[1], mask[:, -1]),
    )
    return any(goes_on and bool(edge.any()) for goes_on, edge in edges)


def corners_of(prompts: Prompts, known: Part | None = None) -> Corners:
    """Return corners (N, 2) of what positive prompts, and a mask that is known, take up."""
    points = prompts.points[prompts.labels]
    corners = [points - 0.5, points + 0.5, prompts.boxes[:, :2], prompts.boxes[:, 2:]]
    parts = [] if prompts.area is None else [Part.of(prompts.area)]
    for part in [*parts, *([] if known is None else [known])]:
        if part.pixels.size:
            corners.append(np.array([[s.start, s.stop] for s in part.window]).T - 0.5)
    return np.concatenate(corners)
