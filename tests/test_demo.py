"""The embedded weights at work: `demo`, and `segment` on a picture of scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data
from skimage.io import imread, imsave
from typer.testing import CliRunner

from napari_sam2refiner.cli import app
from napari_sam2refiner.labels.io import load_labels
from napari_sam2refiner.metrics import iou


def test_demo_segments_all_its_objects(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "new" / "demo")])
    assert result.exit_code == 0, result.output
    assert "nothing found" not in result.output
    labels = load_labels(tmp_path / "new" / "demo" / "labels.tif")
    assert labels.shape == (512, 512)
    assert len(np.unique(labels)) - 1 == 5
    assert imread(tmp_path / "new" / "demo" / "overlay.png").shape == (1024, 1024, 3)


def test_demo_in_a_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert "cannot be made" in result.stderr


def test_segment_finds_a_cell(tmp_path: Path) -> None:
    imsave(tmp_path / "cell.png", data.cell(), check_contrast=False)
    out = tmp_path / "labels.tif"
    arguments = ["segment", str(tmp_path / "cell.png"), "--box", "310", "362", "439", "492", "-o", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    y, x = np.ogrid[:660, :550]
    assert iou(load_labels(out) == 1, np.hypot(y - 375, x - 427) < 62) > 0.8
