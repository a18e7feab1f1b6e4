"""From any image plane to three channels between 0 and 1, by percentiles; the one normalisation there is."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError

PERCENTILES = (0.5, 99.8)
MOST_SAMPLES = 4_000_000


class NonFiniteWarning(UserWarning):
    """An image holds NaN or infinities, which are treated as its smallest finite value."""


def check_plane(plane: Any) -> npt.NDArray[Any]:
    """Return an image plane as an array without alpha channel.

    Parameters
    ----------
    plane : (Y, X) or (Y, X, C) array
        Of bool, integers or floats; C is 1 to 3, or 4 for RGBA in uint8.

    Raises
    ------
    InvalidImageError
        If shape or dtype are not those of an image plane; the message names them.
    """
    array: npt.NDArray[Any] = np.asarray(plane)
    colours = check_kind(array.shape, array.dtype)
    if array.ndim == 3 and array.shape[2] > colours:
        array = array[..., :colours]
    return array


def check_kind(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many channels a plane of this shape and type has without transparency; raise as `check_plane`."""
    seen = f"the image has shape {shape} and dtype {dtype}"
    if dtype.kind not in "biuf":
        msg = f"{seen}; give an array of bool, integers or floats."
        raise InvalidImageError(msg)
    if len(shape) not in (2, 3):
        msg = f"{seen}; give one plane, (Y, X) or (Y, X, C)."
        raise InvalidImageError(msg)
    if 0 in shape or shape[:2] == (1, 1):
        msg = f"{seen}; give a plane with more than one pixel."
        raise InvalidImageError(msg)
    channels = 1 if len(shape) == 2 else shape[2]
    if channels == 4 and dtype == np.uint8:
        return 3
    if channels > 3:
        msg = f"{seen}, which means {channels} channels; choose up to three."
        raise InvalidImageError(msg)
    return channels


def limits(plane: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the intensities that `rescale` maps to 0 and 1.

    The 0.5th and 99.8th percentile of the finite values of all channels together, of a regular subsample where the
    plane is very large. Where they coincide (a few bright pixels on nothing), the smallest and largest value.

    Parameters
    ----------
    plane : (Y, X) or (Y, X, C) array

    Returns
    -------
    (float, float)
        Lower and upper limit; equal for a constant image.

    Raises
    ------
    InvalidImageError
        If this cannot be a plane, or holds no finite value.
    """
    plane = check_plane(plane)
    step = max(1, math.ceil(math.sqrt(plane.size / MOST_SAMPLES)))
    low, high = _limits(plane[::step, ::step].ravel())
    if not low < high and step > 1:  # also where the sample is all NaN
        low, high = _limits(plane.ravel())
    if not math.isfinite(low):
        raise _nothing_finite(plane)
    return low, high


def rescale(plane: npt.NDArray[Any], *, limits: tuple[float, float] | None = None) -> npt.NDArray[np.float32]:
    """Return a plane as three channels of intensities from 0 to 1.

    Parameters
    ----------
    plane : (Y, X) or (Y, X, C) array
        Of bool, integers or floats. One channel is repeated, of two the third is zero, alpha is dropped. NaN and
        infinities become the smallest finite value, with one `NonFiniteWarning`.
    limits : (float, float), optional
        Intensities that become 0 and 1, for the planes of one stack; by default those of this plane (see `limits`).

    Returns
    -------
    (Y, X, 3) float32 array
        Zero everywhere for a constant image.

    Raises
    ------
    InvalidImageError
        If this cannot be a plane, holds no finite value, or the limits are no interval.
    """
    plane = check_plane(plane)
    if limits is None:
        limits = _limits_of(plane)
    low, high = (float(limit) for limit in limits)
    if not (math.isfinite(high - low) and low <= high):
        msg = f"the intensity limits are {(low, high)}; give two finite numbers, the smaller first."
        raise InvalidImageError(msg)
    return _three_channels(mapped(_finite(plane), low, high))


_limits_of = limits  # `rescale` has a parameter of that name


def _limits(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the percentiles of the finite values, else their extremes, else (nan, nan)."""
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        values = values if finite.all() else values[finite]
    if not len(values):
        return math.nan, math.nan
    if values.dtype.kind in "bu" and values.itemsize <= 2:
        low, high = _small_integer_percentiles(values)
    else:
        low, high = np.percentile(values.astype(np.float64), PERCENTILES).tolist()
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def _small_integer_percentiles(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return what `numpy.percentile` does, by counting: many times faster."""
    cumulative = np.bincount(values).cumsum()
    rank = np.array(PERCENTILES) / 100 * (len(values) - 1)
    below = np.searchsorted(cumulative, np.floor(rank), side="right")
    above = np.searchsorted(cumulative, np.ceil(rank), side="right")
    low, high = below + (above - below) * (rank - np.floor(rank))
    return float(low), float(high)


def _finite(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the plane with NaN and infinities replaced by the smallest finite value, and warn if there were any."""
    if plane.dtype.kind != "f":
        return plane
    finite = np.isfinite(plane)
    if finite.all():
        return plane
    if not finite.any():
        raise _nothing_finite(plane)
    smallest = plane[finite].min()
    count = plane.size - np.count_nonzero(finite)
    warnings.warn(
        f"{count} of {plane.size} values are NaN or infinite; they count as the smallest finite value, {smallest}.",
        NonFiniteWarning,
        stacklevel=3,
    )
    return np.where(finite, plane, smallest)


def _nothing_finite(plane: npt.NDArray[Any]) -> InvalidImageError:
    seen = f"the image of shape {plane.shape} and dtype {plane.dtype}"
    return InvalidImageError(f"{seen} holds no finite value; give one with intensities.")


def mapped(plane: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    """Return intensities mapped linearly, low to 0 and high to 1, clipped; zeros where low equals high."""
    if low == high:
        return np.zeros(plane.shape, np.float32)
    if plane.dtype.kind in "bu" and plane.itemsize <= 2:
        last = 1 if plane.dtype.kind == "b" else int(np.iinfo(plane.dtype).max)
        table = np.clip((np.arange(last + 1) - low) / (high - low), 0, 1).astype(np.float32)
        found: npt.NDArray[np.float32] = table[plane.view(np.uint8) if plane.dtype.kind == "b" else plane]
        return found
    values = plane.astype(np.float64)  # a small span on a large offset is lost in single precision
    values -= low
    values /= high - low
    return np.clip(values, 0, 1, out=values).astype(np.float32)


def _three_channels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (Y, X) or (Y, X, 1 to 3) values as (Y, X, 3)."""
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[2] == 2:
        return np.concatenate([values, np.zeros_like(values[..., :1])], axis=2)
    return values if values.shape[2] == 3 else np.repeat(values, 3, axis=2)
