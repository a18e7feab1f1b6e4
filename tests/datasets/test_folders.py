from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from annotated import discs, write_field, write_set

from napari_sam2refiner.datasets import Field, Split, find_sets
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.planes.intensity import limits


def read(folder: Path, split: Split = "train") -> Sequence[Field]:
    (one,) = find_sets([folder])
    return one.read(split)


def failure(folder: Path, split: Split = "train") -> str:
    with pytest.raises(ReadError) as caught:
        read(folder, split)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_an_image_set_is_read_in_order_of_name(tmp_path: Path) -> None:
    fields = read(write_set(tmp_path / "nuclei"))
    image, labels = discs()
    assert [f.name for f in fields] == ["nuclei/field_0.png", "nuclei/field_1.png"]
    np.testing.assert_array_equal(fields[0].image, image)
    np.testing.assert_array_equal(fields[0].labels, labels)
    assert fields[0].labels.dtype == np.int32
    assert fields[0].limits == limits(image)


def test_sixteen_bits_and_colour(tmp_path: Path) -> None:
    image, labels = discs()
    folder = write_set(tmp_path / "s", fields=0)
    write_field(folder / "val", "a.png", image.astype(np.uint16) * 200, labels)
    write_field(folder / "val", "b.png", np.stack([image] * 3, -1), labels)
    deep, colour = read(folder, "val")
    assert deep.image.dtype == np.uint16
    assert deep.image.max() > 255
    assert colour.image.shape == (60, 90, 3)


def test_frames_without_truth_or_objects_are_left_out(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "lapse", fields=0)
    image, labels = discs()
    for frame, truth in enumerate((labels, None, np.zeros_like(labels), labels)):
        write_field(folder / "train", f"01/{frame:04}.png", image, truth)
    assert [f.name for f in read(folder)] == ["lapse/01/0000.png", "lapse/01/0003.png"]


def test_sets_are_found_in_a_folder_and_by_themselves(tmp_path: Path) -> None:
    second, first = write_set(tmp_path / "sets" / "b", use="eval"), write_set(tmp_path / "sets" / "a")
    (tmp_path / "sets" / "notes").mkdir()
    sets = find_sets([tmp_path / "sets"])
    assert [(one.name, one.folder, one.may_train) for one in sets] == [("a", first, True), ("b", second, False)]
    assert [one.folder for one in find_sets([second])] == [second]
    with pytest.raises(ReadError, match="notes holds no data set"):
        find_sets([tmp_path / "sets" / "notes"])


def test_transparency_is_left_out(tmp_path: Path) -> None:
    image, labels = discs()
    folder = write_set(tmp_path / "s", fields=0)
    write_field(folder / "train", "a.png", np.stack([image] * 4, -1), labels)
    assert read(folder)[0].image.shape == (60, 90, 3)


def test_labels_of_another_size(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s")
    write_field(folder / "train", "field_1.png", discs((50, 90))[0], discs()[1])
    assert "field_1.png has shape (50, 90) but its labels (60, 90)" in failure(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no data set: neither meta.json"),
        ("{", "meta.json cannot be read"),
        ("[]", "meta.json holds a list"),
    ],
)
def test_missing_or_broken_meta(tmp_path: Path, content: str | None, message: str) -> None:
    folder = write_set(tmp_path / "s")
    (folder / "meta.json").unlink()
    if content is not None:
        (folder / "meta.json").write_text(content)
    assert message in failure(folder)


def test_broken_or_unusable_image(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s")
    (folder / "train" / "images" / "field_0.png").write_bytes(b"no image")
    assert "field_0.png cannot be read" in failure(folder)
    write_field(folder / "train", "field_0.png", np.zeros((1, 1), np.uint8), np.ones((1, 1), np.int32))
    message = failure(folder)
    assert "field_0.png" in message
    assert "more than one pixel" in message


def test_a_split_without_images_or_none_at_all(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s", fields=0, splits=("train",))
    (folder / "train" / "images").mkdir(parents=True)
    assert "holds no annotated images" in failure(folder)
    assert "has no split 'val'; choose train" in failure(folder, "val")
