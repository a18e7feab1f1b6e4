"""Labels come back as they went; a failure leaves nothing behind."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from napari_sam2refiner.errors import InvalidLabelsError, ReadError, SaveError
from napari_sam2refiner.labels.io import load_labels, save_labels


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(0, np.uint16), (65535, np.uint16), (65536, np.uint32), (2**31, np.uint32), (2**33, np.uint64)],
)
@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30), (20, 30, 3), (1, 5, 1, 20, 30)])
def test_round_trip_in_the_smallest_dtype(tmp_path: Path, shape: tuple[int, ...], largest: int, dtype: type) -> None:
    labels = np.random.default_rng(0).integers(0, largest + 1, shape)
    labels.flat[0] = largest
    path = save_labels(tmp_path / "labels.tif", labels)
    loaded = load_labels(path)
    np.testing.assert_array_equal(loaded, labels)
    assert loaded.dtype == dtype
    assert [file.name for file in tmp_path.iterdir()] == ["labels.tif"]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64])
def test_any_integer_dtype_is_saved(tmp_path: Path, dtype: type) -> None:
    labels = np.eye(6).astype(dtype)
    np.testing.assert_array_equal(load_labels(save_labels(str(tmp_path / "a.TIFF"), labels)), labels)


def test_files_are_compressed(tmp_path: Path) -> None:
    path = save_labels(tmp_path / "labels.tif", np.ones((1000, 1000), np.uint32))
    assert path.stat().st_size < 20_000


def test_a_failing_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_labels(tmp_path / "labels.tif", np.ones((4, 4), int))
    complete = path.read_bytes()

    def fill_the_disk(file: Path, *args: Any, **options: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", fill_the_disk)
    with pytest.raises(SaveError, match=r"labels\.tif cannot be written: No space left on device; .*\.$"):
        save_labels(path, np.zeros((4, 4), int))
    assert path.read_bytes() == complete
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_cannot_take_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.tif").mkdir()
    for path in (tmp_path / "missing" / "a.tif", tmp_path / "file" / "a.tif", tmp_path / "folder.tif"):
        with pytest.raises(SaveError, match=path.name):
            save_labels(path, np.zeros((4, 4), int))
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder.tif"]


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"labels\.png.*\.tif"):
        save_labels(tmp_path / "labels.png", np.zeros((4, 4), int))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.zeros((4, 4)), "float64"),
        (np.zeros(4, int), r"\(4,\)"),
        (np.zeros((0, 4), int), r"\(0, 4\)"),
        (np.zeros((1,) * 6, int), r"\(1, 1, 1, 1, 1, 1\)"),
        (np.full((4, 4), -3), "label -3"),
    ],
)
def test_what_is_no_label_image_is_refused(tmp_path: Path, labels: npt.NDArray[Any], names: str) -> None:
    with pytest.raises(InvalidLabelsError, match=names):
        save_labels(tmp_path / "labels.tif", labels)
    assert not list(tmp_path.iterdir())


def test_unreadable_files_are_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.tif cannot be read: No such file"):
        load_labels(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(ReadError, match=r"text\.tif cannot be read: not a TIFF file"):
        load_labels(tmp_path / "text.tif")
    whole = save_labels(tmp_path / "whole.tif", np.random.default_rng(0).integers(0, 9, (300, 300)))
    (tmp_path / "half.tif").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ReadError, match=r"half\.tif cannot be read"):
        load_labels(tmp_path / "half.tif")


def test_an_intensity_image_is_no_label_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(InvalidLabelsError, match="float32"):
        load_labels(tmp_path / "image.tif")
