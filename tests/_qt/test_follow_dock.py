"""The dock that follows objects, in a real viewer with the model that comes with the package."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt

from napari_sam2refiner._qt.follow_dock import FollowDock
from napari_sam2refiner._qt.follow_panels import ConfidenceStrip
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.viewer.follower import FrameReport
from napari_sam2refiner.viewer.keys import FOLLOW_KEYS

FRAMES, SHAPE = 5, (96, 128)


def truth(t: int) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    first = (rows - 40) ** 2 + (columns - 30 - 4 * t) ** 2 < 15**2
    return np.where(first, 1, 5 * ((rows - 70) ** 2 + (columns - 100) ** 2 < 12**2))


TRUTH = np.stack([truth(t) for t in range(FRAMES)])
MOVIE = (100 + 200 * (TRUTH > 0) + np.random.default_rng(0).normal(0, 10, TRUTH.shape)).astype(np.uint16)


def on_frame(frame: int) -> np.ndarray:
    labels = np.zeros(TRUTH.shape, np.uint16)
    labels[frame] = TRUTH[frame]
    return labels


class Bench:
    """A viewer with the dock."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.dock = FollowDock(viewer)
        viewer.window.add_dock_widget(self.dock, name="follow")
        self.wait(lambda: self.dock.state.model is not None and not self.dock.state.loading)

    def close(self) -> None:
        self.dock.shut_down()
        if self.dock._worker is not None:
            self.dock._worker.join()
        assert "sam2refiner" not in [thread.name for thread in threading.enumerate()]

    def wait(self, until: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(until, timeout=300_000)

    def press(self, button: Any) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def follow(self) -> None:
        self.press(self.dock.run.follow)
        self.wait(lambda: not self.dock.state.running)

    @property
    def labels(self) -> np.ndarray:
        return self.viewer.layers["cells"].data

    def errors(self) -> list[str]:
        return [str(record.message) for record in notification_manager.records if str(record.severity) == "error"]


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(image: Any = MOVIE, labels: Any = None, point: tuple[int, ...] = (1,), **transforms: Any) -> Bench:
        notification_manager.records.clear()
        viewer = make_napari_viewer_proxy(show=True)
        if image is not None:
            viewer.add_image(image, name="movie", **transforms)
            viewer.add_labels(on_frame(1) if labels is None else labels, name="cells", **transforms)
        for axis, step in enumerate(point):
            viewer.dims.set_current_step(axis, step)
        made.append(Bench(viewer, qtbot))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None


def assert_followed(labels: np.ndarray) -> None:
    for t in range(FRAMES):
        for number in (1, 5):
            assert iou(labels[t] == number, TRUTH[t] == number) > 0.8, (t, number)


def test_objects_are_followed_and_taken_back(bench: Any) -> None:
    user = bench()
    assert user.dock.way.axis.currentText().endswith("(5 frames)")
    user.follow()
    assert_followed(user.labels)
    assert "4 frames were written" in user.dock.run.status.text()
    assert user.dock.look.isVisible()
    user.press(user.dock.run.undo)
    np.testing.assert_array_equal(user.labels, on_frame(1))
    user.press(user.dock.run.redo)
    assert_followed(user.labels)
    strip = user.dock.look.strip
    user.qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(strip.width() - 2, 5))
    assert user.viewer.dims.current_step[0] == 4
    assert not user.errors()


