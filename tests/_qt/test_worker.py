from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from napari_sam2refiner._qt.worker import SupersededError, Worker
from napari_sam2refiner.viewer.segmenter import Job, Outcome


@pytest.fixture
def worker(qapp: Any) -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()
    worker.join()
    assert "sam2refiner" not in [thread.name for thread in threading.enumerate()]


class Hold:
    """A job that runs until it is let go."""

    def __init__(self) -> None:
        self.started, self.release = threading.Event(), threading.Event()

    def __call__(self, _: Any) -> str:
        self.started.set()
        assert self.release.wait(10)
        return "held"


def test_runs_off_the_gui_thread_and_answers_on_it(worker: Worker, qtbot: Any) -> None:
    seen: list[Any] = []

    def work(_: Any) -> Any:
        return threading.current_thread()

    worker.submit(Job("answer", work), lambda outcome: seen.append((outcome.value, threading.current_thread())))
    qtbot.waitUntil(lambda: len(seen) == 1, timeout=30_000)
    ((worked, answered),) = seen
    assert worked is not threading.main_thread()
    assert answered is threading.main_thread()


def test_what_nobody_waits_for_is_not_run(worker: Worker, qtbot: Any) -> None:
    hold, newest, ran, done = Hold(), [0], [], []
    worker.submit(Job("answer", hold), lambda outcome: done.append(outcome.value))
    assert hold.started.wait(10)
    for number in range(5):
        newest[0] = number
        job = Job("answer", lambda _, n=number: ran.append(n) or n, is_wanted=lambda n=number: n == newest[0])
        worker.submit(job, lambda outcome: done.append(outcome.value))
    hold.release.set()
    qtbot.waitUntil(lambda: 4 in done, timeout=30_000)
    assert ran == [4]
    assert done == ["held", None, None, None, None, 4]


def test_a_model_is_loaded_before_the_click_that_waits_for_it(worker: Worker, qtbot: Any) -> None:
    hold, done = Hold(), []
    worker.submit(Job("load", hold), lambda outcome: done.append(outcome.value))
    worker.submit(Job("answer", lambda _: "answered"), lambda outcome: done.append(outcome.value))
    hold.release.set()
    qtbot.waitUntil(lambda: len(done) == 2, timeout=30_000)
    assert done == ["held", "answered"]


def test_error_is_an_outcome_and_the_thread_goes_on(worker: Worker, qtbot: Any) -> None:
    outcomes: list[Outcome] = []
    worker.submit(Job("answer", lambda _: 1 / 0), outcomes.append)
    qtbot.waitUntil(lambda: len(outcomes) == 1, timeout=30_000)
    worker.submit(Job("answer", lambda _: "fine"), outcomes.append)
    qtbot.waitUntil(lambda: len(outcomes) == 2, timeout=30_000)
    assert "ZeroDivisionError" in outcomes[0].error
    assert outcomes[1].value == "fine"


def test_progress_arrives_and_a_superseded_download_ends(worker: Worker, qtbot: Any) -> None:
    shares: list[float] = []
    wanted = [True]
    started, go_on = threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def download(tell: Any) -> None:
        tell(0.25)
        started.set()
        assert go_on.wait(10)
        try:
            tell(0.5)
        except SupersededError as error:
            ended.append(error)
            raise

    done: list[Outcome] = []
    worker.submit(Job("load", download, shares.append, lambda: wanted[0]), lambda _: None)
    assert started.wait(10)
    wanted[0] = False
    worker.submit(Job("load", lambda _: "other"), done.append)
    go_on.set()
    qtbot.waitUntil(lambda: len(done) == 1, timeout=30_000)
    assert shares == [0.25]
    assert len(ended) == 1


def test_closing_waits_for_nothing(qapp: Any) -> None:
    worker, hold, done = Worker(), Hold(), []
    worker.submit(Job("answer", hold), done.append)
    assert hold.started.wait(10)
    worker.submit(Job("load", lambda _: done.append("ran")), done.append)
    worker.close()
    worker.close()
    assert worker._thread.is_alive()
    hold.release.set()
    worker.join()
    assert not worker._thread.is_alive()
    qapp.processEvents()
    assert done == []
