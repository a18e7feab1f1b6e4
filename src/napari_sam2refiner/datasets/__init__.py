"""Annotated images from disk, in the layouts in which people have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_sam2refiner.datasets import cell_tracking, folders, hqseg, video
from napari_sam2refiner.datasets.fields import DataSet, Field, Split
from napari_sam2refiner.errors import ReadError

__all__ = ["DataSet", "Field", "Split", "find_sets"]

LAYOUTS = (folders, hqseg, video, cell_tracking)


def find_sets(paths: Sequence[Path]) -> list[DataSet]:
    """Return the data sets that folders are or hold.

    Parameters
    ----------
    paths : sequence of Path
        Each a set, or a folder of sets: this project's own (a folder with meta.json), HQSeg-44K, DAVIS, MOSE,
        YouTube-VOS, or the Cell Tracking Challenge.

    Raises
    ------
    ReadError
        If a path holds none.
    """
    found: list[DataSet] = []
    for path in paths:
        sets = [one for layout in LAYOUTS for one in layout.find(path)]
        if not sets:
            msg = (
                f"{path} holds no data set: neither meta.json, nor the folders of HQSeg-44K, DAVIS, MOSE, YouTube-VOS "
                "or the Cell Tracking Challenge; give one that does."
            )
            raise ReadError(msg)
        found += sets
    return found