def growing(radii: tuple[int, ...]) -> np.ndarray:
    """A disc whose radius on each frame is given, beside one that stays."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack(
        [
            np.where(
                (rows - 40) ** 2 + (columns - 40) ** 2 < r**2, 1, 5 * ((rows - 70) ** 2 + (columns - 105) ** 2 < 100)
            )
            for r in radii
        ]
    )


@pytest.fixture
def jumping(bench: Any) -> Bench:
    """The first object of two is twice as wide from frame 3 on."""
    truth = growing((12, 12, 12, 24, 24))
    movie = (100 + 200 * (truth > 0) + np.random.default_rng(0).normal(0, 10, truth.shape)).astype(np.uint16)
    labels = np.zeros_like(movie)
    labels[1] = truth[1]
    user: Bench = bench(movie, labels=labels)
    return user


def there(labels: np.ndarray) -> list[bool]:
    assert all((plane == 5).any() for plane in labels), "the other one is followed on"
    return [bool((plane == 1).any()) for plane in labels]


def test_an_object_in_doubt_may_end_there_and_what_is_drawn_then_goes_on(jumping: Bench) -> None:
    user = jumping
    user.press(user.dock.way.early_stop)
    user.follow()
    assert there(user.labels) == [True, True, True, False, False]
    assert "object 1 has" in user.dock.state.reports[3].weak
    drawn = growing((12, 12, 12, 24, 24))[3] == 1
    user.labels[3][drawn] = 1
    user.follow()
    assert there(user.labels) == [True] * 5
    np.testing.assert_array_equal(user.labels[3] == 1, drawn)
    assert not user.errors()


def test_objects_may_be_ended_after_a_run_and_undo_brings_them_back(jumping: Bench) -> None:
    user = jumping
    user.follow()
    before = user.labels.copy()
    assert there(before) == [True] * 5
    user.press(user.dock.way.early_stop)
    user.follow()
    assert there(user.labels) == [True, True, True, False, False]
    user.press(user.dock.run.undo)
    np.testing.assert_array_equal(user.labels, before)
    user.follow()
    assert there(user.labels) == [True, True, True, False, False], "what was undone is not taken for the user's"
    user.press(user.dock.way.early_stop)
    user.follow()
    np.testing.assert_array_equal(user.labels, before)


def test_an_end_that_a_correction_moves_leaves_nothing_beyond_it(jumping: Bench) -> None:
    user = jumping
    user.follow()
    user.viewer.dims.set_current_step(0, 2)
    user.labels[2][40:44, 28:34] = 0
    user.press(user.dock.way.early_stop)
    user.follow()
    assert there(user.labels) == [True, True, True, False, False]


def test_a_correction_goes_on_and_leaves_everything_else(bench: Any) -> None:
    user = bench()
    user.follow()
    before = user.labels.copy()
    user.viewer.dims.set_current_step(0, 3)
    layer = user.viewer.layers["cells"]
    mended = np.roll(TRUTH[3] == 1, (-8, 6), (0, 1))
    layer.data[3][layer.data[3] == 1] = 0
    layer.data[3][mended] = 1
    user.follow()
    np.testing.assert_array_equal(user.labels == 5, before == 5)
    np.testing.assert_array_equal(user.labels[:2], before[:2])
    np.testing.assert_array_equal(user.labels[3] == 1, mended)
    assert {t for t, report in user.dock.state.reports.items() if report.is_given} == {1, 3}
    user.press(user.dock.run.undo)
    np.testing.assert_array_equal(user.labels[4], before[4])


def test_a_range_that_is_typed_is_taken(bench: Any) -> None:
    user = bench()
    last = user.dock.way.last
    last.lineEdit().selectAll()
    user.qtbot.keyClicks(last.lineEdit(), "2")
    user.follow()
    assert [bool(plane.any()) for plane in user.labels] == [True, True, True, False, False]
    assert last.value() == 2


def test_labels_that_are_replaced_meanwhile_end_it(bench: Any) -> None:
    user = bench()
    user.press(user.dock.run.follow)
    user.viewer.layers["cells"].data = on_frame(1).astype(np.uint32)
    user.wait(lambda: not user.dock.state.running)
    assert "cells holds another array now, so following ended." in user.dock.run.status.text()
    np.testing.assert_array_equal(user.labels, on_frame(1))


def test_a_lazy_stack_of_four_dimensions_in_another_place(bench: Any) -> None:
    image = da.from_array(np.stack([np.zeros_like(MOVIE), MOVIE]), chunks=(1, 1, *SHAPE))
    labels = np.zeros(image.shape, np.uint16)
    labels[1, 2] = TRUTH[2]
    user = bench(image, labels, (1, 2), scale=(1, 3, 0.5, 0.5), translate=(0, 7, 10, 20))
    assert [axis.size for axis in user.dock.state.axes] == [2, FRAMES]
    user.dock.way.axis.setCurrentIndex(1)
    user.dock.way.axis.activated.emit(1)
    user.follow()
    assert_followed(user.labels[1])
    assert not user.labels[0].any()


def test_a_layer_that_is_removed_ends_it(bench: Any) -> None:
    user = bench()
    user.press(user.dock.run.follow)
    del user.viewer.layers["movie"]
    assert not user.dock.state.running
    assert "movie was removed, so following ended." in user.dock.run.status.text()
    assert not user.errors()


@pytest.mark.parametrize(
    ("labels", "point", "says"),
    [
        (None, (3,), "There are no objects on this frame of the labels"),
        (np.zeros((4, *SHAPE), np.uint8), (0,), "choose labels and an image of the same shape"),
        (da.zeros(MOVIE.shape, dtype=np.uint8), (0,), "cells cannot be written; copy it"),
        ([on_frame(1), on_frame(1)[:, ::2, ::2]], (1,), "cells is a pyramid"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(bench: Any, labels: Any, point: Any, says: str) -> None:
    user = bench(labels=labels, point=point)
    user.follow()
    assert [says in error for error in user.errors()] == [True]


@pytest.mark.parametrize(("image", "labels"), [(None, None), (MOVIE[0], TRUTH[0].astype(np.uint16))])
def test_a_plane_and_an_empty_viewer_have_no_frames(bench: Any, image: Any, labels: Any) -> None:
    user = bench(image, labels, ())
    assert not user.dock.run.follow.isEnabled()
    user.dock.controller.follow(user.dock.source.image, user.dock.source.labels)
    assert [" no " in error for error in user.errors()] == [True]


def test_keys_go_with_the_dock(bench: Any) -> None:
    user = bench()
    bound = len(user.viewer.keymap)
    user.dock.shut_down()
    assert bound - len(user.viewer.keymap) == len(FOLLOW_KEYS)


def test_a_strip_shows_each_frame_in_its_place(qtbot: Any) -> None:
    strip = ConfidenceStrip()
    qtbot.addWidget(strip)
    strip.resize(100, 40)
    strip.set_reports({0: FrameReport(1.0, ""), 9: FrameReport(0.3, "object 2 has a score of 0.30")}, 10)
    strip.set_here(5)
    picture = strip.grab().toImage()
    sure, here, weak = (picture.pixelColor(x, 38).getRgb() for x in (3, 53, 93))
    assert len({sure, here, weak}) == 3
    assert picture.pixelColor(93, 3).getRgb() != weak, "its bar is low"
    assert (strip.frame_at(0), strip.frame_at(55), strip.frame_at(1000)) == (0, 5, 9)
