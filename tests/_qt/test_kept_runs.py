"""What is followed and refined is kept on disk, and offered by the dock for clicks, in a real viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari.settings
import numpy as np
import pytest
from annotated import DISCS, discs
from bench import MODELS, Bench
from fakes import KnowingSession
from napari.utils.notifications import notification_manager

from napari_sam2refiner._qt.follow_dock import FollowDock
from napari_sam2refiner._qt.preferences import PLUGIN
from napari_sam2refiner._qt.relabel_dock import RefineLabelsDock
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.backup import LabelsBackup
from napari_sam2refiner.viewer.autosave import LABELS, root

if TYPE_CHECKING:
    from napari_sam2refiner._qt.model_dock import ModelDock

FRAMES = [discs(places=[(y, x + 3 * t, r) for y, x, r in DISCS]) for t in range(4)]
MOVIE, TRUTH = (np.stack(arrays) for arrays in zip(*FRAMES, strict=True))
WORSE = np.where(np.arange(TRUTH.shape[1])[:, None] % 4 > 0, TRUTH, 0)


def on_first() -> np.ndarray:
    labels = np.zeros(TRUTH.shape, np.uint16)
    labels[0] = TRUTH[0]
    return labels


def kept() -> list[np.ndarray]:
    """Return what records hold on disk, also while somebody is at them."""
    found = []
    for path in root().glob(f"*/{LABELS}"):
        labels = np.zeros(TRUTH.shape, np.int64)
        try:
            for block, values in LabelsBackup(path).blocks():
                labels[block] = values
        except ReadError:  # it is being made
            continue
        found.append(labels)
    return found


class Desk:
    """A viewer with a movie, in which docks are opened and closed."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.docks: list[ModelDock] = []
        self.show_movie()

    def show_movie(self) -> None:
        self.viewer.layers.clear()
        self.viewer.add_image(MOVIE, name="movie")
        self.viewer.dims.set_current_step(0, 0)

    def open(self, dock: Any) -> Any:
        self.docks.append(dock)
        self.viewer.window.add_dock_widget(dock, name=type(dock).__name__)
        self.wait(lambda: dock.state.model is not None and not dock.state.loading)
        return dock

    def open_segment(self) -> Bench:
        user = Bench(self.viewer, self.qtbot)
        self.docks.append(user.dock)
        return user

    def follow(self, labels: str) -> FollowDock:
        """Follow the objects of the first frame, with the model that comes with the package."""
        self.viewer.layers.selection.active = self.viewer.layers[labels]
        dock: FollowDock = self.open(FollowDock(self.viewer))
        assert dock.source.labels.name == labels
        dock.run.follow.click()
        self.wait(lambda: not dock.state.running)
        assert "3 frames were written" in dock.run.status.text()
        return dock

    def refine(self) -> RefineLabelsDock:
        session = {"models": MODELS, "load": lambda name, _: name, "session": lambda _: KnowingSession(TRUTH[0])}
        dock: RefineLabelsDock = self.open(RefineLabelsDock(self.viewer, **session))
        dock.run.refine.click()
        self.wait(lambda: not dock.state.running)
        return dock

    def bring_back(self) -> np.ndarray:
        """Open the movie anew, and go on with earlier work on it."""
        self.show_movie()
        user = self.open_segment()
        user.wait(user.dock.earlier.isVisible)
        user.dock.earlier.bring_back.click()
        user.wait(lambda: user.result("movie objects").any() and user.is_idle())
        return np.array(user.result("movie objects"))

    def data(self, name: str) -> np.ndarray:
        return self.viewer.layers[name].data  # type: ignore[no-any-return]

    def wait(self, until: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(until, timeout=300_000)

    def wait_for_kept(self, *labels: np.ndarray) -> None:
        def are_kept() -> bool:
            there = kept()
            return len(there) == len(labels) and all(any(np.array_equal(a, b) for b in there) for a in labels)

        self.wait(are_kept)

    def close(self) -> None:
        for dock in self.docks:
            dock.shut_down()
            if dock._worker is not None:
                dock._worker.join()
        self.docks.clear()


@pytest.fixture
def desk(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Desk]:
    notification_manager.records.clear()
    desk = Desk(make_napari_viewer_proxy(show=True), qtbot)
    yield desk
    desk.close()
    desk.viewer = None


def errors() -> list[str]:
    return [str(record.message) for record in notification_manager.records if str(record.severity) == "error"]


def test_what_is_followed_into_a_result_is_in_the_record_of_its_dock(desk: Desk) -> None:
    user = desk.open_segment()
    result = desk.viewer.layers["movie objects"]
    result.data_setitem(np.nonzero(on_first()), on_first()[np.nonzero(on_first())])
    desk.wait_for_kept(on_first())
    dock = desk.follow("movie objects")
    followed = result.data.copy()
    assert all(frame.any() for frame in followed)
    desk.wait_for_kept(followed)
    desk.wait(lambda: [row.frames for row in user.dock.state.objects] == [4, 4, 4])
    dock.run.undo.click()
    desk.wait_for_kept(on_first())
    dock.run.redo.click()
    desk.wait_for_kept(followed)
    desk.wait(lambda: [row.frames for row in user.dock.state.objects] == [4, 4, 4])
    desk.close()
    np.testing.assert_array_equal(desk.bring_back(), followed)
    assert not errors()


def test_what_is_followed_in_other_labels_is_offered(desk: Desk) -> None:
    desk.viewer.add_labels(on_first(), name="cells")
    dock = desk.follow("cells")
    followed = desk.data("cells").copy()
    desk.wait_for_kept(followed)
    dock.run.undo.click()
    desk.wait_for_kept(on_first())
    dock.run.redo.click()
    user = desk.open_segment()
    desk.wait_for_kept(followed)
    assert not user.dock.earlier.isVisible(), "they are here"
    desk.close()
    np.testing.assert_array_equal(desk.bring_back(), followed)
    assert not errors()


def test_what_is_refined_is_offered(desk: Desk) -> None:
    desk.viewer.add_labels(WORSE, name="cells")
    dock = desk.refine()
    refined = desk.data("cells refined").copy()
    np.testing.assert_array_equal(refined[0], TRUTH[0])
    desk.wait_for_kept(refined)
    desk.viewer.dims.set_current_step(0, 1)
    dock.run.refine.click()
    desk.wait(lambda: not dock.state.running)
    assert not np.array_equal(desk.data("cells refined"), refined)
    desk.wait_for_kept(desk.data("cells refined"))
    desk.viewer.layers["cells refined"].undo()
    desk.wait_for_kept(refined)
    desk.close()
    np.testing.assert_array_equal(desk.bring_back(), refined)
    assert not errors()


def test_a_folder_that_cannot_be_written_is_said_once(desk: Desk, state_folder: Path) -> None:
    (state_folder / "work").write_text("a file where the folder should be")
    desk.viewer.add_labels(on_first(), name="cells")
    dock = desk.follow("cells")
    desk.wait(lambda: bool(errors()))
    followed = desk.data("cells").copy()
    for button in (dock.run.undo, dock.run.redo):
        button.click()
    (state_folder / "work").unlink()
    desk.wait_for_kept(followed)
    assert ["cannot be written" in error and "save your layers" in error for error in errors()] == [True]


@pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"), reason="napari before 0.9 has no Preferences for plugins"
)
def test_nothing_is_kept_for_who_wants_nothing_kept(desk: Desk, state_folder: Path) -> None:
    napari.settings.get_plugin_settings(PLUGIN).segment.autosave = False
    desk.viewer.add_labels(on_first(), name="cells")
    desk.follow("cells")
    desk.refine()
    desk.close()
    assert list(state_folder.iterdir()) == []
