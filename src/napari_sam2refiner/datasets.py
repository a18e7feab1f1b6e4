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
from skimage.io import imread

from napari_sam2refiner.errors import ReadError
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
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
    except (OSError, ValueError) as error:
        msg = f"{folder / 'meta.json'} cannot be read ({error}); give the folder of a data set."
        raise ReadError(msg) from error
    return meta


def _field(name: str, image_path: Path, labels_path: Path) -> Field:
    try:
        image, labels = imread(image_path), imread(labels_path).astype(np.int32)
    except (OSError, ValueError, SyntaxError) as error:
        msg = f"{image_path} or its labels cannot be read ({error}); remove or replace it."
        raise ReadError(msg) from error
    if image.shape[:2] != labels.shape:
        msg = f"{image_path} has shape {image.shape} but its labels {labels.shape}; they must agree."
        raise ReadError(msg)
    return Field(name, image, labels, limits(image))
