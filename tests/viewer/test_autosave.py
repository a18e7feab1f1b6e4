"""Work is kept as it is done, found after a crash, and brought back; a disk that fails breaks nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from desk import SHAPE, Desk
from fakes import RADII, FakeCanvas, disc
from filelock import FileLock

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.viewer import autosave as autosave_module
from napari_sam2refiner.viewer.autosave import Autosave, Record, read
from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.objects import Named

STACK = (2, *SHAPE)
MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[MakeDesk]:
    """Return what makes a desk whose work is kept in one folder; `desk.controller.close()` keeps all of it."""
    desks: list[Desk] = []

    def make(shape: tuple[int, ...] = STACK, canvas: FakeCanvas | None = None) -> Desk:
        reports: list[str] = []
        desks.append(Desk(shape, autosave=Autosave(tmp_path / "work", reports.append), canvas=canvas))
        desks[-1].errors = reports
        return desks[-1]

    yield make
    for desk in desks:
        desk.controller.close()


def read_folder(desk: Desk) -> Path:
    assert desk.canvas.kept_in is not None
    return desk.canvas.kept_in


def keep(desk: Desk, y: float, x: float) -> None:
    desk.canvas.click(y, x)
    desk.controller.commit()


def test_labels_and_prompts_come_back(make_desk: MakeDesk) -> None:
    first = make_desk()
    assert first.state.earlier is None
    keep(first, 20, 20)
    first.canvas.slide(1)
    keep(first, 30, 40)
    first.canvas.click(10, 60)
    first.controller.next_candidate()
    first.controller.close()

    second = make_desk()
    assert second.state.earlier == pytest.approx(time.time(), abs=60)
    assert not second.canvas.labels.any(), "not before it is wanted"
    second.controller.bring_back()
    np.testing.assert_array_equal(second.canvas.labels, first.canvas.labels)
    assert second.state.earlier is None
    assert [(row.object_id, row.score) for row in second.state.objects] == [(1, pytest.approx(0.9))]
    second.canvas.slide(1)
    assert second.canvas.read_marks(second.canvas.plane) == Marks(((10, 60, True),))
    assert second.state.candidate == 1
    np.testing.assert_array_equal(second.preview, disc(SHAPE, 10, 60, RADII[1]))
    second.controller.commit()
    assert sorted(np.unique(second.canvas.labels)) == [0, 1, 2, 3]


def test_a_reopened_object_comes_back_open(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.objects.reopen(1)
    first.canvas.click(20, 30)
    first.controller.close()
    second = make_desk()
    second.controller.bring_back()
    assert second.state.reopened == 1
    assert second.canvas.read_marks(second.canvas.plane) == Marks(((20, 20, True), (20, 30, True)))
    np.testing.assert_array_equal(second.predictions[-1][2].mask, disc(SHAPE, 20, 20, RADII[0]))
    second.controller.clear()
    np.testing.assert_array_equal(second.canvas.labels, first.canvas.labels)


def test_bringing_back_can_be_undone_and_leaves_what_is_there(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    second = make_desk()
    keep(second, 20, 20 + RADII[0])
    before = second.canvas.labels.copy()
    second.controller.bring_back()
    assert (second.canvas.labels[before > 0] == before[before > 0]).all()
    assert sorted(np.unique(second.canvas.labels)) == [0, 1, 2], "not as one object"
    second.controller.objects.reopen(2)
    assert second.canvas.read_marks(second.canvas.plane) == Marks(((20, 20, True),))
    for _ in range(2):
        second.controller.undo()
    np.testing.assert_array_equal(second.canvas.labels, before)
    assert [row.score for row in second.state.objects] == [pytest.approx(0.9)]


def test_work_that_was_brought_back_is_kept_on_and_undoing_that_loses_nothing(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    second = make_desk()
    second.controller.bring_back()
    keep(second, 40, 60)
    second.controller.close()
    third = make_desk()
    third.controller.bring_back()
    np.testing.assert_array_equal(third.canvas.labels, second.canvas.labels)
    third.controller.undo()
    third.controller.close()
    fourth = make_desk()
    fourth.controller.bring_back()
    np.testing.assert_array_equal(fourth.canvas.labels, second.canvas.labels)


def test_a_stray_click_hides_no_earlier_work(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    second = make_desk()
    second.canvas.click(40, 60)
    second.controller.close()
    third = make_desk()
    third.controller.bring_back()
    np.testing.assert_array_equal(third.canvas.labels, first.canvas.labels)


def test_work_goes_on_where_a_result_stays_in_the_viewer(make_desk: MakeDesk, tmp_path: Path) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.canvas.click(50, 10)
    first.controller.close()
    canvas = FakeCanvas(np.zeros(STACK))
    canvas.labels, canvas.kept_in = first.canvas.labels.copy(), first.canvas.kept_in
    second = make_desk(canvas=canvas)
    assert second.state.earlier is None
    np.testing.assert_array_equal(second.preview, disc(SHAPE, 50, 10, RADII[0]))
    second.controller.clear()
    assert second.state.objects[0].score == pytest.approx(0.9)
    keep(second, 40, 60)
    second.controller.close()
    assert list((tmp_path / "work").iterdir()) == [read_folder(first)]
    third = make_desk()
    third.controller.bring_back()
    np.testing.assert_array_equal(third.canvas.labels, second.canvas.labels)


def test_a_result_that_was_deleted_is_not_mixed_with_the_next(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.canvas.labels = np.zeros_like(first.canvas.labels)  # a new layer
    keep(first, 40, 60)
    first.controller.close()
    second = make_desk()
    second.controller.bring_back()
    np.testing.assert_array_equal(second.canvas.labels, first.canvas.labels)


def test_nothing_is_brought_back_to_an_image_that_was_left(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    second = make_desk()
    second.at_once = False
    second.controller.bring_back()
    second.controller.choose_image(None)
    second.run(-1)
    assert not second.canvas.labels.any()
    second.at_once = True
    second.controller.choose_image(second.canvas)
    assert second.state.earlier is not None, "it is still offered"


def test_an_image_that_is_opened_again_is_offered_its_work(make_desk: MakeDesk) -> None:
    desk = make_desk()
    keep(desk, 20, 20)
    desk.canvas.image_removed.emit()
    assert desk.controller._autosave is not None
    deadline = time.monotonic() + 60
    while desk.controller._autosave.find(desk.canvas.identity) is None and time.monotonic() < deadline:
        time.sleep(0.01)  # the thread lets go of it when all is kept
    again = FakeCanvas(np.zeros(STACK))
    desk.controller.choose_image(again)
    desk.controller.bring_back()
    np.testing.assert_array_equal(again.labels, desk.canvas.labels)


def test_undone_objects_do_not_come_back(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    keep(first, 40, 60)
    first.controller.objects.delete([1])
    first.controller.close()
    second = make_desk()
    second.controller.bring_back()
    assert sorted(np.unique(second.canvas.labels)) == [0, 2]


def test_only_the_same_image_is_offered_its_work_and_nobody_elses(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    assert make_desk((3, *SHAPE)).state.earlier is None, "of another shape"
    second = make_desk()
    second.controller.choose_image(FakeCanvas(np.zeros(STACK), "other cells"))
    assert second.state.earlier is None, "of another name"
    second.controller.choose_image(second.canvas)
    assert second.state.earlier is not None
    folder = read_folder(first)
    lock = FileLock(folder / ".lock")
    with lock:
        assert make_desk().state.earlier is None, "somebody is at it"
        second.controller.discard_found()
        assert (folder / "about.json").exists()


def test_discarded_work_is_gone(make_desk: MakeDesk, tmp_path: Path) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    second = make_desk()
    second.controller.discard_found()
    assert second.state.earlier is None
    assert list((tmp_path / "work").iterdir()) == []
    assert make_desk().state.earlier is None


def test_nothing_is_kept_of_nothing(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    desk.canvas.slide(1)
    desk.controller.close()
    assert not (tmp_path / "work").exists()


def test_old_work_and_too_much_of_it_is_thrown_away(
    make_desk: MakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shape in ((1, *SHAPE), (2, *SHAPE), (3, *SHAPE)):
        desk = make_desk(shape)
        keep(desk, 20, 20)
        desk.controller.close()
    work = tmp_path / "work"
    by_age = sorted(work.iterdir(), key=lambda folder: (folder / "about.json").stat().st_mtime)
    os.utime(by_age[-1] / "about.json", (0, 0))
    monkeypatch.setattr(autosave_module, "KEPT_FOLDERS", 1)
    make_desk().controller.close()
    assert list(work.iterdir()) == [by_age[1]]


def test_a_folder_that_cannot_be_written_is_told_of_once_and_written_when_it_can_be(
    make_desk: MakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autosave_module, "DELAY", 0.01)
    monkeypatch.setattr(autosave_module, "AGAIN", 0.01)
    tries: list[Record] = []
    keep_one = Record.keep
    monkeypatch.setattr(Record, "keep", lambda one, pending: (tries.append(one), keep_one(one, pending)))
    (tmp_path / "work").write_text("a file where the folder should be")
    desk = make_desk()
    keep(desk, 20, 20)
    keep(desk, 40, 60)
    deadline = time.monotonic() + 60
    while len(tries) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(tries) >= 3, "it is tried again"
    (error,) = desk.errors
    assert "cannot be written" in error
    assert sorted(np.unique(desk.canvas.labels)) == [0, 1, 2], "and nothing else breaks"
    (tmp_path / "work").unlink()
    desk.controller.close()
    second = make_desk()
    second.controller.bring_back()
    np.testing.assert_array_equal(second.canvas.labels, desk.canvas.labels)


def test_damaged_work_is_named(make_desk: MakeDesk, tmp_path: Path) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.close()
    (folder,) = (tmp_path / "work").iterdir()
    (folder / "prompts.json").write_text("{")
    with pytest.raises(ReadError, match=r"prompts\.json cannot be read"):
        read(folder)
    second = make_desk()
    failures: list[str] = []
    second.controller._report = failures.append
    second.controller.bring_back()
    assert "cannot be read" in failures[0]
    assert not second.canvas.labels.any()
    assert folder.exists()


SESSION = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from desk import Desk
from napari_sam2refiner.viewer.autosave import Autosave
desk = Desk(autosave=Autosave(Path({folder!r}), print))
for number in range(1, 100):
    desk.canvas.click(2 + number // 10 * 5, 4 + number % 10 * 7)
    desk.controller.commit()
    print(number, time.time(), flush=True)
    time.sleep(0.05)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_session_has_lost_no_more_than_two_seconds(make_desk: MakeDesk, tmp_path: Path) -> None:
    code = SESSION.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "work"))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        kept: list[tuple[int, float]] = []
        for line in session.stdout:
            number, when = line.split()
            kept.append((int(number), float(when)))
            if int(number) == 70:
                session.send_signal(signal.SIGKILL)
        killed = time.time()
    desk = make_desk(SHAPE)
    assert desk.state.earlier is not None
    desk.controller.bring_back()
    there = set(np.unique(desk.canvas.labels))
    assert {number for number, when in kept if when < killed - 2} <= there
    assert len(there) > 1


def test_names_come_back_and_are_undone_with_the_work(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    first.controller.objects.call(1, "Anna")
    first.controller.objects.classify("round", [1])
    first.controller.close()
    second = make_desk()
    keep(second, 40, 60)
    second.controller.bring_back()
    assert second.canvas.names == {2: Named("Anna", "round")}
    second.controller.undo()
    assert not second.canvas.names
    second.controller.redo()
    assert second.canvas.names == {2: Named("Anna", "round")}


def test_what_finds_no_pixel_free_leaves_no_name(make_desk: MakeDesk) -> None:
    first = make_desk()
    keep(first, 20, 20)
    keep(first, 40, 60)
    first.controller.objects.call(1, "Anna")
    first.controller.objects.call(2, "Bert")
    first.controller.close()
    second = make_desk()
    keep(second, 20, 20)
    second.controller.bring_back()
    assert second.canvas.names == {3: Named("Bert")}
    assert {object_id for _, object_id in second.controller.in_hand[1].origins.known} == {1, 3}
    assert second.state.news.startswith("Earlier work is back, but for 1 object")


def test_work_from_before_there_were_names_is_read(make_desk: MakeDesk) -> None:
    desk = make_desk()
    keep(desk, 20, 20)
    desk.controller.close()
    path = read_folder(desk) / "prompts.json"
    contents = json.loads(path.read_text())
    del contents["names"]
    path.write_text(json.dumps(contents))
    restored = read(path.parent)
    assert not restored.names
    assert len(restored.origins) == 1
