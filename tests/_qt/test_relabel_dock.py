"""The dock that refines labels, in a real viewer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from annotated import discs
from bench import MODELS
from fakes import KnowingSession
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_sam2refiner._qt.relabel_dock import RefineLabelsDock
from napari_sam2refiner._qt.relabel_panels import ChangesTable, LabelsSourcePanel, RunPanel
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.sessions.relabel import Change
from napari_sam2refiner.viewer.relabeller import RelabelState

IMAGE, TRUTH = discs()
BAD = np.where(np.arange(len(TRUTH))[:, None] % 4 > 0, TRUTH, 0)
CHANGES = (Change(12, 300, 310, 0.4, 0.7, True), Change(3, 123456, 123457, 0.9, 0.8, False))


class Bench:
    """A viewer with the dock."""

    def __init__(self, viewer: Any, qtbot: Any, dock: RefineLabelsDock | None = None, **options: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        if dock is None:
            settings = {"models": MODELS, "load": lambda name, _: name, "session": lambda _: KnowingSession(TRUTH)}
            dock = RefineLabelsDock(viewer, **{**settings, **options})
            viewer.window.add_dock_widget(dock, name="refine")
        self.dock = dock
        self.wait(lambda: self.dock.state.model is not None and not self.dock.state.loading)

    def close(self) -> None:
        self.dock.shut_down()
        if self.dock._worker is not None:
            self.dock._worker.join()
        assert "sam2refiner" not in [thread.name for thread in threading.enumerate()]

    def wait(self, until: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(until, timeout=300_000)

    def press_refine(self) -> None:
        self.qtbot.mouseClick(self.dock.run.refine, Qt.MouseButton.LeftButton)

    def refine(self) -> None:
        self.press_refine()
        self.wait(lambda: not self.dock.state.running)

    def choose_row(self, row: int) -> None:
        table = self.dock.table
        place = table.visualRect(table.model().index(row, 0)).center()
        self.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def errors(self) -> list[str]:
        return [str(record.message) for record in notification_manager.records if str(record.severity) == "error"]


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(image: Any = IMAGE, labels: Any = BAD, **options: Any) -> Bench:
        notification_manager.records.clear()
        viewer = make_napari_viewer_proxy(show=True)
        if image is not None:
            viewer.add_image(image, name="image")
        if labels is not None:
            viewer.add_labels(labels.copy(), name="cells")
        made.append(Bench(viewer, qtbot, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None


def test_labels_are_refined_into_a_new_layer_and_a_row_shows_its_object(bench: Any) -> None:
    user = bench()
    assert (user.dock.source.image.name, user.dock.source.labels.name) == ("image", "cells")
    user.refine()
    result = user.viewer.layers["cells refined"]
    np.testing.assert_array_equal(result.data, TRUTH)
    np.testing.assert_array_equal(user.viewer.layers["cells"].data, BAD)
    assert "3 objects: 3 changed" in user.dock.run.status.text()
    assert user.dock.source.labels.name == "cells", "the new layer takes nobody's place"
    user.viewer.layers.selection.active = user.viewer.layers["image"]
    user.choose_row(1)
    chosen = user.dock.state.changes[1].object_id
    assert user.viewer.layers.selection.active.name == "cells refined"
    assert result.selected_label == chosen
    center = np.argwhere(chosen == TRUTH)
    camera = getattr(user.viewer, "scene", user.viewer).camera
    assert camera.center[-2:] == pytest.approx((center.min(0) + center.max(0)) / 2)
    user.viewer.layers.remove(result)
    user.choose_row(0)
    assert "was removed" in user.dock.run.status.text()


def test_most_change_keeps_objects(bench: Any) -> None:
    user = bench()
    user.dock.run.most_change.setValue(0.0)
    user.refine()
    np.testing.assert_array_equal(user.viewer.layers["cells refined"].data, BAD)
    model = user.dock.table.model()
    assert [model.data(model.index(row, 5)) for row in range(model.rowCount())] == ["kept"] * 3


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        (IMAGE, None, "no labels layer"),
        (None, BAD, "no image"),
        (np.zeros((30, 40), np.float32), BAD, "cells has shape (60, 90) but image has (30, 40)"),
        (IMAGE, np.zeros_like(BAD), "no objects on this plane"),
    ],
)
def test_wrong_input_is_one_notification_and_changes_nothing(bench: Any, image: Any, labels: Any, words: str) -> None:
    user = bench(image, labels)
    before = [layer.name for layer in user.viewer.layers]
    user.refine()
    (error,) = user.errors()
    assert words in error
    assert [layer.name for layer in user.viewer.layers] == before
    assert user.dock.run.status.text().replace("\u200b", "") == error


class SlowSession(KnowingSession):
    """Answers when it is let go."""

    started, release = threading.Event(), threading.Event()

    def __init__(self) -> None:
        super().__init__(TRUTH)
        self.started.clear()
        self.release.clear()

    def predict_many(self, *arguments: Any, **options: Any) -> Any:
        self.started.set()
        assert self.release.wait(60)
        return super().predict_many(*arguments, **options)


def test_cancel_writes_nothing_and_the_next_run_goes_on(bench: Any) -> None:
    user = bench(session=lambda _: SlowSession())
    user.press_refine()
    assert SlowSession.started.wait(60)
    assert not user.dock.run.refine.isEnabled()
    user.qtbot.mouseClick(user.dock.run.cancel, Qt.MouseButton.LeftButton)
    assert "Cancelled" in user.dock.run.status.text()
    user.dock.controller._segmenter._make_session = lambda _: KnowingSession(TRUTH)
    SlowSession.release.set()
    user.refine()
    assert [layer.name for layer in user.viewer.layers] == ["image", "cells", "cells refined"]


def test_labels_deleted_during_work(bench: Any) -> None:
    user = bench(session=lambda _: SlowSession())
    user.press_refine()
    assert SlowSession.started.wait(60)
    user.viewer.layers.remove("cells")
    assert "cells was removed" in user.dock.run.status.text()
    SlowSession.release.set()
    user.wait(lambda: not user.dock.state.running)
    assert [layer.name for layer in user.viewer.layers] == ["image"]


@pytest.mark.parametrize("way", ["dock", "viewer"])
def test_closing_during_a_run_waits_for_nothing_and_ends_cleanly(bench: Any, way: str) -> None:
    user = bench(session=lambda _: SlowSession())
    user.press_refine()
    assert SlowSession.started.wait(60)
    if way == "dock":
        user.viewer.window.remove_dock_widget(user.dock)
        assert [layer.name for layer in user.viewer.layers] == ["image", "cells"]
    else:
        user.viewer.close()
    SlowSession.release.set()
    user.dock._worker.join(30)
    QApplication.processEvents()


def test_panels_fit_320_pixels_and_show_the_state(qtbot: Any) -> None:
    for panel in (LabelsSourcePanel("Labels"), RunPanel(), ChangesTable()):
        qtbot.addWidget(panel)
        assert panel.minimumSizeHint().width() <= 320 - 30, type(panel).__name__
    panel = RunPanel()
    qtbot.addWidget(panel)
    panel.set_state(RelabelState(model="micro", running=True, share=0.25))
    assert panel.bar.value() == 25
    assert panel.cancel.isEnabled()
    assert not panel.refine.isEnabled()
    panel.set_state(RelabelState())
    assert not panel.refine.isEnabled()
    assert not panel.cancel.isEnabled()


def test_table_lists_the_changes_and_says_what_is_clicked(qtbot: Any) -> None:
    table = ChangesTable()
    qtbot.addWidget(table)
    table.set_changes(CHANGES)
    model = table.model()
    texts = [[model.data(model.index(row, column)) for column in range(6)] for row in range(2)]
    assert texts == [["12", "300", "310", "0.40", "0.70", "kept"], ["3", "123456", "123457", "0.90", "0.80", ""]]
    with qtbot.waitSignal(table.object_chosen) as chosen:
        table.setCurrentIndex(model.index(1, 0))
    assert chosen.args == [3]
    table.set_changes(())
    assert model.rowCount() == 0


def test_eroded_nuclei_of_a_time_lapse_come_back_with_the_embedded_weights(
    make_napari_viewer_proxy: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.open_sample("napari-sam2refiner", "dividing_nuclei")
    movie = viewer.layers["dividing nuclei"]
    smooth = ndimage.gaussian_filter(movie.data[4].astype(float), 1)
    truth, count = ndimage.label(smooth > threshold_otsu(smooth))
    eroded = np.zeros(movie.data.shape, np.int32)
    eroded[4] = np.where(ndimage.distance_transform_edt(truth > 0) > 3, truth, 0)
    viewer.add_labels(eroded, name="threshold")
    viewer.dims.set_point(0, 4)
    _, dock = viewer.window.add_plugin_dock_widget("napari-sam2refiner", "Refine labels")
    user = Bench(viewer, qtbot, dock)
    user.refine()
    assert user.errors() == []
    refined = viewer.layers["threshold refined"].data
    assert not np.delete(refined, 4, axis=0).any()
    ids = [number for number in range(1, count + 1) if (eroded[4] == number).any()]
    before, after = (
        np.mean([iou(labels[4] == number, truth == number) for number in ids]) for labels in (eroded, refined)
    )
    assert after > before + 0.1
    user.close()
    user.dock = user.viewer = None
