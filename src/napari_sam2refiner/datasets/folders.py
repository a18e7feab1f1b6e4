"""Sets in this project's own layout.

Images, videos and stacks alike, whose frames serve as still images::

    SET/meta.json                                 use = "train" or "eval"
    SET/{train,val}/images/NAME.png               grey or RGB, 8 or 16 bit
    SET/{train,val}/labels/NAME.png               0 background, 1..N instances
    SET/{train,val}/images/SEQ/0000.png           frames; labels beside them where there is truth
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from napari_sam2refiner.datasets.fields import DataSet, Field, Split, make_field
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.planes.files import read_plane


def find(path: Path) -> list[DataSet]:
    """Return the set that a folder is, or the sets that it holds."""
    folders = [path] if (path / "meta.json").exists() else sorted(p.parent for p in path.glob("*/meta.json"))
    return [_open(folder) for folder in folders]


def _open(folder: Path) -> DataSet:
    splits: tuple[Split, ...] = ("train", "val")
    there = {split: partial(_read, folder, split) for split in splits if (folder / split).is_dir()}
    return DataSet(folder.name, folder, _meta(folder).get("use") == "train", there)


def _read(folder: Path, split: Split) -> list[Field]:
    """Read every annotated image in order of name; frames without truth or objects are left out."""
    root = folder / split / "images"
    fields = []
    for path in sorted(root.rglob("*.png")):
        truth = folder / split / "labels" / path.relative_to(root)
        if truth.exists():
            field = make_field(f"{folder.name}/{path.relative_to(root)}", read_plane(path), read_plane(truth), path)
            if field.labels.any():
                fields.append(field)
    return fields


def _meta(folder: Path) -> dict[str, Any]:
    """Return what a set's meta.json says."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{folder / 'meta.json'} cannot be read ({error}); give the folder of a data set."
        raise ReadError(msg) from error
    if not isinstance(meta, dict):
        msg = f"{folder / 'meta.json'} holds a {type(meta).__name__}; make it an object with a field 'use'."
        raise ReadError(msg)
    return meta
