"""What runs write into labels is kept: by the dock whose result they are, else in a record of their own; no window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.backup import LabelsBackup
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.viewer.autosave import Autosave, read, write
from napari_sam2refiner.viewer.labels_keeping import LabelsKeeping
from napari_sam2refiner.viewer.layers import open_results
from napari_sam2refiner.viewer.layers.followed import FollowedLabels
from napari_sam2refiner.viewer.layers.image import METADATA_KEY, ImageLayers
from napari_sam2refiner.viewer.layers.refined import RefinedLabels
from napari_sam2refiner.viewer.objects import Named
from napari_sam2refiner.viewer.segmenter import Relabelled

SHAPE = (6, 300, 400)


class Shelf:
    """A folder that work is kept in, and who keeps it."""

    def __init__(self, root: Path) -> None:
        self.root, self.made, self.errors = root, 0, list[str]()
        self.keeping = LabelsKeeping(self.make)

    def make(self) -> Autosave:
        self.made += 1
        return Autosave(self.root, self.errors.append)

    def kept(self, shape: tuple[int, ...] = SHAPE) -> list[np.ndarray]:
        """Return what each record holds, once all is kept."""
        self.keeping.close()
        return [whole(folder, shape) for folder in sorted(self.root.glob("*"))]


def whole(folder: Path, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    labels = np.zeros(shape, np.uint32)
    for block, values in read(folder).blocks:
        labels[block] = values
    return labels


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path / "work")
    yield shelf
    shelf.keeping.close()


def make(shelf: Shelf, labels: Any = None) -> tuple[ViewerModel, FollowedLabels]:
    """Return a viewer with a movie and labels that have an object on frame 0, and labels that nobody looks after."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE, np.uint8), name="movie")
    if labels is None:
        labels = np.zeros(SHAPE, np.uint16)
    labels[0, 5:15, 10:20] = 7
    return viewer, FollowedLabels(viewer, image, viewer.add_labels(labels, name="cells"), shelf.keeping)


def frame(t: int) -> PlaneIndex:
    return PlaneIndex((t, 0, 0), (1, 2))


def found(t: int) -> np.ndarray:
    labels = np.zeros(SHAPE[1:], np.uint32)
    labels[5:15, 10 + t : 20 + t] = 7
    return labels


def test_the_dock_of_a_result_hears_what_is_written_and_taken_back_and_nothing_else_is_kept(shelf: Shelf) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE, np.uint8), name="movie")
    ours = ImageLayers(viewer, image, lambda call: call())
    ours.attach()
    result = viewer.layers["movie objects"]
    assert ours.next_id() == 1
    blocks: list[Any] = []
    ours.labels_changed.connect(blocks.append)

    def on_frame_3() -> list[Any]:
        return [block for block in blocks if block is None or block[0] == slice(3, 4)]

    pair = FollowedLabels(viewer, image, result, shelf.keeping)
    written = pair.write(frame(3), found(3), {7})
    there = (slice(3, 4), slice(5, 15), slice(13, 23))
    assert blocks == [there]
    assert ours.has_result
    assert ours.next_id() == 8
    written.undo()
    written.redo()
    assert on_frame_3() == [there] * 3
    pair.write(frame(3), found(3), {7})
    assert on_frame_3() == [there] * 3, "it was there"
    assert shelf.made == 0
    ours.close()
    pair.write(frame(3), found(4), {7})
    assert on_frame_3() == [there] * 3, "it is closed"
    (kept,) = shelf.kept()
    np.testing.assert_array_equal(kept, result.data)


def test_what_is_known_of_a_large_result_is_still_true(shelf: Shelf) -> None:
    viewer, shape = ViewerModel(), (1, 8200, 8200)
    image = viewer.add_image(np.broadcast_to(np.uint8(0), shape), name="movie", multiscale=False)
    ours = ImageLayers(viewer, image, lambda call: call())
    ours.attach()
    mask = np.zeros(shape[1:], np.uint8)
    mask[40:50, 60:70] = 1
    ours.write_mask(frame(0), Part.of(mask > 0), 1, "keep")
    assert ours.place_of(frame(0), 1) == (slice(40, 50), slice(60, 70))
    open_results.results_in(ours.labels)[0].on_plane_written(frame(0), (slice(140, 150), slice(60, 70)))
    assert ours.place_of(frame(0), 1) == (slice(40, 150), slice(60, 70))
    ours.close()


