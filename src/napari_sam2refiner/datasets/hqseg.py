"""HQSeg-44K as its users have it on disk (Ke et al., HQ-SAM, arXiv 2306.01567): one object in each image.

Images are .jpg, masks .png of the same stem, inside above 128.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_sam2refiner.datasets.fields import DataSet, Field, LazyFields, Split, make_field
from napari_sam2refiner.planes.files import read_plane

INSIDE = 128  # masks are above this

# name, split, folder of the images, folder of the masks
PARTS: tuple[tuple[str, Split, str, str], ...] = (
    ("DIS5K-TR", "train", "DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt"),
    (
        "ThinObject5K-TR",
        "train",
        "thin_object_detection/ThinObject5K/images_train",
        "thin_object_detection/ThinObject5K/masks_train",
    ),
    *(
        (name, "train", f"cascade_psp/{name}", f"cascade_psp/{name}")
        for name in ("fss_all", "DUTS-TR", "DUTS-TE", "ecssd", "MSRA_10K")
    ),
    ("DIS5K-VD", "val", "DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt"),
    ("COIFT", "val", "thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks"),
    ("HRSOD", "val", "thin_object_detection/HRSOD/images", "thin_object_detection/HRSOD/masks_max255"),
    (
        "ThinObject5K-TE",
        "val",
        "thin_object_detection/ThinObject5K/images_test",
        "thin_object_detection/ThinObject5K/masks_test",
    ),
)


def find(path: Path) -> list[DataSet]:
    """Return those of the sets that are below a folder."""
    return [
        DataSet(name, path / images, split == "train", {split: partial(_open, name, path / images, path / masks)})
        for name, split, images, masks in PARTS
        if (path / images).is_dir()
    ]


def _open(name: str, images: Path, masks: Path) -> LazyFields[tuple[Path, Path]]:
    """List images that have a mask; they are read one by one."""
    pairs = [(path, masks / f"{path.stem}.png") for path in sorted(images.glob("*.jpg"))]
    return LazyFields([pair for pair in pairs if pair[1].exists()], partial(_read, name))


def _read(name: str, pair: tuple[Path, Path]) -> Field:
    image, mask = pair
    values = read_plane(mask)
    inside = (values[..., 0] if values.ndim == 3 else values) > INSIDE
    return make_field(f"{name}/{image.name}", read_plane(image), inside.astype(np.int32), image)
