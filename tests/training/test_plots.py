from __future__ import annotations

import sys
from pathlib import Path

import pytest
from skimage.io import imread

from napari_sam2refiner.errors import ReadError, SAM2RefinerError
from napari_sam2refiner.training.plots import draw_curves

LOG = (
    "step,minutes,rate,loss,iou_1,iou_last,iou_best,score_error\n"
    "20,1,0.1,5,0.1,0.2,0.3,0.2\n"
    "40,2,0.2,4,0.2,0.3,0.4,0.1\n"
)
VALIDATION = "step,minutes,discs_1,discs_3,mean_1,mean_3\n20,1,0.3,0.4,0.3,0.4\n40,2,0.4,0.5,0.4,0.5\n"


@pytest.mark.parametrize("validated", [True, False])
def test_curves_are_a_picture(tmp_path: Path, validated: bool) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "log.csv").write_text(LOG)
    if validated:
        (tmp_path / "validation.csv").write_text(VALIDATION)
    path = draw_curves(tmp_path)
    assert path == tmp_path / "curve.png"
    assert imread(path).std() > 1


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read"), ("", "no row yet"), ("step,minutes\n", "no row yet"), ("a,b\n1,2\n", "not the log")],
)
def test_a_folder_that_is_no_run(tmp_path: Path, text: str | None, message: str) -> None:
    pytest.importorskip("matplotlib")
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ReadError, match=message):
        draw_curves(tmp_path)


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SAM2RefinerError, match=r"pip install 'napari-sam2refiner\[train\]'"):
        draw_curves(tmp_path)
