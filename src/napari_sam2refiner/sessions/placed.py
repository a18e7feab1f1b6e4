"""Answers that know a tile of a large plane: they take memory for their object, not for the plane; no torch here.

Letters: Y, X rows and columns of the plane; H, W those of the tile, in cells of k x k plane pixels.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.planes.region import NOWHERE, Part, Window, bounding_window
from napari_sam2refiner.sessions.base import Candidate, Prediction
from napari_sam2refiner.sessions.tiles import Tile

Logits = npt.NDArray[np.float32]

OUTSIDE = -10.0  # logit of what is not in the tile
ROWS_AT_ONCE = 2**22  # pixels of a mask that are drawn at once


class _OnTile:
    """Logits of a tile, as they are on the plane."""

    tile: Tile
    on_tile: Logits
    score: float
    _shape: tuple[int, int]

    def __repr__(self) -> str:
        """Show no mask: it would be drawn on the whole plane."""
        return f"{type(self).__name__}(shape={self.shape}, tile={self.tile}, score={self.score:.3f})"

    @property
    def shape(self) -> tuple[int, int]:
        """Y and X."""
        return self._shape

    @cached_property
    def part(self) -> Part:
        """The mask, cut to its object."""
        cells = bounding_window(self.on_tile > 0)
        if cells is None:
            return Part.nothing(self.shape)
        window = _around(cells, self.tile)
        pixels = np.empty([part.stop - part.start for part in window], np.bool_)
        step = max(1, ROWS_AT_ONCE // pixels.shape[1])
        for first in range(0, len(pixels), step):
            rows = slice(window[0].start + first, min(window[0].start + first + step, window[0].stop))
            pixels[first : first + step] = on_plane(self.on_tile, self.tile, (rows, window[1])) > 0
        return Part(self.shape, window, pixels).tight()

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask of the whole plane (Y, X), drawn at each call; `part` is smaller."""
        return self.part.whole()

    @property
    def logits(self) -> Logits:
        """The logits of the whole plane (Y, X), drawn at each call; -10 outside the tile."""
        whole = np.full(self.shape, OUTSIDE, np.float32)
        whole[self.tile.window] = on_plane(self.on_tile, self.tile, self.tile.window)
        return whole

    def logits_in(self, window: Window) -> Logits:
        """Return the logits of a window of the plane that lies in the tile, or is empty."""
        return on_plane(self.on_tile, self.tile, window) if window != NOWHERE else np.zeros((0, 0), np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return self.on_tile.nbytes + (self.part.pixels.nbytes if "part" in self.__dict__ else 0)


class PlacedCandidate(_OnTile, Candidate):
    """One of the masks that a first click on a large plane may mean.

    Parameters
    ----------
    look : Candidate
        Of the tile.
    tile : Tile
    shape : (int, int)
        Y and X.
    """

    def __init__(self, look: Candidate, tile: Tile, shape: tuple[int, int]) -> None:
        _set(self, on_tile=look.logits, tile=tile, _shape=shape, score=look.score, memo=look.memo)


class PlacedPrediction(_OnTile, Prediction):
    """The answer to one object's prompts on a large plane.

    `mask`, `logits` and the rest are those of the plane, as of any prediction; `part` is the mask cut to its object.

    Parameters
    ----------
    look : Prediction
        Of the tile.
    tile : Tile
    shape : (int, int)
        Y and X.
    """

    look: Prediction

    def __init__(self, look: Prediction, tile: Tile, shape: tuple[int, int]) -> None:
        found = tuple(PlacedCandidate(one, tile, shape) for one in look.candidates)
        _set(self, look=look, on_tile=look.logits, tile=tile, _shape=shape)
        _set(self, score=look.score, candidates=found, memo=look.memo)

    @classmethod
    def of(
        cls, part: Part, score: float, *, logits: Logits | None = None, memo: Any = None, is_choice: bool = True
    ) -> PlacedPrediction:
        """Return a mask that is known as if it had been answered.

        Parameters
        ----------
        part : Part
        score : float
        logits : (H, W) array, optional
            Of the part's window; 10 inside the mask and -10 outside by default.
        memo : object
            What a session needs to go on from it.
        is_choice : bool
            Whether it is its own only candidate; else, there is none.
        """
        if logits is None:
            logits = np.where(part.pixels, np.float32(-OUTSIDE), np.float32(OUTSIDE))
        known = (Candidate(part.pixels, logits, score, memo),) if is_choice else ()
        rows, columns = part.window
        tile = Tile(1, rows.start, columns.start, *part.pixels.shape)
        return cls(Prediction(part.pixels, logits, score, known, memo), tile, part.shape)

    def choose(self, index: int) -> PlacedPrediction:
        """Return the prediction with candidate `index` as its mask; `previous=` goes on from that one."""
        look = self.look.choose(index)
        if look.logits is self.on_tile:
            return self
        chosen = PlacedPrediction(look, self.tile, self.shape)
        _set(chosen, candidates=self.candidates)  # with what is known of them
        return chosen


def on_plane(logits: Logits, tile: Tile, window: Window) -> Logits:
    """Return a tile's logits (H, W) in a window of the plane that lies in it; bilinear between the cells' middles."""
    start = (tile.top, tile.left)
    if tile.scale == 1:
        rows, columns = (slice(part.start - n, part.stop - n) for part, n in zip(window, start, strict=True))
        return logits[rows, columns]
    for axis, (part, n) in enumerate(zip(window, start, strict=True)):
        at = (np.arange(part.start, part.stop) - n + 0.5) / tile.scale - 0.5
        logits = _interpolated(logits, np.clip(at, 0, logits.shape[axis] - 1), axis)
    return logits


def seen_on(answer: Prediction | None, tile: Tile) -> Prediction | None:
    """Return an answer of the plane as one of a tile, to go on from there."""
    if answer is None:
        return None
    if isinstance(answer, PlacedPrediction):
        if not answer.on_tile.size:
            nothing = np.full(tile.cells, OUTSIDE, np.float32)
            return Prediction(nothing > 0, nothing, answer.score)
        if answer.tile == tile:
            return answer.look
        known, source = answer.on_tile, answer.tile
    else:
        known, source = answer.logits, Tile(1, 0, 0, *answer.shape)
    grid = np.meshgrid(*(_cells_of(source, tile, axis) for axis in (0, 1)), indexing="ij")
    logits = ndimage.map_coordinates(known, grid, order=1, mode="constant", cval=OUTSIDE, prefilter=False)
    logits = logits.astype(np.float32)
    return Prediction(logits > 0, logits, answer.score)


def _cells_of(source: Tile, tile: Tile, axis: int) -> npt.NDArray[np.float64]:
    """Return where the middles of a tile's cells are in another one's, along an axis."""
    start, theirs = (tile.top, tile.left)[axis], (source.top, source.left)[axis]
    places = (np.arange(tile.cells[axis]) + 0.5) * tile.scale + start
    at = (places - theirs) / source.scale - 0.5
    last = source.cells[axis] - 1
    # Between the middle of the outermost cells and their edges there is nothing to interpolate with.
    return np.where((at > -0.5) & (at < last + 0.5), np.clip(at, 0, last), at)


def _interpolated(values: Logits, at: npt.NDArray[np.float64], axis: int) -> Logits:
    """Return values between those along an axis."""
    below = np.minimum(np.floor(at).astype(int), values.shape[axis] - 1)
    above = np.minimum(below + 1, values.shape[axis] - 1)
    share = (at - below).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
    between: Logits = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return between


def _around(cells: Window, tile: Tile) -> Window:
    """Return rows and columns of the plane around cells: what is between these and their neighbours is theirs, too."""
    starts, ends = (tile.top, tile.left), (tile.top + tile.height, tile.left + tile.width)
    more = 0 if tile.scale == 1 else 1
    rows, columns = (
        slice(max(n, n + (part.start - more) * tile.scale), min(end, n + (part.stop + more) * tile.scale))
        for part, n, end in zip(cells, starts, ends, strict=True)
    )
    return rows, columns


def _set(answer: Any, **values: Any) -> None:
    """Set what a frozen answer begins with."""
    for name, value in values.items():
        object.__setattr__(answer, name, value)
