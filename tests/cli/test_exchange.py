"""`export` and `import`: what they write, what they say, and one sentence where input is wrong."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.labels.exchange.formats import FORMATS, import_objects


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def sentence(result: Result) -> str:
    """Return the error of a run that failed as it should."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


@pytest.fixture
def labels(tmp_path: Path) -> Any:
    """Two objects on three frames, one of which comes from the other, in the folder."""
    labels = np.zeros((3, 20, 30), np.uint16)
    labels[:, 2:8, 2:8], labels[1:, 8:14, 2:8] = 1, 2
    tifffile.imwrite(tmp_path / "labels.tif", labels, imagej=True, metadata={"axes": "TYX"})
    (tmp_path / "about.csv").write_text("object,name,class,score,parent\n1,,nucleus,0.5,\n2,left one,,,1\n")
    return labels


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_labels_go_out_and_come_back(one: Any, labels: Any, tmp_path: Path) -> None:
    out = tmp_path / ("out" + (one.suffixes[0] if one.suffixes else ""))
    result = run("export", tmp_path / "labels.tif", "-o", out, "--objects", tmp_path / "about.csv")
    assert result.exit_code == 0, result.output
    assert f"wrote {out}" in result.output
    assert "2 objects in" in result.output
    back, table = tmp_path / "back.tif", tmp_path / "back.csv"
    shape = [] if one.knows_shape else ["--shape", 3, 20, 30]
    result = run("import", out, "-o", back, "--objects", table, *shape)
    if one.name == "csv":
        assert "labels cannot be had back" in sentence(result)
        return
    assert result.exit_code == 0, result.output
    assert f"wrote {table}" in result.output
    np.testing.assert_array_equal(import_objects(back).labels, labels)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == (["", "left one"] if one.names else ["", ""])
    assert [row["class"] for row in rows] == (["nucleus", ""] if one.classes else ["", ""])
    assert [row["parent"] for row in rows] == (["", "1"] if one.lineage else ["", ""])
    assert [row["score"] for row in rows] == (["0.5", ""] if one.scores else ["", ""])


def test_measures_with_intensities_and_sizes(labels: Any, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (3, 2, 20, 30), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", image, imagej=True, metadata={"axes": "TCYX"})
    sizes = ["--scale", 1, 0.5, "0.5"]
    result = run("export", tmp_path / "labels.tif", "-o", tmp_path / "a.csv", "--image", tmp_path / "image.tif", *sizes)
    assert result.exit_code == 0, result.output
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert float(rows[-1]["intensity_mean_1"]) == pytest.approx(image[2, 1][labels[2] == 2].mean())
    assert float(rows[-1]["area"]) == 9.0
    wrong = run(
        "export", tmp_path / "labels.tif", "-o", tmp_path / "b.csv", "--image", tmp_path / "labels.tif", "--axes", "yx"
    )
    assert "with axes 'YX'; give labels with axes YX, TYX" in sentence(wrong)
    tifffile.imwrite(tmp_path / "plane.tif", image[0, 0])
    wrong = run("export", tmp_path / "labels.tif", "-o", tmp_path / "b.csv", "--image", tmp_path / "plane.tif")
    assert "has these stacked axes: none; they must agree" in sentence(wrong)


def test_one_format_becomes_another_and_axes_may_be_said(labels: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", labels)
    result = run("export", tmp_path / "a.npy", "--axes", "zyx", "-o", tmp_path / "a.json")
    assert result.exit_code == 0, result.output
    result = run("export", tmp_path / "a.json", "-o", tmp_path / "a.geff")
    assert result.exit_code == 0, result.output
    found = import_objects(tmp_path / "a.geff")
    np.testing.assert_array_equal(found.labels, labels)
    assert found.axes == "ZYX"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.tif", "-o", "a.json"], "none.tif cannot be read"),
        (["labels.tif", "-o", "a.doc"], "a.doc has an ending that no format has"),
        (["labels.tif", "-o", "a.json", "--format", "yaml"], "there is no format 'yaml'"),
        (["labels.tif", "-o", "a.json", "--format", "roi"], "end the name in .zip"),
        (["labels.tif", "-o", "nowhere/a.json"], "there is no folder"),
        (["labels.tif", "-o", "about.csv"], "is there already"),
        (["labels.tif", "-o", "a.json", "--scale", 1, 0, 3], "--scale 1 0 3 is not two to four positive numbers"),
        (["labels.tif", "-o", "a.json", "--scale", 1, 3], "pixel size is (1.0, 3.0)"),
        (["labels.tif", "-o", "a.json", "--shape", 3, 20, 31], "but the image has (3, 20, 31)"),
        (["labels.tif", "-o", "a.json", "--objects", "labels.tif"], "labels.tif cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    labels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in sentence(run("export", *arguments))
    assert sorted(os.listdir(tmp_path)) == ["about.csv", "labels.tif"]


def test_import_keeps_what_is_there_unless_it_may_go(labels: Any, tmp_path: Path) -> None:
    run("export", tmp_path / "labels.tif", "-o", tmp_path / "a.json")
    before = (tmp_path / "about.csv").read_text()
    again = ["import", tmp_path / "a.json", "-o", tmp_path / "back.zarr", "--objects", tmp_path / "about.csv"]
    assert "about.csv is there already" in sentence(run(*again))
    assert not (tmp_path / "back.zarr").exists()
    assert run(*again[:4]).exit_code == 0
    assert "back.zarr is there already" in sentence(run(*again[:4]))
    assert (tmp_path / "about.csv").read_text() == before
    assert run(*again, "--overwrite").exit_code == 0
    assert (tmp_path / "about.csv").read_text() != before
    assert "end the name in .tif" in sentence(run("import", tmp_path / "a.json", "-o", tmp_path / "a.geff"))


def test_overlaps_are_warned_of(tmp_path: Path) -> None:
    import json

    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    about = {
        "images": [{"id": 1, "file_name": "a.png", "height": 6, "width": 8}],
        "annotations": [{"id": n, "image_id": 1, "segmentation": square} for n in (1, 2)],
    }
    (tmp_path / "a.json").write_text(json.dumps(about))
    result = run("import", tmp_path / "a.json", "-o", tmp_path / "a.npy")
    assert result.exit_code == 0, result.output
    assert "Warning: Objects overlap in 16 pixels" in result.stderr


def test_export_loads_neither_torch_nor_napari(labels: Any, tmp_path: Path) -> None:
    code = (
        "import sys; from napari_sam2refiner.cli import app; app(sys.argv[1:], standalone_mode=False);"
        "print(sorted({'torch', 'napari', 'qtpy'} & set(sys.modules)))"
    )
    arguments = ["export", str(tmp_path / "labels.tif"), "-o", str(tmp_path / "a.json")]
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
