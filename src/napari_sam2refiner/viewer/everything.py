"""Has every object of the plane that is shown found, and puts them into the result; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psygnal import EventedModel

from napari_sam2refiner.errors import reason_of
from napari_sam2refiner.planes.region import Picture
from napari_sam2refiner.sessions.everything import Filters
from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.objects import Named, Origin
from napari_sam2refiner.viewer.segmenter import EverythingRequest, FoundEverything, Job, Outcome, Segmenter
from napari_sam2refiner.viewer.state import DockState, resolve

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.work import Work


class EverythingState(EventedModel):
    """What the dock shows of it.

    Attributes
    ----------
    score, area : float, int
        Objects of which the model is less sure, or that are smaller, are left out.
    running, share : bool, float or None
        Whether objects are being looked for, and the share that is done; None before there is any.
    news : str
        What happened last.
    """

    score: float = Filters().score
    area: int = Filters().area
    running: bool = False
    share: float | None = None
    news: str = ""

    @property
    def status(self) -> str:
        """What happens now, else what happened last."""
        if self.running:
            return (
                "Looking for objects ..."
                if self.share is None
                else f"Looking for objects: {100 * self.share:.0f} % ..."
            )
        return self.news or "Finds every object on the plane that is shown; what is in the result already stays."


class Everything:
    """Looks for objects off this thread, and writes them, undoably, where the result has none.

    A run is of one image, one plane and the pixels that they have when it begins. What comes of one that was cancelled,
    or whose image is not at hand any more, is dropped.

    Parameters
    ----------
    state : EverythingState
    dock : DockState
    segmenter : Segmenter
        Touched by the worker alone, through jobs.
    submit : callable
        Takes a job and what to call with its outcome, on the thread that runs this.
    at_hand : callable
        Returns the work at hand, None where there is none.
    on_written : callable
        Called when the result has changed; what was found is said here.
    report : callable
        Takes one sentence about what went wrong.
    wake : callable
        Has the model loaded again that was taken out of memory.
    """

    def __init__(
        self,
        state: EverythingState,
        dock: DockState,
        segmenter: Segmenter,
        submit: Submit,
        at_hand: Callable[[], Work | None],
        on_written: Callable[[], None],
        report: Callable[[str], None],
        wake: Callable[[], None],
    ) -> None:
        self.state = state
        self._dock = dock
        self._wake = wake
        self._segmenter, self._submit = segmenter, submit
        self._at_hand, self._on_written, self._report = at_hand, on_written, report
        self._runs = 0

    def set_score(self, score: float) -> None:
        """Choose how sure the model must be of an object."""
        self.state.score = score

    def set_area(self, area: int) -> None:
        """Choose how many pixels an object must have."""
        self.state.area = area

    def find(self) -> None:
        """Look for every object on the plane that is shown, or say why not."""
        work = self._at_hand()
        if self.state.running:
            return
        if work is None or not resolve(self._dock).can_click or self._dock.loading:
            self._fail(self._dock.obstacle or "Open an image and choose a model first; while one loads, wait for it.")
            return
        if self._dock.too_large_to_list:
            self._fail("This plane is too large to be segmented as a whole here; crop it, or click on its objects.")
            return
        self._wake()
        self._runs += 1
        run = self._runs
        self.state.running, self.state.share = True, None
        filters = Filters(score=self.state.score, area=self.state.area)
        request = EverythingRequest(work.canvas.source, work.canvas.plane, refine=self._dock.refines, filters=filters)
        find = partial(self._segmenter.everything, request)
        job = Job("everything", find, partial(self._on_progressed, run), partial(self._is_current, run))
        self._submit(job, partial(self._on_found, run, work, request))

    def cancel(self) -> None:
        """End the run; nothing is written."""
        if self.state.running:
            self._end("Cancelled; nothing was written.")

    def forget_news(self) -> None:
        """Say no more what was found last: it may be undone, or of another image."""
        self.state.news = ""

    def close(self) -> None:
        """Wait for nothing any more; may be called again."""
        self._runs += 1

    def _is_current(self, run: int) -> bool:
        """Return whether a run is still wanted; the worker asks this too."""
        return run == self._runs

    def _on_progressed(self, run: int, share: float) -> None:
        if self._is_current(run):
            self.state.share = share

    def _on_found(self, run: int, work: Work, request: EverythingRequest, outcome: Outcome) -> None:
        if not self._is_current(run):
            return
        if outcome.error:
            self._end("")
            self._fail(outcome.error)
            return
        if work is not self._at_hand() or work.canvas.source is not request.source:
            self._end("The image is another now, so nothing was written.")
            return
        found: FoundEverything = outcome.value
        try:
            count = self._write(work, request.plane, found)
        except Exception as error:  # whatever a layer raises
            self._end("")
            self._fail(f"The objects cannot be written: {reason_of(error)}.")
            return
        self._end(_summary(count, len(found.objects), found.seconds))
        if count:
            self._on_written()

    def _write(self, work: Work, plane: PlaneIndex, found: FoundEverything) -> int:
        """Write what has room in the result, as new ids; return how many objects that are."""
        there = work.canvas.labels_on(plane)
        taken = np.zeros(found.labels.shape, np.bool_) if there is None else np.asarray(there) > 0
        first = work.canvas.next_id()
        labels, kept = _with_room(found.labels, taken, first)
        if kept:
            written = work.canvas.write_objects(plane, Picture.of(labels), "keep")
            known = {one.object_id: one for one in found.objects}
            origins: dict[int, Origin | None] = {
                number: Origin(Marks(points=((*known[one].point, True),)), known[one].score)
                for number, one in enumerate(kept, first)
            }
            what = f"{len(kept)} objects found" if len(kept) != 1 else "1 object found"
            names = dict.fromkeys(origins, Named())  # what had these ids before is not there any more
            work.change_result(what, written, origins, work.draft(plane), names, plane)
        return len(kept)

    def _end(self, news: str) -> None:
        self._runs += 1
        self.state.running, self.state.share, self.state.news = False, None, news

    def _fail(self, error: str) -> None:
        self.state.news = error
        self._report(error)


def _with_room(
    found: npt.NDArray[np.uint32], taken: npt.NDArray[np.bool_], first: int
) -> tuple[npt.NDArray[np.uint32], list[int]]:
    """Return the objects that have enough pixels left where something is taken, with ids from `first` on, and which."""
    whole, left = np.bincount(found.ravel()), np.bincount(found[~taken], minlength=int(found.max(initial=0)) + 1)
    enough = (left > 0) & (left >= (1.0 - Filters().overlap) * whole)
    enough[0] = False
    kept: list[Any] = np.flatnonzero(enough).tolist()
    ids = np.zeros(len(whole), np.uint32)
    ids[kept] = np.arange(first, first + len(kept))
    return ids[found], kept


def _summary(written: int, found: int, seconds: float) -> str:
    """Say how many objects were found and written, and how long it took."""
    if not found:
        return f"No object was found that is sure and large enough; {seconds:.1f} s."
    parts = [f"{written} object{'' if written == 1 else 's'} found"]
    if found > written:
        left = found - written
        parts.append(f"{left} more lie{'s' if left == 1 else ''} where the result has objects already")
    return f"{', '.join(parts)}; {seconds:.1f} s."
