"""What a base learns from: the training fields of data sets, and synthetic scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2refiner.datasets import Field, find_sets
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.training.scenes import SCENES as KINDS
from napari_sam2refiner.training.scenes import THIN, scene

if TYPE_CHECKING:
    from pathlib import Path


SCENES, THIN_SCENES = "scenes", "thin_scenes"  # what synthetic scenes are called among the sets


def training_fields(paths: list[Path], *, scenes: int, thin_scenes: int = 0, seed: int) -> dict[str, Sequence[Field]]:
    """Return the training fields of every set that may train, by the set's name, and synthetic scenes.

    Parameters
    ----------
    paths : list of Path
        Sets, or folders that hold sets; of the latter only those sets are taken that may train.
    scenes : int
        How many scenes of any kind to draw.
    thin_scenes : int
        How many more of neurons and filaments.
    seed : int
        Of the scenes.

    Raises
    ------
    ReadError
        If a set cannot be read, is named itself but only for measuring, or has the name of another, or if there is
        nothing to train on.
    """
    sets: dict[str, Sequence[Field]] = {}
    for one in find_sets(paths):
        if not one.may_train and one.folder in paths:
            msg = f"{one.folder} is for measuring only; train on sets that may train, with use = 'train'."
            raise ReadError(msg)
        if one.may_train and "train" in one.splits:
            if one.name in (*sets, SCENES, THIN_SCENES):
                msg = f"{one.folder} has the name of another set; rename one, for shares and figures go by name."
                raise ReadError(msg)
            sets[one.name] = one.read("train")
    if scenes:
        sets[SCENES] = [scene_field(seed * 1_000_000 + i) for i in range(scenes)]
    if thin_scenes:
        sets[THIN_SCENES] = [scene_field(seed * 1_000_000 + 500_000 + i, kinds=THIN) for i in range(thin_scenes)]
    if not sets:
        msg = f"{', '.join(map(str, paths))} holds no set with use = 'train'; give one that does, or draw scenes."
        raise ReadError(msg)
    return sets


def held_out_fields(paths: list[Path], sets: Mapping[str, object]) -> dict[str, Sequence[Field]]:
    """Return the `val` fields of those sets that are trained on; raise `ReadError` if one cannot be read."""
    return {one.name: one.read("val") for one in find_sets(paths) if one.name in sets and "val" in one.splits}


def counted(sets: Mapping[str, Sequence[object]]) -> str:
    """Name sets and how much each holds, or none."""
    return ", ".join(f"{name} {len(one)}" for name, one in sets.items()) or "none"


def scene_field(seed: int, side: int = 320, kinds: Sequence[str] = tuple(KINDS)) -> Field:
    """Return a synthetic scene as a field, its image in 8 bits."""
    image, labels = scene(seed, side, kinds)
    low, high = limits(image)
    eight = (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    return Field(f"scenes/{seed}", eight, labels, (0.0, 255.0))
