"""Pictures of masks: outlines where the borders are, colours apart, files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.labels.overlay import draw_overlay, save_picture

GREY = np.full((100, 80, 3), 0.5, np.float32)


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def test_small_planes_are_enlarged_and_large_ones_are_not() -> None:
    assert draw_overlay(GREY, np.zeros((100, 80), int)).shape == (1000, 800, 3)
    assert draw_overlay(np.zeros((1200, 900, 3), np.float32), np.zeros((1200, 900), int)).shape == (1200, 900, 3)


def test_outline_lies_on_the_border() -> None:
    labels = disc((100, 80), 50, 40, 20).astype(np.uint16)
    picture = draw_overlay(GREY, labels)
    changed = np.abs(picture.astype(int) - 128).max(2)
    y, x = np.ogrid[:1000, :800]
    distance = np.hypot((y + 0.5) / 10 - 0.5 - 50, (x + 0.5) / 10 - 0.5 - 40)
    assert (changed[distance > 21.5] == 0).all()
    outline = changed > 90
    assert outline.any()
    assert (np.abs(distance[outline] - 20.3) < 1).all()


def test_objects_have_different_colours() -> None:
    labels = disc((100, 80), 20, 40, 10).astype(np.uint16) + 2 * disc((100, 80), 70, 40, 10)
    picture = draw_overlay(GREY, labels)
    assert np.abs(picture[200, 400].astype(int) - picture[700, 400]).max() > 20


def test_prompts_are_drawn_in_place_also_at_the_edge() -> None:
    picture = draw_overlay(
        GREY, np.zeros((100, 80), int), points=[(0, 0, True), (50, 40, False)], boxes=[(-0.5, -0.5, 99.5, 79.5)]
    )
    row, column = (50 + 0.5) * 10, (40 + 0.5) * 10
    red, green, _ = picture[int(row) + 4, int(column)]
    assert red > green
    assert picture[0, 400].min() > 200


def test_picture_is_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw_overlay(GREY, np.zeros((100, 80), int))
    np.testing.assert_array_equal(imread(save_picture(tmp_path / "p.png", picture)), picture)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SaveError, match=r"q\.png cannot be written: No space"):
        save_picture(tmp_path / "q.png", picture)
    assert os.listdir(tmp_path) == ["p.png"]


def test_picture_must_be_png(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"end the name in \.png"):
        save_picture(tmp_path / "p.jpg", np.zeros((2, 2, 3), np.uint8))
