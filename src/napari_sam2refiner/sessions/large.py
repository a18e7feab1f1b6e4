"""A plane larger than twice the network's square: only tiles around the prompts are read and encoded.

Letters: Y, X rows and columns of the plane; S side of the network's square; k plane pixels along a cell of a tile.

Each tile is S cells long and a small image of its own, with all that is done for one: closer looks, farther looks, the
refiner. Where it shows too little or too much of the object, another tile is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2refiner.planes.region import bounding_window
from napari_sam2refiner.sessions.placed import PlacedPrediction, seen_on
from napari_sam2refiner.sessions.tiles import (
    Tile,
    corners_of,
    largest_scale,
    scale_for,
    scale_of_view,
    tile_at,
    touches_edge,
)

if TYPE_CHECKING:
    from napari_sam2refiner.planes.lazy import RegionPlane
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.base import LocalDetail, OnFirst, Prediction
    from napari_sam2refiner.sessions.image import ImageSession

TIMES = 2  # of the square's side; larger planes are seen in tiles
WANTED = 0.5  # share of a tile that an object takes up along its longer side, at most
SMALL = 0.125  # share below which it is looked at in a tile of a finer scale, if there is one
LOOKS = 5  # tiles that are asked for an answer, at most
MOST_READ = 4096  # pixels along a tile, as they are read, that clicks alone may ask for
LIMIT = 2**29  # bytes of encoded tiles
View = tuple[float, float]


@dataclass(eq=False)
class _Search:
    """The tiles that an object is looked for in."""

    prompts: Prompts
    previous: Prediction | None
    tried: list[Tile] = field(default_factory=list)
    found: PlacedPrediction | None = None
    is_cut: bool = False  # what was found reaches the edge of its tile


class LargePlane:
    """Answers prompts on a large plane; the tiles that were asked lately stay encoded.

    Parameters
    ----------
    plane : RegionPlane
    limits : (float, float)
        The intensities that become black and white.
    side : int
        S.
    make_session : callable
        Returns a session for a tile.
    limit : int
        Bytes of encoded tiles at most; one is kept in any case.

    Attributes
    ----------
    plane, limits
        As they were given.
    """

    def __init__(
        self,
        plane: RegionPlane,
        limits: tuple[float, float],
        side: int,
        make_session: Callable[[], ImageSession],
        limit: int = LIMIT,
    ) -> None:
        self.plane = plane
        self.limits = limits
        self._side = side
        self._make_session = make_session
        self._limit = limit
        self._sessions: OrderedDict[Tile, ImageSession] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int]:
        """Y and X."""
        return self.plane.shape[0], self.plane.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the tiles that are kept."""
        return sum(session.nbytes for session in self._sessions.values())

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        previous: Sequence[Prediction | None],
        view: View | None,
        on_first: OnFirst | None,
        *,
        refine: bool,
        local_detail: LocalDetail,
    ) -> list[PlacedPrediction]:
        """Answer several objects' prompts; those on one tile in one batch. As `ImageSession.predict_many`.

        The first answers are told where all objects lie on one tile.
        """
        searches = [_Search(one, before) for one, before in zip(prompts, previous, strict=True)]
        places = {i: self._first(search, view) for i, search in enumerate(searches)}
        while places:
            together: dict[Tile, list[int]] = {}
            for i, tile in places.items():
                together.setdefault(tile, []).append(i)
            places = {}
            tell = on_first if len(together) == 1 and not searches[0].tried else None
            for tile, numbers in together.items():
                asked = [searches[i] for i in numbers]
                looks = self._session(tile).predict_many(
                    [tile.prompts(search.prompts) for search in asked],
                    refine=refine,
                    local_detail=local_detail,
                    previous=[seen_on(search.previous, tile) for search in asked],
                    on_first=None if tell is None else partial(self._tell, tell, tile),
                )
                self._let_go()
                for i, search, look in zip(numbers, asked, looks, strict=True):
                    another = self._next(search, tile, look)
                    if another is not None:
                        places[i] = another
        return [search.found for search in searches if search.found is not None]

    def _tell(self, on_first: OnFirst, tile: Tile, looks: Sequence[Prediction]) -> None:
        """Tell answers of a tile that are not the last ones."""
        on_first([PlacedPrediction(look, tile, self.shape) for look in looks])

    def _first(self, search: _Search, view: View | None) -> Tile:
        """Return the tile that is asked first."""
        before, prompts = search.previous, search.prompts
        corners = corners_of(prompts)
        if isinstance(before, PlacedPrediction) and before.look.memo is not None and before.tile.holds(corners):
            return before.tile
        corners = corners_of(prompts, None if before is None else before.part)
        if not len(corners):  # nothing is left of what negative points correct
            corners = prompts.points
        first, last = corners.min(0), corners.max(0)
        scale = scale_for(float((last - first).max()), self._side * WANTED)
        if isinstance(before, PlacedPrediction):
            scale = max(scale, before.tile.scale)
        elif before is None and view is not None and not len(prompts.boxes) and prompts.area is None:
            scale = max(scale, min(scale_of_view(view, self._side), self._coarsest_by_click()))
        return tile_at((first + last) / 2, min(scale, self._whole()), self._side, self.shape)

    def _next(self, search: _Search, tile: Tile, look: Prediction) -> Tile | None:
        """Take an answer, if it is better than the one before, and return the tile to ask next; None at the end."""
        search.tried.append(tile)
        box = bounding_window(look.mask)
        is_cut = box is not None and touches_edge(look.mask, tile, self.shape)
        # A look from farther away that sees nothing, or no more of the object, tells nothing.
        if search.found is None or (box is not None and (search.is_cut or not is_cut)):
            search.found, search.is_cut = PlacedPrediction(look, tile, self.shape), is_cut
        if box is None or len(search.tried) == LOOKS:
            return None
        cells = np.array([[part.start - 0.5, part.stop - 0.5] for part in box]).T
        corners = np.concatenate([tile.to_plane(cells), corners_of(search.prompts)])
        first, last = corners.min(0), corners.max(0)
        size, middle = float((last - first).max()), (first + last) / 2
        wanted = []
        if is_cut:
            if size <= self._side * WANTED * tile.scale:
                wanted.append(tile_at(middle, tile.scale, self._side, self.shape))
            farther = tile.scale * 2
            if farther <= max(self._coarsest_by_click(), search.tried[0].scale) and farther <= self._whole():
                wanted.append(tile_at(middle, farther, self._side, self.shape))
        elif search.previous is None and size < self._side * SMALL * tile.scale:
            wanted.append(tile_at(middle, scale_for(size, self._side * WANTED / 2), self._side, self.shape))
        return next((another for another in wanted if another not in search.tried), None)

    def _whole(self) -> int:
        """Return the scale at which a tile shows the whole plane."""
        return largest_scale(self._side, self.shape)

    def _coarsest_by_click(self) -> int:
        """Return the largest scale whose tiles are read in reasonable time."""
        scale = 1
        while scale < self._whole() and self._side * 2 * scale // self.plane.coarsest(2 * scale) <= MOST_READ:
            scale *= 2
        return scale

    def _session(self, tile: Tile) -> ImageSession:
        """Return the session of a tile; a new one reads it."""
        if tile not in self._sessions:
            pixels = self.plane.reduced(tile.window, tile.scale)
            self._sessions[tile] = self._make_session().set_image(pixels, limits=self.limits)
        self._sessions.move_to_end(tile)
        return self._sessions[tile]

    def _let_go(self) -> None:
        """Forget the tiles that were asked longest ago, as many as are too much."""
        while len(self._sessions) > 1 and self.nbytes > self._limit:
            self._sessions.popitem(last=False)