def test_other_labels_are_kept_as_a_whole_and_then_where_they_are_written(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []
    keep = LabelsBackup.keep

    def keep_and_note(self: LabelsBackup, labels: np.ndarray, block: Any = None) -> int:
        looks.append(block)
        return keep(self, labels, block)

    monkeypatch.setattr(LabelsBackup, "keep", keep_and_note)
    _, pair = make(shelf)
    first = pair.write(frame(1), found(1), {7})
    deadline = time.monotonic() + 60
    while not looks and time.monotonic() < deadline:
        time.sleep(0.01)
    assert looks == [None]
    pair.write(frame(2), found(2), {7})
    pair.write(frame(5), found(5), {7})
    first.undo()
    (kept,) = shelf.kept()
    assert (slice(2, 3), slice(5, 15), slice(12, 22)) in looks
    assert None not in looks[1:]
    np.testing.assert_array_equal(kept, pair._labels.data)
    assert kept.any(axis=(1, 2)).tolist() == [True, False, True, False, False, True]


def test_what_users_paint_and_take_back_in_labels_that_are_kept_is_kept_too(shelf: Shelf) -> None:
    viewer, pair = make(shelf)
    layer = viewer.layers["cells"]
    layer.paint((2, 100, 100), 3)
    assert shelf.made == 0, "not before anything was followed"
    pair.write(frame(1), found(1), {7})
    for t, label in ((4, 5), (3, 9)):
        viewer.dims.set_current_step(0, t)
        layer.paint((t, 200, 300), label)
    layer.undo()
    viewer.dims.set_current_step(0, 5)
    (kept,) = shelf.kept()
    np.testing.assert_array_equal(kept, layer.data)
    assert kept.any(axis=(1, 2)).tolist() == [True, True, True, False, True, False]
    layer.paint((5, 1, 1), 2)
    assert shelf.made == 1, "what is closed hears nothing any more"


def test_to_look_around_is_no_work(shelf: Shelf) -> None:
    viewer, pair = make(shelf)
    touched: list[Any] = []
    strokes = pair._watch(viewer.layers["cells"], lambda labels, block: touched.append(block), lambda: None)
    for t in (4, 3, 5):
        viewer.dims.set_current_step(0, t)
    assert not touched
    viewer.layers["cells"].paint((5, 1, 1), 2)
    assert touched
    assert all(block == (slice(5, 6), slice(0, 300), slice(0, 400)) for block in touched)
    strokes.close()


def test_labels_that_are_replaced_or_removed_meanwhile(shelf: Shelf) -> None:
    viewer, pair = make(shelf)
    written = pair.write(frame(1), found(1), {7})
    layer = viewer.layers["cells"]
    other = np.zeros(SHAPE, np.uint16)
    other[3, 50, 60] = 4
    layer.data = other
    viewer.layers.remove(layer)
    layer.data = np.zeros((2, 2), np.uint16)
    written.undo()
    (kept,) = shelf.kept()
    np.testing.assert_array_equal(kept, other)


def test_labels_that_are_removed_are_let_go_of_and_offered(shelf: Shelf) -> None:
    viewer, pair = make(shelf)
    pair.write(frame(1), found(1), {7})
    identity, data = pair._view.identity, viewer.layers["cells"].data.copy()
    del viewer.layers["cells"]
    deadline = time.monotonic() + 60
    assert shelf.keeping._autosave is not None
    while (latest := shelf.keeping._autosave.find(identity)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert latest is not None
    np.testing.assert_array_equal(whole(latest.folder), data)
    assert not shelf.keeping._kept


def test_each_refined_layer_has_a_record(shelf: Shelf) -> None:
    viewer, _ = make(shelf)
    for t in (1, 3, 1):
        viewer.dims.set_current_step(0, t)
        pair = RefinedLabels(viewer, viewer.layers["movie"], viewer.layers["cells"], shelf.keeping)
        before = np.array(frame(t).get(viewer.layers["cells"].data))
        data = np.array(viewer.layers["cells"].data)
        pair.write(frame(t), Relabelled(before, found(t).astype(np.uint16), (), 0.0, data))
    names = ["cells refined", "cells refined [1]"]
    wanted = sorted(viewer.layers[name].data.tobytes() for name in names)
    assert sorted(kept.astype(np.uint16).tobytes() for kept in shelf.kept()) == wanted
    assert not shelf.errors


def test_prompts_and_names_of_a_result_whose_dock_is_closed_stay_with_it(shelf: Shelf, tmp_path: Path) -> None:
    viewer, pair = make(shelf)
    identity = pair._view.identity
    earlier = tmp_path / "work" / "earlier"
    earlier.mkdir(parents=True)
    write(earlier, identity, np.array(viewer.layers["cells"].data), {}, {}, {7: Named("Anna")})
    viewer.layers["cells"].metadata[METADATA_KEY] = {"role": "result", "kept_in": str(earlier)}
    pair.write(frame(1), found(1), {7})
    shelf.keeping.close()
    again = Autosave(tmp_path / "work", shelf.errors.append)
    latest = again.find(identity)
    assert latest is not None
    assert latest.folder != earlier
    assert read(latest.folder).names == {7: Named("Anna")}
    np.testing.assert_array_equal(whole(latest.folder), viewer.layers["cells"].data)
    assert not whole(earlier)[1].any(), "it is as it was"
    again.close()


def test_labels_of_a_file_need_no_record_but_copies_of_them_do(shelf: Shelf, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.zeros(SHAPE, np.uint16))
    for mode, made in (("r+", 0), ("c", 1)):
        labels = np.load(tmp_path / "labels.npy", mmap_mode=mode)
        make(shelf, labels)[1].write(frame(1 + made), found(1), {7})
        assert shelf.made == made


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i8"])
def test_labels_of_any_type_come_back(shelf: Shelf, dtype: str) -> None:
    labels = np.zeros(SHAPE, dtype)
    labels[2, :50] = 200
    if np.iinfo(dtype).min < 0:
        labels[3, :50] = -1
    _, pair = make(shelf, labels)
    pair.write(frame(1), found(1), {7})
    (kept,) = shelf.kept()
    np.testing.assert_array_equal(kept, np.where(labels > 0, labels, 0))
    (folder,) = shelf.root.glob("*")
    for block, values in read(folder).numbered_after(100).blocks:
        np.testing.assert_array_equal(values, np.where(labels[block] > 0, labels[block].astype(np.int64) + 100, 0))


def test_a_label_that_no_result_holds_is_named(shelf: Shelf) -> None:
    labels = np.zeros(SHAPE, np.int64)
    labels[2, 3, 4] = 2**32
    make(shelf, labels)[1].write(frame(1), found(1), {7})
    with pytest.raises(ReadError, match="has a label 4294967296 but results hold 1 to 4294967295"):
        shelf.kept()


def test_nothing_is_kept_where_nobody_wants_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "work")
    shelf.keeping = LabelsKeeping(None)
    make(shelf)[1].write(frame(1), found(1), {7})
    shelf.keeping.close()
    assert not shelf.root.exists()


SESSION = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from test_labels_keeping import Shelf, frame, found, make
_, pair = make(Shelf(Path({folder!r})))
for turn in range(100):
    t = turn % 5 + 1
    pair.write(frame(t), found(turn), {{7}})
    print(turn, time.time(), flush=True)
    time.sleep(0.05)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_run_that_is_killed_has_lost_no_more_than_two_seconds(tmp_path: Path) -> None:
    here = Path(__file__)
    code = SESSION.format(paths=[str(here.parent), str(here.parents[1])], folder=str(tmp_path / "work"))
    done: list[tuple[int, float]] = []
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        for line in session.stdout:
            turn, when = line.split()
            done.append((int(turn), float(when)))
            if int(turn) == 70:
                session.send_signal(signal.SIGKILL)
        killed = time.time()
    shelf = Shelf(tmp_path / "work")
    _, pair = make(shelf)
    autosave = shelf.make()
    latest = autosave.find(pair._view.identity)
    assert latest is not None
    kept = whole(latest.folder)
    safe = max(turn for turn, when in done if when < killed - 2)
    for t in range(1, 6):
        turns = range(t - 1, len(done) + 1, 5)
        here_kept = [turn for turn in turns if np.array_equal(kept[t], found(turn))]
        assert here_kept, "a frame is whole"
        assert here_kept[0] > safe - 5, "and not of long before"
    autosave.close()
