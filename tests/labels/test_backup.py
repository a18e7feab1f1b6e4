"""Labels kept on disk come back as they were, and only what has changed is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.backup import CHUNK, LabelsBackup

SHAPE = (3, CHUNK + 40, 2 * CHUNK)


def read(path: Path, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    labels = np.zeros_like(like)
    for region, values in LabelsBackup(path).blocks():
        labels[region] = values
    return labels


@pytest.fixture
def labels() -> npt.NDArray[Any]:
    labels = np.zeros(SHAPE, np.uint32)
    labels[1, 5:20, 250:270] = 7  # across two chunks
    labels[2, -3:, -3:] = 2**31
    return labels


def test_what_is_kept_comes_back(tmp_path: Path, labels: npt.NDArray[Any]) -> None:
    backup = LabelsBackup(tmp_path / "labels.zarr")
    assert backup.keep(labels) == 3
    assert sum(len(list(folder.iterdir())) for folder in (tmp_path / "labels.zarr" / "c").glob("*/*")) == 3
    np.testing.assert_array_equal(read(tmp_path / "labels.zarr", labels), labels)


def test_only_changed_chunks_of_a_region_are_written(tmp_path: Path, labels: npt.NDArray[Any]) -> None:
    backup = LabelsBackup(tmp_path / "labels.zarr")
    backup.keep(labels)
    assert backup.keep(labels) == 0
    before = labels.copy()
    labels[1, 6, 251] = 0
    labels[0, 0, 0] = 3
    assert backup.keep(labels, (slice(1, 2), slice(6, 7), slice(251, 252))) == 1
    before[1, 6, 251] = 0
    np.testing.assert_array_equal(read(tmp_path / "labels.zarr", labels), before)
    assert backup.keep(labels) == 1


def test_erased_labels_do_not_come_back(tmp_path: Path, labels: npt.NDArray[Any]) -> None:
    backup = LabelsBackup(tmp_path / "labels.zarr")
    backup.keep(labels)
    labels[:] = 0
    backup.keep(labels)
    assert list(LabelsBackup(tmp_path / "labels.zarr").blocks()) == []


def test_a_backup_that_is_opened_again_goes_on(tmp_path: Path, labels: npt.NDArray[Any]) -> None:
    LabelsBackup(tmp_path / "labels.zarr").keep(labels)
    backup = LabelsBackup(tmp_path / "labels.zarr")
    assert backup.keep(labels) == 0
    labels[0, 100:110, 100:110] = 9
    assert backup.keep(labels, (slice(0, 1), slice(100, 110), slice(100, 110))) == 1
    np.testing.assert_array_equal(read(tmp_path / "labels.zarr", labels), labels)


def test_damage_is_named(tmp_path: Path, labels: npt.NDArray[Any]) -> None:
    path = tmp_path / "labels.zarr"
    LabelsBackup(path).keep(labels)
    (path / "c" / "1" / "0" / "0").write_bytes(b"half")
    with pytest.raises(ReadError, match="damaged"):
        list(LabelsBackup(path).blocks())
    (path / "zarr.json").write_text("{")
    with pytest.raises(ReadError, match="cannot be read"):
        LabelsBackup(path)
