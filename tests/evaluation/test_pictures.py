from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from annotated import discs
from fakes import KnowingSession
from skimage.io import imread

from napari_sam2refiner.datasets import Field
from napari_sam2refiner.errors import InvalidConfigError, SaveError
from napari_sam2refiner.evaluation.pictures import draw_cases, draw_clicks, find_cases
from napari_sam2refiner.evaluation.protocols import Protocol, evaluate_field
from napari_sam2refiner.evaluation.report import summarise
from napari_sam2refiner.planes.intensity import limits

PROTOCOL = Protocol(clicks=(1, 2), boxes=False, rivals=())


def fields() -> list[Field]:
    image, labels = discs()
    empty = np.zeros_like(labels)
    return [Field(name, image, of, limits(image)) for name, of in [("none", empty), ("discs", labels)]]


class OneUnknown(KnowingSession):
    """Knows all discs but the second."""

    def __init__(self) -> None:
        labels = discs()[1]
        super().__init__(np.where(labels == 2, 0, labels))


def test_the_worst_and_the_best_are_found_and_cut_out() -> None:
    session = OneUnknown()
    scores = [evaluate_field(session, item, PROTOCOL) for item in fields()]
    worst, best = find_cases(session, "set", fields(), scores, PROTOCOL, 1)
    assert worst.title == "set\ndiscs, object 2"
    assert worst.ious["base"] < 0.5
    assert best.ious == {"base": 1.0}
    assert worst.image.shape[:2] == worst.truth.shape == worst.masks["base"].shape
    assert worst.truth.sum() == np.count_nonzero(discs()[1] == 2)
    assert max(worst.truth.shape) < 60
    assert len(find_cases(session, "set", fields(), scores, PROTOCOL, 9)) == 3


def test_pictures_are_drawn(tmp_path: Path) -> None:
    session = OneUnknown()
    scores = [evaluate_field(session, item, PROTOCOL) for item in fields()]
    draw_cases(tmp_path / "cases.png", find_cases(session, "set", fields(), scores, PROTOCOL, 1))
    draw_clicks(tmp_path / "clicks.png", [summarise("set", scores)] * 3, (1, 2))
    for name in ("cases.png", "clicks.png"):
        picture = imread(tmp_path / name)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 10
    with pytest.raises(SaveError, match=r"clicks\.png"):
        draw_clicks(tmp_path / "none" / "clicks.png", [summarise("set", scores)], (1, 2))


def test_without_matplotlib_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InvalidConfigError, match=r"pip install 'napari-sam2refiner\[evaluate\]'"):
        draw_clicks(
            tmp_path / "clicks.png", [summarise("set", [evaluate_field(OneUnknown(), fields()[1], PROTOCOL)])], (1,)
        )
