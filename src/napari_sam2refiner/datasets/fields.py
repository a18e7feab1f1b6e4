"""What every reader gives: annotated images, and sets of them by split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.intensity import limits

T = TypeVar("T")

Split = Literal["train", "val"]


@dataclass(frozen=True, eq=False)
class Field:
    """One annotated image.

    Attributes
    ----------
    name : str
        Set and file.
    image : (Y, X) or (Y, X, C) array
        As on disk, without alpha.
    labels : (Y, X) int32 array
        0 background, 1..N instances; none in a frame where no object is.
    limits : (float, float)
        Intensities that become 0 and 1.
    """

    name: str
    image: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]
    limits: tuple[float, float]


def make_field(name: str, image: npt.NDArray[Any], labels: npt.NDArray[Any], path: Path) -> Field:
    """Return a field; raise `ReadError`, naming the file `path`, if image and labels do not make one."""
    image = image[..., :3] if image.ndim == 3 and image.shape[2] == 4 else image  # alpha tells nothing
    if image.shape[:2] != labels.shape:
        msg = f"{path} has shape {image.shape} but its labels {labels.shape}; they must agree."
        raise ReadError(msg)
    try:
        return Field(name, image, labels.astype(np.int32), limits(image))
    except InvalidImageError as error:
        msg = f"{path}: {error}"
        raise ReadError(msg) from error


class LazyFields(Sequence[Field], Generic[T]):
    """Fields that are read when they are asked for, so that a set may be larger than memory.

    Parameters
    ----------
    items : sequence
        What each field is read from.
    read : callable
        Item -> field.
    """

    def __init__(self, items: Sequence[T], read: Callable[[T], Field]) -> None:
        self._items = items
        self._read = read

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Field: ...
    @overload
    def __getitem__(self, index: slice) -> LazyFields[T]: ...
    def __getitem__(self, index: int | slice) -> Field | LazyFields[T]:
        if isinstance(index, slice):
            return LazyFields(self._items[index], self._read)
        return self._read(self._items[index])


@dataclass(frozen=True)
class DataSet:
    """A set of annotated images.

    Attributes
    ----------
    name : str
        By which shares and figures go.
    folder : Path
    may_train : bool
        Whether its `train` split may be trained on.
    splits : mapping of str to callable
        What reads each split that is there.
    """

    name: str
    folder: Path
    may_train: bool
    splits: Mapping[Split, Callable[[], Sequence[Field]]]

    def read(self, split: Split) -> Sequence[Field]:
        """Return the fields of a split.

        Raises
        ------
        ReadError
            If there is no such split, nothing in it, or a file cannot be read.
        """
        if split not in self.splits:
            msg = f"{self.folder} has no split {split!r}; choose {' or '.join(self.splits)}."
            raise ReadError(msg)
        fields = self.splits[split]()
        if not len(fields):
            msg = f"split {split!r} of {self.folder} holds no annotated images; give complete sets."
            raise ReadError(msg)
        return fields
