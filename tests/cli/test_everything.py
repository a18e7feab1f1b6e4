from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from annotated import discs
from skimage.io import imsave
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.labels.io import load_labels
from napari_sam2refiner.metrics import count_found

IMAGE, TRUTH = discs((120, 120), [(35, 35, 12), (80, 80, 15)])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["everything", *map(str, arguments), "--device", "cpu"], env={"COLUMNS": "200"})


def rows(table: Path) -> dict[str, str]:
    with table.open(newline="") as file:
        return {row["file"]: row["objects"] for row in csv.DictReader(file)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two images, one of which nobody can read, and something else."""
    folder = tmp_path / "plate"
    folder.mkdir()
    imsave(folder / "a.png", IMAGE, check_contrast=False)
    planes = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])
    tifffile.imwrite(folder / "c.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"})
    (folder / "b.tif").write_bytes((folder / "c.tif").read_bytes()[:200])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_one_image_into_one_file(tmp_path: Path, folder: Path) -> None:
    output = tmp_path / "labels.tif"
    result = run(folder / "a.png", "-o", output)
    assert result.exit_code == 0, result.output
    assert count_found(load_labels(output), TRUTH, (0.7,))[0] == (2, 0, 0)
    assert f"wrote {output}" in result.stdout
    assert not (tmp_path / "objects.csv").exists()
    result = run(folder / "a.png", "-o", output, "--min-area", 600)  # made anew, of the larger disc alone
    assert result.exit_code == 0, result.output
    assert count_found(load_labels(output), TRUTH, (0.7,))[0] == (1, 0, 1)


def test_a_folder_goes_on_after_a_bad_file_and_where_it_stopped(tmp_path: Path, folder: Path) -> None:
    output = tmp_path / "out"
    result = run(folder, "-o", output)
    assert result.exit_code == 2
    assert "b.tif cannot be read" in result.stderr
    assert "1 of 3 images could not be segmented" in result.stderr
    assert sorted(p.name for p in output.iterdir()) == ["a.tif", "c.tif", "objects.csv"]
    assert rows(output / "objects.csv") == {"a.png": "2", "c.tif": "6"}
    stack = load_labels(output / "c.tif")
    assert stack.shape == (3, 120, 120)
    for labels, truth in zip(stack, (TRUTH, TRUTH[::-1], TRUTH[:, ::-1]), strict=True):
        assert count_found(labels, truth, (0.7,))[0] == (2, 0, 0)
    made = (output / "a.tif").stat().st_mtime_ns
    (output / "c.tif").unlink()
    imsave(folder / "b.tif", IMAGE, check_contrast=False)
    result = run(folder, "-o", output)
    assert result.exit_code == 0, result.output
    assert "1 of 3 images have their labels already" in result.stdout
    assert (output / "a.tif").stat().st_mtime_ns == made
    assert rows(output / "objects.csv") == {"a.png": "2", "b.tif": "2", "c.tif": "6"}
    result = run(folder, "-o", output)
    assert result.exit_code == 0
    assert "3 of 3 images have their labels already" in result.stdout
    result = run(folder / "a.png", "-o", output, "--again")
    assert (output / "a.tif").stat().st_mtime_ns > made


def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    imsave(other / "a.png", IMAGE, check_contrast=False)
    (tmp_path / "empty").mkdir()
    for arguments, says in [
        ((folder, "-o", tmp_path / "labels.tif"), "but there are 3 images; give a folder"),
        ((tmp_path / "none", "-o", tmp_path / "out"), "there is no such file or folder"),
        ((tmp_path / "empty", "-o", tmp_path / "out"), "holds no images"),
        ((folder, other, "-o", tmp_path / "out"), "would both be"),
        ((folder / "c.tif", "-o", folder), "would be written over it"),
        ((folder / "a.png", "-o", tmp_path / "no" / "labels.tif"), "there is no folder"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert says in result.stderr
    assert not (tmp_path / "labels.tif").exists()
