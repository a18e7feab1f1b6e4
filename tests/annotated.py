"""Small annotated data sets, written to disk as `datasets` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.io import imsave

Discs = list[tuple[int, int, int]]
DISCS: Discs = [(20, 25, 10), (40, 60, 12), (14, 66, 7)]


def discs(shape: tuple[int, int] = (60, 90), places: Discs = DISCS) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Bright discs (y, x, radius) on a dark, noisy ground, and their labels."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number, (y, x, radius) in enumerate(places, 1):
        labels[np.hypot(rows - y, columns - x) < radius] = number
    image = np.random.default_rng(0).poisson(20, shape) + 150 * (labels > 0)
    return image.astype(np.uint8), labels


def write_set(folder: Path, use: str = "train", splits: tuple[str, ...] = ("train", "val"), fields: int = 2) -> Path:
    """Write an image set."""
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"kind": "image", "use": use}))
    for split in splits:
        for number in range(fields):
            write_field(folder / split, f"field_{number}.png", *discs())
    return folder


def write_field(
    split: Path, name: str, image: npt.NDArray[Any] | None, labels: npt.NDArray[np.int32] | None = None
) -> None:
    """Write one image, and its labels if there are any."""
    for kind, pixels in (("images", image), ("labels", None if labels is None else labels.astype(np.uint16))):
        path = split / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is not None:
            imsave(path, pixels, check_contrast=False)


def write_sequence(folder: Path, use: str = "train", frames: int = 6) -> Path:
    """Write a time-lapse of discs that move apart, the same for training and validation."""
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"kind": "video", "use": use}))
    for split in ("train", "val"):
        for t in range(frames):
            image, labels = discs(places=[(y, x + (2 - n) * 2 * t, r) for n, (y, x, r) in enumerate(DISCS)])
            write_field(folder / split, f"01/{t:04d}.png", image, labels)
    return folder
