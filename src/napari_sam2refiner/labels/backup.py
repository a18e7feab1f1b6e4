"""Labels kept on disk while somebody works on them: in a Zarr array, whose chunks are written when they change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import ReadError

CHUNK = 256  # pixels along rows and columns
Block = tuple[slice, ...]  # one slice with start and stop for each axis


class LabelsBackup:
    """Labels in a folder, made when the first of them are kept.

    A chunk is written whole or not at all, so that whatever was kept before a crash can be read after it.

    Parameters
    ----------
    path : Path
        Of the Zarr array.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._array: Any = None
        self._written: set[tuple[int, ...]] = set()  # chunks that are on disk
        if path.exists():
            self._open()

    def fits(self, labels: npt.NDArray[Any]) -> bool:
        """Return whether labels are of the shape and type of those that were kept, if any were."""
        known = self._array
        return known is None or (known.shape, known.dtype) == (labels.shape, labels.dtype)

    def keep(self, labels: npt.NDArray[Any], block: Block | None = None) -> int:
        """Keep labels, in the chunks that a block of them touches where it is given.

        Parameters
        ----------
        labels : (..., Y, X) integer array
            All of them; those before must have had their shape and type.
        block : tuple of slice, optional
            One for each axis, with start and stop.

        Returns
        -------
        int
            How many chunks had changed.

        Raises
        ------
        OSError
            If there is no room for them, or the folder cannot be written.
        """
        if self._array is None:
            self._make(labels)
        chunks = self._array.chunks
        block = tuple(slice(0, size) for size in labels.shape) if block is None else block
        along = [range(part.start // chunk, -(-part.stop // chunk)) for part, chunk in zip(block, chunks, strict=True)]
        changed = 0
        for index in itertools.product(*along):
            place = _place(index, chunks, labels.shape)
            now = labels[place]
            if not (np.array_equal(self._array[place], now) if index in self._written else not now.any()):
                self._array[place] = now
                self._written.add(index)
                changed += 1
        return changed

    def blocks(self) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
        """Give the blocks that have labels, with them.

        Raises
        ------
        ReadError
            If one cannot be read.
        """
        for index in sorted(self._written):
            block = _place(index, self._array.chunks, self._array.shape)
            try:
                labels = np.asarray(self._array[block])
            except Exception as error:  # whatever a codec raises on a damaged file
                msg = f"{self._path} is damaged at {index}: {error}."
                raise ReadError(msg) from error
            if labels.any():
                yield block, labels

    def _make(self, labels: npt.NDArray[Any]) -> None:
        import zarr

        chunks = (*(1,) * (labels.ndim - 2), CHUNK, CHUNK)
        self._array = zarr.create_array(
            self._path, shape=labels.shape, chunks=chunks, dtype=labels.dtype, zarr_format=3
        )

    def _open(self) -> None:
        import zarr

        try:
            self._array = zarr.open_array(self._path, mode="r+")
        except Exception as error:
            msg = f"{self._path} cannot be read: {error}."
            raise ReadError(msg) from error
        self._written = set(_chunks_in(self._path))


def holds_labels(path: Path) -> bool:
    """Return whether a folder has labels that were kept."""
    return next(_chunks_in(path), None) is not None


def _chunks_in(path: Path) -> Iterator[tuple[int, ...]]:
    """Give the chunks that are on disk; those that are empty are not."""
    folder = path / "c"  # where version 3 of the format has them, in a folder for each axis
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if all(part.isdigit() for part in parts) and file.is_file():
            yield tuple(map(int, parts))


def _place(index: tuple[int, ...], chunks: tuple[int, ...], shape: tuple[int, ...]) -> Block:
    """Return the block of a chunk."""
    return tuple(slice(i * n, min((i + 1) * n, size)) for i, n, size in zip(index, chunks, shape, strict=True))
