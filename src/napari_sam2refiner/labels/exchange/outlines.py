"""Outlines along the edges of pixels: exact polygons of masks, holes and pieces included, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.region import Mask, Part

Outline = npt.NDArray[Any]  # (N, 2): y, x of corners; pixel (0, 0) reaches from corner (0, 0) to corner (1, 1)
_RIGHT_OF = {(0, 1): (1, 0), (1, 0): (0, -1), (0, -1): (-1, 0), (-1, 0): (0, 1)}


def trace(mask: Mask) -> list[Outline]:
    """Return the closed outlines of a mask (Y, X).

    The mask is to their right: outer ones run clockwise on the screen, those of holes the other way. Pixels that touch
    at a corner only are outlined apart.
    """
    ways = _edges(mask)
    outlines = []
    while ways:
        start = next(iter(ways))
        corners, at, way = [start], start, ways[start][0]
        first = way
        while True:
            ways[at].remove(way)
            if not ways[at]:
                del ways[at]
            at = (at[0] + way[0], at[1] + way[1])
            if at == start and (at not in ways or _RIGHT_OF[way] == first):
                break
            after = _turn(way, ways[at])
            if after != way:
                corners.append(at)
            way = after
        outlines.append(np.array(corners[1:] if way == first else corners))
    return outlines


def _edges(mask: Mask) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return which ways edges of pixels go from each corner, with the mask to their right."""
    inside = np.pad(mask, 1)
    here = inside[1:-1, 1:-1]
    sides = (  # where the mask ends, the corner that the edge begins at, its way
        (~inside[:-2, 1:-1], (0, 0), (0, 1)),
        (~inside[1:-1, 2:], (0, 1), (1, 0)),
        (~inside[2:, 1:-1], (1, 1), (0, -1)),
        (~inside[1:-1, :-2], (1, 0), (-1, 0)),
    )
    ways = defaultdict(list)
    for ends, (down, across), way in sides:
        for y, x in np.argwhere(here & ends).tolist():
            ways[y + down, x + across].append(way)
    return dict(ways)


def _turn(way: tuple[int, int], ways: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the way on; where two pixels touch at a corner, the one that stays with the pixel."""
    return _RIGHT_OF[way] if _RIGHT_OF[way] in ways else ways[0]


def fill(outlines: Sequence[Outline], shape: tuple[int, int]) -> Part:
    """Return the pixels whose middle is inside an odd number of outlines, as far as they are in a plane."""
    from skimage.draw import polygon

    if not outlines:
        return Part.of(np.zeros(shape, np.bool_))
    corners = np.concatenate([np.asarray(outline, np.float64) for outline in outlines])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int), low, shape)
    (top, left), (bottom, right) = low.tolist(), high.tolist()
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for outline in outlines:
        inside = np.zeros_like(mask)
        y, x = (np.asarray(outline, np.float64) - low - 0.5).T
        inside[polygon(y, x, mask.shape)] = True
        mask ^= inside
    return Part(shape, (slice(top, bottom), slice(left, right)), mask)


def area(outline: Outline) -> float:
    """Return the area inside an outline; negative where it is a hole's."""
    y, x = np.asarray(outline, np.float64).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
