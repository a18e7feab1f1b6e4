"""Files: one plane of an image read, other files written whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.planes.image_file import ImageFile


def read_plane(path: Path, steps: Sequence[int] = (), channels: Sequence[int] = ()) -> npt.NDArray[Any]:
    """Read one plane of an image file; of a TIFF stack, nothing else where its layout allows that.

    Parameters
    ----------
    path : Path
    steps : sequence of int
        Index along each axis longer than 1 that is neither rows, columns nor channels, in the file's order.
    channels : sequence of int
        Which channels to take; all when left out.

    Returns
    -------
    (Y, X) or (Y, X, C) array
        As stored, in the file's dtype.

    Raises
    ------
    ReadError
        If the file is not there or not readable.
    InvalidImageError
        If the steps or channels do not name a plane of it.
    """
    with ImageFile(path) as file:
        return file.read(steps, channels)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to, and move what is there, a file or a folder, to it when it is complete.

    A failure leaves what was there before, and nothing else.

    Raises
    ------
    SaveError
        If the file cannot be written; the message has the file and the reason.
    """
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}; choose another folder or free some space."
        raise SaveError(msg) from error
    finally:
        _remove(partial)


def _remove(partial: Path) -> None:
    """Take away what was not moved; the error that left it there matters more than one here."""
    with suppress(OSError):
        partial.unlink(missing_ok=True)
    for _ in range(5):
        if not partial.is_dir():
            return
        shutil.rmtree(partial, ignore_errors=True)
        time.sleep(0.05)  # where one chunk of a Zarr array has failed, others may still be on their way
