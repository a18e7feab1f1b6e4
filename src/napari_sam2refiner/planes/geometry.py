"""Where a plane's pixels are in the world, and back; the one conversion at the napari border."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError

Points = npt.NDArray[np.float64]


class PlaneGeometry:
    """Maps between world coordinates and the pixels (y, x) of one plane of an nD layer.

    Parameters
    ----------
    matrix : (n + 1, n + 1) array
        Affine map from homogeneous data coordinates to world coordinates, all transforms of the layer together.
    displayed : (int, int)
        The data axes of the plane's rows and columns.
    steps : sequence of n numbers
        Data coordinates of the plane on the other axes; those of its own axes do not matter.

    Raises
    ------
    InvalidImageError
        If the map is not affine or cannot be inverted, or axes and steps do not fit it.
    """

    def __init__(self, matrix: npt.NDArray[Any], displayed: tuple[int, int], steps: npt.ArrayLike) -> None:
        self._matrix = _affine(matrix)
        self.ndim = len(self._matrix) - 1
        self._steps = np.asarray(steps, dtype=np.float64)
        axes = tuple(axis + self.ndim if axis < 0 else axis for axis in displayed)
        if len(axes) != 2 or axes[0] == axes[1] or not all(0 <= axis < self.ndim for axis in axes):
            msg = f"there is no plane on axes {displayed} of {self.ndim} dimensions; give two different axes."
            raise InvalidImageError(msg)
        if self._steps.shape != (self.ndim,):
            msg = f"the plane's steps have shape {self._steps.shape}; give one for each of {self.ndim} dimensions."
            raise InvalidImageError(msg)
        self._displayed = list(axes)
        self._inverse = np.asarray(np.linalg.inv(self._matrix), dtype=np.float64)

    def to_data(self, pixels: npt.ArrayLike) -> Points:
        """Return (N, n) data coordinates of (N, 2) plane pixels (y, x)."""
        pixels = _rows(pixels)
        data = np.tile(self._steps, (len(pixels), 1))
        data[:, self._displayed] = pixels
        return data

    def from_data(self, data: npt.ArrayLike) -> Points:
        """Return (N, 2) plane pixels (y, x) of (N, n) data coordinates; those of other axes are dropped."""
        return _rows(data)[:, self._displayed]

    def to_world(self, pixels: npt.ArrayLike) -> Points:
        """Return (N, n) world coordinates of (N, 2) plane pixels (y, x)."""
        return _mapped(self._matrix, self.to_data(pixels))

    def to_plane(self, world: npt.ArrayLike) -> Points:
        """Return (N, 2) plane pixels (y, x) of (N, n) world coordinates, along the layer's other axes if off the plane.

        The world may have more dimensions than the layer; a layer's are the last ones.
        """
        return self.from_data(_mapped(self._inverse, _rows(world)[:, -self.ndim :]))


def _affine(matrix: npt.NDArray[Any]) -> Points:
    """Return the matrix in double precision if it is an invertible affine map of two dimensions or more."""
    affine = np.asarray(matrix, dtype=np.float64)
    size = affine.shape[0] if affine.ndim == 2 else 0
    if affine.shape != (size, size) or size < 3 or not np.array_equal(affine[-1], np.eye(size)[-1]):
        msg = f"the layer's transform of shape {affine.shape} is not affine; give (n + 1, n + 1), last row 0 ... 0 1."
        raise InvalidImageError(msg)
    lengths = np.linalg.norm(affine[:-1, :-1], axis=0)
    # lengths apart from directions, since nanometres may stand beside hours
    if (
        not np.isfinite(affine).all()
        or not lengths.all()
        or np.linalg.matrix_rank(affine[:-1, :-1] / lengths) < size - 1
    ):
        msg = f"the layer's transform {affine.tolist()} cannot be inverted; give it a scale without zeros."
        raise InvalidImageError(msg)
    return affine


def _rows(points: npt.ArrayLike) -> Points:
    return np.atleast_2d(np.asarray(points, dtype=np.float64))


def _mapped(matrix: Points, points: Points) -> Points:
    linear, offset = matrix[:-1, :-1], matrix[:-1, -1]
    mapped: Points = points @ linear.T + offset
    return mapped
