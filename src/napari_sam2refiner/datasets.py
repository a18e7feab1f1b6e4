"""Annotated images from disk: fields with instance labels.

Layout of a set (the same for images, videos and stacks, whose frames serve as still images)::

    SET/meta.json                                 use = "train" or "eval"
    SET/{train,val}/images/NAME.png               grey or RGB, 8 or 16 bit
    SET/{train,val}/labels/NAME.png               0 background, 1..N instances
    SET/{train,val}/images/SEQ/0000.png           frames; labels beside them where there is truth
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidImageError, ReadError
from napari_sam2refiner.planes.files import read_plane
from napari_sam2refiner.planes.intensity import limits


@dataclass(frozen=True, eq=False)
class Field:
    """One annotated image.

    Attributes
    ----------
    name : str
        Set and file.
    image : (Y, X) or (Y, X, C) array
        As on disk.
    labels : (Y, X) int32 array
        0 background, 1..N instances.
    limits : (float, float)
        Intensities that become 0 and 1.
    """

    name: str
    image: npt.NDArray[Any]
    labels: npt.NDArray[np.int32]
    limits: tuple[float, float]


def read_set(folder: Path, split: Literal["train", "val"], *, for_training: bool = False) -> list[Field]:
    """Read every annotated image of a set, in order of name.

    Parameters
    ----------
    folder : Path
        The set's folder.
    split : {"train", "val"}
    for_training : bool
        Refuse sets that are for measuring only.

    Raises
    ------
    ReadError
        If the folder is not such a set, a file cannot be read, or image and labels differ in size.
    """
    meta = set_meta(folder)
    if for_training and meta.get("use") != "train":
        msg = f"{folder} is for measuring only (use = {meta.get('use')!r}); train on sets with use = 'train'."
        raise ReadError(msg)
    root = folder / split / "images"
    fields = []
    for path in sorted(root.rglob("*.png")):
        truth = folder / split / "labels" / path.relative_to(root)
        if truth.exists():
            field = _field(f"{folder.name}/{path.relative_to(root)}", path, truth)
            if field.labels.any():
                fields.append(field)
    if not fields:
        msg = f"{root} holds no annotated .png images; give folders of sets with {split}/images and labels."
        raise ReadError(msg)
    return fields


def set_folders(paths: list[Path]) -> list[Path]:
    """Return the sets among folders that are sets or hold sets.

    Raises
    ------
    ReadError
        If a path holds none.
    """
    found = []
    for path in paths:
        sets = [path] if (path / "meta.json").exists() else sorted(p.parent for p in path.glob("*/meta.json"))
        if not sets:
            msg = f"{path} holds no data set (a folder with meta.json); give one that does."
            raise ReadError(msg)
        found += sets
    return found


def set_meta(folder: Path) -> dict[str, Any]:
    """Return what a set's meta.json says.

    Raises
    ------
    ReadError
        If there is none that can be read.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{folder / 'meta.json'} cannot be read ({error}); give the folder of a data set."
        raise ReadError(msg) from error
    if not isinstance(meta, dict):
        msg = f"{folder / 'meta.json'} holds a {type(meta).__name__}; make it an object with a field 'use'."
        raise ReadError(msg)
    return meta


def _field(name: str, image_path: Path, labels_path: Path) -> Field:
    image, labels = read_plane(image_path), read_plane(labels_path).astype(np.int32)
    image = image[..., :3] if image.ndim == 3 and image.shape[2] == 4 else image  # alpha tells nothing
    if image.shape[:2] != labels.shape:
        msg = f"{image_path} has shape {image.shape} but its labels {labels.shape}; they must agree."
        raise ReadError(msg)
    try:
        return Field(name, image, labels, limits(image))
    except InvalidImageError as error:
        msg = f"{image_path}: {error}"
        raise ReadError(msg) from error
