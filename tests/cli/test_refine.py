from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from annotated import discs
from scipy import ndimage
from skimage.io import imsave
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.labels.io import load_labels, save_labels
from napari_sam2refiner.metrics import iou

IMAGE, TRUTH = discs((140, 140), [(40, 40, 16), (100, 80, 25)])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["refine", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return an image and labels that are too small."""
    imsave(tmp_path / "cells.png", IMAGE, check_contrast=False)
    small = np.where(ndimage.distance_transform_edt(TRUTH > 0) > 4, TRUTH, 0)
    return tmp_path / "cells.png", save_labels(tmp_path / "small.tif", small)


def test_labels_come_back_with_better_outlines(tmp_path: Path, files: tuple[Path, Path]) -> None:
    output, table = tmp_path / "better.tif", tmp_path / "changes.csv"
    result = run(*files, "-o", output, "--table", table, "--device", "cpu")
    assert result.exit_code == 0, result.output
    before, after = load_labels(files[1]), load_labels(output)
    for number, gain in ((1, 0.1), (2, 0.05)):
        truth = np.isin(TRUTH, number)
        assert iou(after == number, truth) > iou(before == number, truth) + gain
    assert "0 of 2 objects were kept as they were." in result.stdout
    assert f"wrote {output}" in result.stdout
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_id"] for row in rows] == ["1", "2"]
    assert int(rows[0]["pixels_after"]) == np.count_nonzero(after == 1)
    assert [row["kept"] for row in rows] == ["False", "False"]
    result = run(*files, "-o", output, "--most-change", 0, "--device", "cpu")
    assert "2 of 2 objects were kept as they were." in result.stdout
    np.testing.assert_array_equal(load_labels(output), before)


def test_what_cannot_be_refined_is_one_sentence(tmp_path: Path, files: tuple[Path, Path]) -> None:
    output = tmp_path / "better.tif"
    other = save_labels(tmp_path / "other.tif", TRUTH[:50])
    for arguments, says in [
        ((files[0], other, "-o", output), "has shape (50, 140) but the plane of"),
        ((files[0], tmp_path / "none.tif", "-o", output), "none.tif cannot be read"),
        ((*files, "-o", tmp_path / "better.png"), "end the name in .tif"),
        ((*files, "-o", output, "--table", tmp_path / "none" / "t.csv"), "there is no folder"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2
        assert says in result.stderr
    assert not output.exists()
