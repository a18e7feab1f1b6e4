"""Layouts of others, on tiny generated trees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from annotated import discs
from PIL import Image
from skimage.io import imsave

from napari_sam2refiner.datasets import Field, find_sets
from napari_sam2refiner.datasets.cell_tracking import find_tracked
from napari_sam2refiner.datasets.hqseg import PARTS
from napari_sam2refiner.errors import ReadError

IMAGE, LABELS = discs()


def write_jpeg(path: Path, image: npt.NDArray[np.uint8] = IMAGE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([image] * 3, -1)).save(path, quality=95)


def write_palette(path: Path, labels: npt.NDArray[np.int32] = LABELS) -> None:
    """As DAVIS does: colours in a palette, whose indices are the objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(labels.astype(np.uint8), mode="P")
    picture.putpalette([(37 * i) % 256 for i in range(768)])
    picture.save(path)


def write_tiff(path: Path, values: npt.NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, photometric="minisblack")


def names(fields: Sequence[Field]) -> list[str]:
    return [field.name for field in fields]


def test_hqseg(tmp_path: Path) -> None:
    for name, _, images, masks in PARTS:
        write_jpeg(tmp_path / images / "thing.jpg")
        write_jpeg(tmp_path / images / "without.jpg")
        mask = (LABELS > 0).astype(np.uint8) * 255
        mask[0, :2] = 128, 129
        (tmp_path / masks).mkdir(parents=True, exist_ok=True)
        imsave(tmp_path / masks / "thing.png", np.stack([mask] * 3, -1) if name == "COIFT" else mask)
    sets = find_sets([tmp_path])
    training = ["DIS5K-TR", "ThinObject5K-TR", "fss_all", "DUTS-TR", "DUTS-TE", "ecssd", "MSRA_10K"]
    assert [one.name for one in sets if one.may_train and "train" in one.splits] == training
    assert [one.name for one in sets if "val" in one.splits] == ["DIS5K-VD", "COIFT", "HRSOD", "ThinObject5K-TE"]
    for one in sets:
        (split,) = one.splits
        (field,) = one.read(split)
        assert field.name == f"{one.name}/thing.jpg"
        assert field.image.shape == (60, 90, 3)
        assert field.labels[0, :3].tolist() == [0, 1, 0]
        np.testing.assert_array_equal(field.labels[1:], LABELS[1:] > 0)


def test_davis(tmp_path: Path) -> None:
    root = tmp_path / "DAVIS"
    for sequence in ("bear", "camel", "dogs"):
        for number in range(2):
            write_jpeg(root / f"JPEGImages/480p/{sequence}/{number:05}.jpg")
            write_palette(root / f"Annotations/480p/{sequence}/{number:05}.png")
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/train.txt").write_text("bear\n")
    (root / "ImageSets/2017/val.txt").write_text("camel\ndogs\n")
    (one,) = find_sets([root])
    assert names(one.read("train")) == ["DAVIS/bear/00000.jpg", "DAVIS/bear/00001.jpg"]
    fields = one.read("val")
    assert len(fields) == 4
    np.testing.assert_array_equal(fields[2].labels, LABELS)
    assert names(fields[1:3]) == ["DAVIS/camel/00001.jpg", "DAVIS/dogs/00000.jpg"]


def test_mose_and_youtube(tmp_path: Path) -> None:
    root = tmp_path / "MOSE"
    void = LABELS.copy()
    void[50:, :] = 255
    for folder, sequence in (("train", "a1"), ("valid", "b2")):
        for number in range(2):
            write_jpeg(root / folder / f"JPEGImages/{sequence}/{number:05}.jpg")
        write_palette(root / folder / f"Annotations/{sequence}/00000.png", void)
    (one,) = find_sets([root])
    assert one.may_train
    assert names(one.read("train")) == ["MOSE/a1/00000.jpg"]
    (field,) = one.read("val")
    assert not field.labels[50:].any()
    np.testing.assert_array_equal(field.labels[:50], LABELS[:50])
    imsave(root / "train/Annotations/a1/00000.png", np.stack([IMAGE] * 3, -1))
    with pytest.raises(ReadError, match="masks must hold palette indices, not colours"):
        one.read("train")[0]


