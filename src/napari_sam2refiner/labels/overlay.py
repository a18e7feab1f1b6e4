"""A picture of masks on their image: outlines as thin as the image allows, and the prompts that made them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.planes.region import bounding_window

Picture = npt.NDArray[np.float32]  # (H, W, 3) in [0, 1]

_SIDE = 1000  # small planes are enlarged to about this, so that outlines stay thin beside pixels
_WIDTH = 2.0  # of outlines, in pixels of the picture
_FILL = 0.18  # share of the colour inside
_RADIUS = 5.0  # of a point
_POSITIVE, _NEGATIVE = (0.1, 0.75, 0.25), (0.9, 0.15, 0.15)


def draw_overlay(
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    points: Sequence[tuple[float, float, bool]] = (),
    boxes: Sequence[tuple[float, float, float, float]] = (),
) -> npt.NDArray[np.uint8]:
    """Draw labels and prompts on an image.

    Parameters
    ----------
    image : (Y, X, 3) float32 array
        In [0, 1], as `intensity.rescale` gives it.
    labels : (Y, X) integer array
    points : sequence of (y, x, positive)
        Clicks, in plane pixels.
    boxes : sequence of (y0, x0, y1, x1)
        In plane pixels.

    Returns
    -------
    (k Y, k X, 3) uint8 array
        Enlarged k times, a whole number, 1 for large planes.
    """
    zoom = max(1, round(_SIDE / max(labels.shape)))
    picture = _enlarge(image, zoom)
    for object_id in np.unique(labels[labels > 0]):
        _draw_mask(picture, labels == object_id, _colour(int(object_id)), zoom)
    for box in boxes:
        y0, x0, y1, x1 = ((value + 0.5) * zoom - 0.5 for value in box)
        _draw_box(picture, (y0, x0, y1, x1))
    for y, x, positive in points:
        _draw_point(picture, (y + 0.5) * zoom - 0.5, (x + 0.5) * zoom - 0.5, positive)
    return (picture * 255).round().astype(np.uint8)


def save_picture(path: Path, picture: npt.NDArray[np.uint8]) -> Path:
    """Write a picture as PNG, whole or not at all.

    Raises
    ------
    SaveError
        If the name does not end in .png, or the file cannot be written.
    """
    from skimage.io import imsave

    if path.suffix.lower() != ".png":
        msg = f"{path} cannot be written: pictures are saved as PNG; end the name in .png."
        raise SaveError(msg)
    with written_whole(path) as partial:
        imsave(partial, picture, check_contrast=False)
    return path


def _colour(object_id: int) -> tuple[float, float, float]:
    """Return a bright colour; ids that follow each other get colours far apart."""
    return colorsys.hsv_to_rgb((0.52 + 0.618034 * (object_id - 1)) % 1.0, 0.7, 1.0)


def _enlarge(values: npt.NDArray[Any], zoom: int) -> npt.NDArray[np.float32]:
    """Resample (Y, X) or (Y, X, C) bilinearly to zoom times the size, on the same pixel grid as masks."""
    if zoom == 1:
        return np.array(values, np.float32)
    places = [(np.arange(size * zoom) + 0.5) / zoom - 0.5 for size in values.shape[:2]]
    rows, columns = (np.clip(place, 0, size - 1) for place, size in zip(places, values.shape, strict=False))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom, right = np.minimum(top + 1, values.shape[0] - 1), np.minimum(left + 1, values.shape[1] - 1)
    extra = (1,) * (values.ndim - 2)
    down, across = (rows - top).reshape(-1, 1, *extra), (columns - left).reshape(1, -1, *extra)
    upper = values[top][:, left] * (1 - across) + values[top][:, right] * across
    lower = values[bottom][:, left] * (1 - across) + values[bottom][:, right] * across
    enlarged: npt.NDArray[np.float32] = (upper * (1 - down) + lower * down).astype(np.float32)
    return enlarged


def _draw_mask(picture: Picture, mask: npt.NDArray[np.bool_], colour: tuple[float, float, float], zoom: int) -> None:
    """Tint a mask (Y, X) and draw its outline."""
    window = bounding_window(mask)
    if window is None:
        return
    margin = 3
    (rows, columns) = (
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(window, mask.shape, strict=True)
    )
    # Distance to the border, outside positive; padding closes outlines at the edge of the plane.
    inside = np.pad(mask[rows, columns], 1)
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    distance = ndimage.gaussian_filter(distance - 0.5 * np.sign(distance), 0.6)
    distance = zoom * _enlarge(distance, zoom)[zoom:-zoom, zoom:-zoom]
    region = picture[zoom * rows.start : zoom * rows.stop, zoom * columns.start : zoom * columns.stop]
    _blend(region, colour, _FILL * np.clip(0.5 - distance, 0, 1))
    _blend(region, colour, np.clip(_WIDTH / 2 + 0.5 - np.abs(distance), 0, 1))


def _draw_box(picture: Picture, corners: tuple[float, float, float, float]) -> None:
    """Draw a white rectangle with a dark rim."""
    y0, x0, y1, x1 = corners
    region, y, x = _part(picture, corners, 3.0)
    distance = np.abs(np.maximum(np.maximum(y0 - y, y - y1), np.maximum(x0 - x, x - x1)))
    _blend(region, (0.0, 0.0, 0.0), 0.6 * np.clip(2.5 - distance, 0, 1))
    _blend(region, (1.0, 1.0, 1.0), np.clip(1.5 - distance, 0, 1))


def _draw_point(picture: Picture, row: float, column: float, positive: bool) -> None:
    """Draw a disc, green with a plus or red with a minus."""
    region, y, x = _part(picture, (row, column, row, column), _RADIUS + 3.0)
    up, along = np.abs(y - row), np.abs(x - column)
    distance = np.hypot(up, along)
    _blend(region, (1.0, 1.0, 1.0), np.clip(_RADIUS + 2.0 - distance, 0, 1))
    _blend(region, _POSITIVE if positive else _NEGATIVE, np.clip(_RADIUS + 0.5 - distance, 0, 1))
    bar = np.maximum(up - 0.6, along - 3.0)
    sign = np.minimum(bar, np.maximum(along - 0.6, up - 3.0)) if positive else bar
    _blend(region, (1.0, 1.0, 1.0), np.clip(0.5 - sign, 0, 1))


def _part(picture: Picture, box: tuple[float, float, float, float], margin: float) -> tuple[Picture, Any, Any]:
    """Return the part of a picture around a box, a view, with its rows (H, 1) and columns (1, W)."""
    y0, x0, y1, x1 = box
    rows = slice(max(0, int(y0 - margin)), max(0, int(y1 + margin) + 1))
    columns = slice(max(0, int(x0 - margin)), max(0, int(x1 + margin) + 1))
    region = picture[rows, columns]
    y, x = np.ogrid[: region.shape[0], : region.shape[1]]
    return region, y + rows.start, x + columns.start


def _blend(region: Picture, colour: tuple[float, float, float], share: npt.NDArray[Any]) -> None:
    """Mix a colour into a region (H, W, 3) in place; share (H, W) is 1 where it covers all."""
    region += share[..., None].astype(np.float32) * (np.array(colour, np.float32) - region)
