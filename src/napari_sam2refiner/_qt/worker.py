"""One thread for all inference; what nobody waits for any more is not run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_sam2refiner.viewer.segmenter import Job, Outcome, Tell, perform

Done = Callable[[Outcome], None]


SLOW_IMPORT = "pandas"  # for which napari's first layer with features would stop the window for 0.4 s
SWITCH = 0.0005  # seconds after which the window's thread has the interpreter back, instead of five thousandths


class SupersededError(Exception):
    """Raised inside a job that nobody waits for any more."""


class Worker(QObject):
    """Runs jobs one after another in a thread of its own, and hands their outcomes to the thread that made it."""

    _performed = Signal(object, object)  # done, outcome
    _progressed = Signal(object, float)  # job's on_progress, share

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._is_closed = False
        self._emitting = threading.Lock()  # nothing is emitted once this object may be taken down
        self._performed.connect(self._on_performed)
        self._progressed.connect(self._on_progressed)
        sys.setswitchinterval(min(SWITCH, sys.getswitchinterval()))
        # A daemon, so that a download that hangs cannot keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="sam2refiner", daemon=True)
        self._thread.start()

    def submit(self, job: Job, done: Done) -> None:
        """Run a job when its turn comes; `done` gets its outcome on the thread that made this worker."""
        self._jobs.put((job, done))

    def close(self) -> None:
        """Drop what waits and let the thread end after the job that runs; waits for nothing, may be called again."""
        with self._emitting:
            self._is_closed = True
        with suppress(Empty):  # what waits would keep images and viewers alive
            while True:
                self._jobs.get_nowait()
        self._jobs.put(None)

    def join(self, timeout: float = 5.0) -> None:
        """Wait for the thread of a closed worker to end.

        Parameters
        ----------
        timeout : float
            Seconds to wait at most for the job that runs.
        """
        self._thread.join(timeout)

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None and not self._is_closed:
            job, done = entry
            self._emit(self._performed, done, perform(job, partial(self._tell, job)))
            del entry, job, done  # while it waits the thread must keep no image and no viewer alive

    def _tell(self, job: Job, share: float) -> None:
        """Pass on how far a job is; raise to end one that nobody waits for."""
        if self._is_closed or not job.is_wanted():
            raise SupersededError
        if job.on_progress is not None:
            self._emit(self._progressed, job.on_progress, share)

    def _emit(self, signal: Any, *values: Any) -> None:
        with self._emitting:
            if not self._is_closed:
                signal.emit(*values)

    def _on_progressed(self, on_progress: Tell, share: float) -> None:
        if not self._is_closed:
            on_progress(share)

    def _on_performed(self, done: Done, outcome: Outcome) -> None:
        if not self._is_closed:
            done(outcome)


def warm_up(worker: Worker | None, done: Callable[[], None]) -> bool:
    """Import, off the GUI thread, what layers need; return whether it is there already, else `done` is called."""
    if worker is None or SLOW_IMPORT in sys.modules:
        return True
    worker.submit(Job("import", lambda _: import_module(SLOW_IMPORT)), lambda _: done())
    return False