def test_cell_tracking(tmp_path: Path) -> None:
    root = tmp_path / "Fluo-N2DH"
    for number in range(3):
        write_tiff(root / "01" / f"t{number:03}.tif", IMAGE.astype(np.uint16) + number)
        write_tiff(root / "01_ST/SEG" / f"man_seg{number:03}.tif", LABELS.astype(np.uint16) + 5 * (LABELS > 0))
    write_tiff(root / "01_GT/SEG" / "man_seg001.tif", LABELS.astype(np.uint16))
    (one,) = find_sets([root])
    assert "val" not in one.splits
    fields = one.read("train")
    assert names(fields) == [f"Fluo-N2DH/01/t{number:03}.tif" for number in range(3)]
    assert [int(field.labels.max()) for field in fields] == [8, 3, 8]
    assert fields[2].image[0, 0] == IMAGE[0, 0] + 2


def test_tracked_sequences_have_marks_outlines_and_parents(tmp_path: Path) -> None:
    root = tmp_path / "Fluo-N2DH"
    for sequence in ("01", "02"):
        for number in range(3):
            write_tiff(root / sequence / f"t{number:03}.tif", IMAGE.astype(np.uint16) + number)
            write_tiff(root / f"{sequence}_GT/TRA" / f"man_track{number:03}.tif", 7 * LABELS.astype(np.uint16))
        write_tiff(root / f"{sequence}_GT/SEG" / "man_seg001.tif", LABELS.astype(np.uint16))
    assert find_tracked(root, "val") == []
    table = root / "02_GT/TRA/man_track.txt"
    table.write_text("7 0 2 0\n14 1 2 7\n\n")
    (one,) = find_tracked(root, "val")
    assert (one.name, len(one), dict(one.parents)) == ("Fluo-N2DH/02", 3, {7: 0, 14: 7})
    np.testing.assert_array_equal(one[2], IMAGE.astype(np.uint16) + 2)
    np.testing.assert_array_equal(one.truth(0), 7 * LABELS)
    np.testing.assert_array_equal(one.outlines(1), LABELS)
    assert one.outlines(0) is None
    write_tiff(root / "02_ST/SEG" / "man_seg000.tif", 3 * LABELS.astype(np.uint16))
    (one,) = find_tracked(root, "val")
    assert [int(drawn.max()) for t in (0, 1) if (drawn := one.outlines(t)) is not None] == [9, 3], "gold before silver"
    table.write_text("7 0 2\n")
    with pytest.raises(ReadError, match="give rows of an id"):
        find_tracked(root, "val")


def test_truth_may_be_a_whole_volume(tmp_path: Path) -> None:
    root = tmp_path / "Fluo-N3DH"
    volume = np.stack([IMAGE + 10 * z for z in range(4)]).astype(np.uint16)
    truth = np.stack([LABELS * (z != 1) for z in range(4)]).astype(np.uint16)
    write_tiff(root / "01" / "t000.tif", volume)
    write_tiff(root / "01_GT/SEG" / "man_seg000.tif", truth)
    (one,) = find_sets([root])
    fields = one.read("train")
    assert names(fields) == [f"Fluo-N3DH/01/t000.tif[{z}]" for z in range(4)]
    (root / "01_GT/TRA").mkdir()
    (root / "01_GT/TRA/man_track.txt").write_text("1 0 0 0\n")
    with pytest.raises(ReadError, match="holds volumes, whose objects cannot be tracked"):
        find_tracked(root, "train")
    for z, field in enumerate(fields):
        np.testing.assert_array_equal(field.image, volume[z])
        np.testing.assert_array_equal(field.labels, truth[z])


def test_planes_of_a_tracked_volume(tmp_path: Path) -> None:
    root = tmp_path / "Fluo-N3DH"
    volume = np.stack([IMAGE + 10 * z for z in range(4)]).astype(np.uint16)
    for sequence in ("01", "02"):
        write_tiff(root / sequence / "t000.tif", volume)
        write_tiff(root / f"{sequence}_GT/SEG" / "man_seg_000_002.tif", LABELS.astype(np.uint16))
    (one,) = find_sets([root])
    (field,) = one.read("val")
    assert field.name == "Fluo-N3DH/02/t000.tif[2]"
    np.testing.assert_array_equal(field.image, volume[2])
    np.testing.assert_array_equal(field.labels, LABELS)
