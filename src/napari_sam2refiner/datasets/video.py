"""DAVIS, MOSE and YouTube-VOS: folders of frames with masks whose palette indices are the objects.

::

    DAVIS:          JPEGImages/480p/SEQ/00000.jpg    Annotations/480p/SEQ/00000.png    ImageSets/2017/{train,val}.txt
    MOSE, YT-VOS:   {train,valid}/JPEGImages/SEQ/00000.jpg    {train,valid}/Annotations/SEQ/00000.png
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from napari_sam2refiner.datasets.fields import DataSet, Field, LazyFields, Split, make_field
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.planes.files import read_plane

FOLDERS: dict[Split, tuple[str, ...]] = {"train": ("train",), "val": ("valid", "val")}
VOID = 255  # pixels that nobody could tell


def find(path: Path) -> list[DataSet]:
    """Return the set that a folder is, if it is one."""
    splits: dict[Split, Callable[[], Sequence[Field]]] = {}
    for split, names in FOLDERS.items():
        listed = path / "ImageSets" / "2017" / f"{split}.txt"
        for root in (path / name for name in names):
            if (root / "JPEGImages").is_dir() and (root / "Annotations").is_dir():
                splits[split] = partial(_open, path.name, root, None)
        if (path / "JPEGImages").is_dir() and listed.is_file():
            splits[split] = partial(_open, path.name, path, listed)
    return [DataSet(path.name, path, "train" in splits, splits)] if splits else []


def _open(name: str, root: Path, listed: Path | None) -> LazyFields[tuple[Path, Path]]:
    """List the frames that have a mask, of all sequences or of those that are listed."""
    images, masks = (_resolution(root / kind) for kind in ("JPEGImages", "Annotations"))
    wanted = None if listed is None else set(listed.read_text(encoding="utf-8").split())
    pairs = [
        (image, mask)
        for mask in sorted(masks.glob("*/*.png"))
        if (image := images / mask.parent.name / f"{mask.stem}.jpg").exists()
        and (wanted is None or mask.parent.name in wanted)
    ]
    return LazyFields(pairs, partial(_read, name))


def _resolution(folder: Path) -> Path:
    """DAVIS has a folder for each resolution."""
    return next((folder / name for name in ("480p", "Full-Resolution") if (folder / name).is_dir()), folder)


def _read(name: str, pair: tuple[Path, Path]) -> Field:
    image, mask = pair
    try:
        with Image.open(mask) as file:
            labels = np.array(file)
    except OSError as error:
        msg = f"{mask} cannot be read: {error}; give complete PNG files."
        raise ReadError(msg) from error
    if labels.ndim != 2:
        msg = f"{mask} has shape {labels.shape}; masks must hold palette indices, not colours."
        raise ReadError(msg)
    labels = np.where(labels == VOID, 0, labels)
    return make_field(f"{name}/{image.parent.name}/{image.name}", read_plane(image), labels, image)
