"""Objects that were clicked go to files from the dock, and come back as a layer, in a real viewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_sam2refiner._qt.export_panel import ExportPanel
from napari_sam2refiner.labels.exchange.formats import FORMATS, export_objects, import_objects
from napari_sam2refiner.labels.exchange.objects import LabelledObjects
from napari_sam2refiner.viewer.exporter import Wish


@pytest.fixture
def user(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Bench]:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(np.zeros((3, 60, 80)), name="cells", scale=(1, 0.5, 0.5), translate=(0, 3, 4))
    user = Bench(viewer, qtbot)
    yield user
    user.close()
    user.dock = user.viewer = None


def choose(monkeypatch: pytest.MonkeyPatch, panel: ExportPanel, name: str, path: Path) -> None:
    """Choose a format, and answer the dialog that asks for a file or a folder."""
    panel.formats.setCurrentIndex([one.name for one in FORMATS].index(name))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(path))


def finish(user: Bench, what: str) -> str:
    panel = user.dock.exchange
    user.wait(lambda: user.is_idle() and what in panel.note.text() and panel.export.isEnabled())
    return str(panel.note.text())


def test_objects_go_out_and_come_back_as_a_layer(user: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = user.dock.exchange
    for step, places in enumerate([((20, 25), (40, 60)), ((30, 40),)]):
        user.viewer.dims.set_current_step(0, step)
        user.wait(user.is_idle)
        for y, x in places:
            user.click(3 + y / 2, 4 + x / 2)
            user.press("K")
    user.dock.controller.objects.classify("cell", [3])
    user.dock.controller.objects.call(3, "lonely")
    told = user.viewer.layers["cells objects"].features
    user.viewer.layers["cells objects"].features = told.assign(parent=["", "1", "0"])  # as typed into a table
    kept = user.result().copy()
    assert sorted(np.unique(kept)) == [0, 1, 2, 3]
    for name in ("roi", "ctc"):
        one = next(one for one in FORMATS if one.name == name)
        path = tmp_path / f"out{one.suffixes[0] if one.suffixes else ''}"
        choose(monkeypatch, panel, name, tmp_path / "out")  # the ending comes by itself
        panel.export.click()
        assert "3 objects written as" in finish(user, "written")
        found = import_objects(path, name, shape=kept.shape if name == "roi" else None)
        np.testing.assert_array_equal(found.labels, kept)
        choose(monkeypatch, panel, name, path)
        panel.load.click()
        assert "3 objects read" in finish(user, "See the layer")
        assert user.viewer.layers.selection.active.name == "prompts"
        layer = user.viewer.layers[user.viewer.layers.index("cells") + 1]
        np.testing.assert_array_equal(layer.data, kept)
        assert tuple(layer.scale) == (1, 0.5, 0.5)
        assert tuple(layer.translate) == (0, 3, 4)
        assert user.dock.state.image == "cells"
    assert found.scores == {}
    assert layer.features["parent"].tolist() == [0, 1, 0], "as it came back from a format with lineage alone"
    rois = import_objects(tmp_path / "out.zip", shape=kept.shape)
    assert rois.classes.get(3) == "cell"
    assert rois.names == {3: "lonely"}
    assert rois.parents == {2: 1}
    assert [round(score, 2) for score in rois.scores.values()] == [0.9] * 3


def test_what_goes_wrong_is_one_notification(user: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda notification: errors.append(notification.message))
    panel = user.dock.exchange
    choose(monkeypatch, panel, "coco", tmp_path / "a.json")
    panel.export.click()
    assert "no objects to export" in finish(user, "no objects")
    panel.load.click()
    assert "cannot be read" in finish(user, "cannot be read")
    assert len(errors) == 2
    assert not list(tmp_path.iterdir())


def test_what_a_file_says_of_objects_is_in_the_layer(
    user: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((60, 80), int)
    labels[10:20, 10:20], labels[30:40, 10:20] = 4, 9
    names = {4: "first"}
    objects = LabelledObjects(labels, "YX", {9: "nucleus"}, {4: 0.5}, {9: 4}, (0.25, 0.25), names=names)
    choose(monkeypatch, user.dock.exchange, "ome-zarr", export_objects(tmp_path / "mine.zarr", objects))
    user.dock.exchange.load.click()
    finish(user, "See the layer mine")
    layer = user.viewer.layers["mine"]
    assert tuple(layer.scale) == (0.25, 0.25)
    assert layer.features["index"].tolist() == [4, 9]
    assert layer.features["class"].tolist() == ["", "nucleus"]
    assert layer.features["name"].tolist() == ["first", ""]
    assert layer.features["parent"].tolist() == [0, 4]


@pytest.mark.parametrize("name", ["ctc", "trackmate", "geff"])
def test_what_was_imported_is_exported_again_with_its_lineage(
    user: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    labels = np.zeros((3, 60, 80), int)
    labels[0, 10:20, 10:30] = 1
    labels[1:, 10:20, 10:19], labels[1:, 10:20, 21:30] = 2, 3
    theirs = LabelledObjects(labels, "TYX", parents={2: 1, 3: 1}, names={1: "mother"} if name != "ctc" else {})
    panel, suffix = user.dock.exchange, "" if name == "ctc" else {"geff": ".geff", "trackmate": ".xml"}[name]
    choose(monkeypatch, panel, name, export_objects(tmp_path / f"theirs{suffix}", theirs))
    panel.load.click()
    finish(user, "See the layer theirs")
    assert user.viewer.layers["theirs"].features["parent"].tolist() == [0, 1, 1]
    panel.export.click()
    assert "no objects to export" in finish(user, "no objects"), "of this image there are none"
    panel.objects.setCurrentText("theirs")
    choose(monkeypatch, panel, name, tmp_path / f"again{suffix}")
    panel.export.click()
    assert "3 objects written as" in finish(user, "written")
    again = import_objects(tmp_path / f"again{suffix}")
    np.testing.assert_array_equal(again.labels, labels)
    assert again.parents == theirs.parents
    assert again.names == theirs.names


def test_a_layer_that_goes_leaves_the_list(user: Bench) -> None:
    panel = user.dock.exchange
    user.viewer.add_labels(np.ones((3, 60, 80), int), name="one")
    user.viewer.add_labels(np.ones((3, 60, 80), int), name="two")
    user.wait(lambda: panel.objects.count() == 3)
    panel.objects.setCurrentIndex(2)
    user.viewer.layers.remove("one")
    user.wait(lambda: panel.objects.count() == 2)
    assert panel.objects.layer.name == "two"
    user.viewer.layers.remove("two")
    user.wait(lambda: panel.objects.count() == 1)
    assert panel.objects.layer is None
    assert panel.objects.currentText() == "Of this image"


def test_the_panel_says_what_is_wanted(qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = ExportPanel()
    qtbot.addWidget(panel)
    wishes: list[Wish] = []
    panel.export_asked.connect(wishes.append)
    panel.import_asked.connect(wishes.append)
    panel.stacks.setCurrentIndex(1)
    choose(monkeypatch, panel, "coco", tmp_path / "a.json")
    panel.export.click()
    choose(monkeypatch, panel, "coco", tmp_path / "a.b")
    panel.export.click()
    choose(monkeypatch, panel, "geff", tmp_path / "a.geff")
    panel.export.click()
    panel.load.click()
    assert wishes == [
        Wish(tmp_path / "a.json", "coco", "Z", True),
        Wish(tmp_path / "a.b.json", "coco", "Z", False),
        Wish(tmp_path / "a.geff", "geff", "Z", False),
        Wish(tmp_path / "a.geff", "geff", "Z", False),
    ]
    choose(monkeypatch, panel, "csv", tmp_path / "a.csv")
    assert not panel.load.isEnabled()
    panel.set_note("Writing ...", True)
    assert not panel.export.isEnabled()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    panel.set_note("", False)
    panel.export.click()
    assert len(wishes) == 4
