"""One thread for all inference; the newest prompt wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_sam2refiner.viewer.segmenter import Job, Outcome, Tell, perform

Done = Callable[[Outcome], None]


class SupersededError(Exception):
    """Raised inside a job that nobody waits for any more."""


class Worker(QObject):
    """Runs jobs one after another in a thread of its own, and hands their outcomes to the thread that made it.

    A job that still waits is dropped, unrun and unanswered, when a newer one of its kind comes; so is a "prepare" when
    an "answer" comes, since answering prepares as well.
    """

    _performed = Signal(object, object)  # done, outcome
    _progressed = Signal(object, float)  # job's on_progress, share

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[tuple[Job, Done]] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._performed.connect(self._on_performed)
        self._progressed.connect(self._on_progressed)
        # A daemon, so that a download that hangs cannot keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="sam2refiner", daemon=True)
        self._thread.start()

    def submit(self, job: Job, done: Done) -> None:
        """Run a job when its turn comes; `done` gets its outcome on the thread that made this worker."""
        superseded = {job.kind, "prepare"} if job.kind == "answer" else {job.kind}
        with self._changed:
            self._waiting = [waiting for waiting in self._waiting if waiting[0].kind not in superseded]
            self._waiting.append((job, done))
            self._changed.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Drop what waits and end the thread, after the job that runs; may be called again.

        Parameters
        ----------
        timeout : float
            Seconds to wait for that job at most.
        """
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                job, done = self._waiting.pop(0)
            outcome = perform(job, partial(self._tell, job))
            with suppress(RuntimeError):  # the window is gone, and this object with it
                self._performed.emit(done, outcome)
            del job, done, outcome  # while it waits the thread must keep no image and no viewer alive

    def _tell(self, job: Job, share: float) -> None:
        """Pass on how far a job is; raise to end one that nobody waits for."""
        with self._changed:
            is_superseded = self._is_closed or any(waiting.kind == job.kind for waiting, _ in self._waiting)
        if is_superseded:
            raise SupersededError
        if job.on_progress is not None:
            self._progressed.emit(job.on_progress, share)

    def _on_progressed(self, on_progress: Tell, share: float) -> None:
        if not self._is_closed:
            on_progress(share)

    def _on_performed(self, done: Done, outcome: Outcome) -> None:
        if not self._is_closed:
            done(outcome)
