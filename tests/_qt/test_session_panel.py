"""A session goes to a file and comes back in an empty viewer, with its image."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from bench import Bench
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_sam2refiner.viewer.session_file import SUFFIX


@pytest.fixture
def user(make_napari_viewer_proxy: Any, qtbot: Any, tmp_path: Path) -> Iterator[Bench]:
    tifffile.imwrite(tmp_path / "cells.tif", np.zeros((4, 60, 80), np.uint8), photometric="minisblack")
    viewer = make_napari_viewer_proxy(show=True)
    (image,) = viewer.open(tmp_path / "cells.tif")
    image.scale, image.translate, image.contrast_limits = (1, 0.5, 0.5), (0, 3, 4), (0, 100)
    image.colormap = "green"
    user = Bench(viewer, qtbot)
    yield user
    user.close()
    user.dock = user.viewer = None


def work(user: Bench) -> np.ndarray:
    """Keep an object on each of two planes, name one, and leave a click at hand on the second."""
    for step, place in enumerate([(20, 25), (30, 40)]):
        user.viewer.dims.set_current_step(0, step)
        user.wait(user.is_idle)
        user.click(3 + place[0] / 2, 4 + place[1] / 2)
        user.press("K")
    user.dock.controller.objects.call(2, "the round one")
    user.click(3 + 45 / 2, 4 + 60 / 2)
    return np.array(user.result())


def save(user: Bench, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    user.dock.session.save.click()
    user.wait(lambda: user.dock.state.news.startswith(("Saved", "There is nothing")))
    return path.with_name(path.name + SUFFIX)


def reopen(user: Bench, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    user.dock.session.open.click()
    user.wait(lambda: not user.dock.state.news.startswith("Opening") and user.is_idle())


def test_everything_comes_back_in_an_empty_viewer(user: Bench, tmp_path: Path, monkeypatch: Any) -> None:
    kept = work(user)
    path = save(user, tmp_path / "monday", monkeypatch)
    assert path.exists()
    preview = user.preview.copy()
    user.viewer.layers.clear()
    user.wait(lambda: user.dock.state.image is None)
    reopen(user, path, monkeypatch)
    image = user.viewer.layers["cells"]
    assert (tuple(image.scale), tuple(image.translate)) == ((1, 0.5, 0.5), (0, 3, 4))
    assert (image.colormap.name, list(image.contrast_limits)) == ("green", [0, 100])
    np.testing.assert_array_equal(user.result(), kept)
    assert user.viewer.dims.current_step[0] == 1
    user.wait(lambda: user.preview.any() and user.is_idle())
    np.testing.assert_array_equal(user.preview, preview)
    user.wait(lambda: [row.named.name for row in user.dock.state.objects] == ["the round one"])
    user.press("W")
    user.dock.controller.objects.reopen(2)
    user.wait(user.is_idle)
    assert user.dock.state.positives == 1
    for _ in range(3):
        user.press("U")
    assert not user.result().any()


def test_a_session_goes_on_in_the_image_that_is_open(user: Bench, tmp_path: Path, monkeypatch: Any) -> None:
    kept = work(user)
    path = save(user, tmp_path / "monday", monkeypatch)
    user.dock.controller.objects.delete([2])
    user.wait(user.is_idle)
    reopen(user, path, monkeypatch)
    assert len([layer for layer in user.viewer.layers if layer.name.startswith("cells")]) == 2
    np.testing.assert_array_equal(user.result() > 0, kept > 0)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b"no zip"), "no session of SAM2Refiner"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.with_name("cells.tif").unlink(), "is not there any more"),
        (lambda path: tifffile.imwrite(path.with_name("cells.tif"), np.zeros((9, 9))), "another shape"),
        (
            lambda path: path.with_name("cells.tif").rename(path.with_name("other")).with_name("cells.tif").mkdir(),
            "image",
        ),
    ],
)
def test_what_cannot_be_opened_is_said_once(
    user: Bench, tmp_path: Path, monkeypatch: Any, spoil: Any, says: str
) -> None:
    work(user)
    path = save(user, tmp_path / "monday", monkeypatch)
    user.viewer.layers.clear()
    user.wait(lambda: user.dock.state.image is None)
    spoil(path)
    errors: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda notification: errors.append(notification.message))
    reopen(user, path, monkeypatch)
    assert [error for error in errors if says in error], errors
    assert not any(layer.data.any() for layer in user.viewer.layers if layer.name == "cells objects")


def test_nothing_is_saved_where_nothing_was_done(user: Bench, tmp_path: Path, monkeypatch: Any) -> None:
    path = save(user, tmp_path / "monday", monkeypatch)
    assert not path.exists()
    assert "nothing to save" in user.dock.state.news


def test_a_session_is_a_zip_of_open_formats(user: Bench, tmp_path: Path, monkeypatch: Any) -> None:
    work(user)
    path = save(user, tmp_path / "monday", monkeypatch)
    names = zipfile.ZipFile(path).namelist()
    assert {"about.json", "prompts.json", "view.json", "labels.zarr/zarr.json"} <= set(names)
