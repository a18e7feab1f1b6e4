"""Label images as compressed TIFF files, stacks of them also as Zarr; whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2refiner.errors import InvalidLabelsError, ReadError, SaveError
from napari_sam2refiner.planes.files import written_whole

if TYPE_CHECKING:
    import os

SUFFIXES = (".tif", ".tiff")
LARGE_TIFF = 2**32 - 2**25  # bytes from which offsets of 32 bits may not reach the end


def save_labels(path: str | os.PathLike[str], labels: npt.NDArray[Any]) -> Path:
    """Write labels to a compressed TIFF file.

    The file is written beside its place and moved there when it is complete, so that a failure leaves what was there
    before, and nothing else.

    Parameters
    ----------
    path : path
        Ends in .tif or .tiff; an existing file is replaced.
    labels : (..., Y, X) integer array
        Two to five dimensions, no negative labels. Saved in the smallest of uint16, uint32 and uint64 that holds them.

    Returns
    -------
    Path
        Where the labels are now.

    Raises
    ------
    InvalidLabelsError
        If these are no labels.
    SaveError
        If the file cannot be written; the message has the file and the reason.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path} cannot be written: labels are saved as TIFF; end the name in .tif."
        raise SaveError(msg)
    labels = compact(np.asarray(labels))
    with written_whole(path) as partial:
        tifffile.imwrite(partial, labels, compression="zlib", photometric="minisblack")
    return path


def save_label_frames(path: Path, frames: Iterable[npt.NDArray[Any]], shape: tuple[int, int, int], most: int) -> Path:
    """Write a stack of labels frame by frame, so that it is never whole in memory.

    Parameters
    ----------
    path : Path
        Ends in .tif or .tiff, where an existing file is replaced, or in .zarr, which must not exist.
    frames : iterable of (Y, X) integer array
    shape : (int, int, int)
        How many there are, Y and X.
    most : int
        The largest label.

    Returns
    -------
    Path
        Where the labels are now.

    Raises
    ------
    SaveError
        If it cannot be written; nothing is left behind.
    """
    dtype = np.promote_types(np.uint16, np.min_scalar_type(most))
    if path.suffix.lower() == ".zarr":
        _save_zarr(path, frames, shape, dtype)
        return path
    large = math.prod(shape) * dtype.itemsize > LARGE_TIFF
    with written_whole(path) as partial, tifffile.TiffWriter(partial, bigtiff=large) as file:
        pages = (frame.astype(dtype, copy=False) for frame in frames)
        about = {"axes": "TYX"}
        file.write(pages, shape=shape, dtype=dtype, compression="zlib", photometric="minisblack", metadata=about)
    return path


def _save_zarr(path: Path, frames: Iterable[npt.NDArray[Any]], shape: tuple[int, int, int], dtype: Any) -> None:
    """Write a Zarr array with a chunk for each frame."""
    import zarr

    with written_whole(path) as partial:
        array = zarr.create_array(
            partial, shape=shape, chunks=(1, *shape[1:]), dtype=dtype, dimension_names=("t", "y", "x")
        )
        for number, frame in enumerate(frames):
            array[number] = frame


def load_labels(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read labels from a TIFF file.

    Parameters
    ----------
    path : path
        A file of integers, by this package or another.

    Returns
    -------
    (..., Y, X) integer array

    Raises
    ------
    ReadError
        If the file is not there or not readable; the message has the file and the reason.
    InvalidLabelsError
        If it holds something else than labels.
    """
    try:
        labels: npt.NDArray[Any] = tifffile.imread(path)
    except Exception as error:  # a damaged file may fail anywhere in the decoder
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        msg = f"{path} cannot be read: {reason}; give a complete TIFF file."
        raise ReadError(msg) from error
    if labels.dtype.kind not in "iu":
        msg = f"{path} holds values of dtype {labels.dtype}; labels are integers."
        raise InvalidLabelsError(msg)
    return labels


def compact(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels in the smallest dtype, uint16 or larger, that holds them."""
    seen = f"the labels have shape {labels.shape} and dtype {labels.dtype}"
    if labels.dtype.kind not in "biu" or not 2 <= labels.ndim <= 5 or labels.size == 0:
        msg = f"{seen}; give integers in two to five dimensions."
        raise InvalidLabelsError(msg)
    if labels.min() < 0:
        msg = f"{seen} and a label {labels.min()}; labels are 0 for background and more for objects."
        raise InvalidLabelsError(msg)
    return labels.astype(np.promote_types(np.uint16, np.min_scalar_type(int(labels.max()))), copy=False)
