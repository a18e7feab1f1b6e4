"""Has the objects of a frame followed through a stack, into their labels; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import Field

from napari_sam2refiner.viewer.history import Act, History
from napari_sam2refiner.viewer.runs import Pair, Runner, RunState
from napari_sam2refiner.viewer.segmenter import FollowedFrame, FollowRequest, Job, Outcome, Segmenter
from napari_sam2refiner.viewer.state import Direction, StackAxis

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.canvas import Written
    from napari_sam2refiner.viewer.loader import Submit


class StackPair(Pair, Protocol):
    """What the follower needs of a stack and its labels in a viewer, as they were when it was told to begin."""

    @property
    def name(self) -> str:
        """The labels' name."""

    @property
    def loss(self) -> str:
        """What has become of a layer, so that there is nothing to write; empty when nothing."""

    @property
    def axes(self) -> tuple[StackAxis, ...]:
        """Those that frames may follow each other on."""

    @property
    def key(self) -> Hashable:
        """Another value for another image or other labels."""

    def request(
        self,
        axis: int,
        frames: range,
        direction: Direction,
        written: Mapping[int, frozenset[int]],
        *,
        early_stop: bool,
    ) -> FollowRequest:
        """Return what to ask for."""

    def write(self, plane: PlaneIndex, labels: npt.NDArray[Any], ids: Iterable[int]) -> Written:
        """Write objects into a plane; other objects keep their pixels."""

    def go_to(self, plane: PlaneIndex) -> None:
        """Show a plane."""


@dataclass(frozen=True, slots=True)
class FrameReport:
    """How sure the model is of a frame that objects were followed to.

    Attributes
    ----------
    score : float
        The lowest of its objects'.
    weak : str
        Why it is worth a look; empty when it is not.
    is_given : bool
        Whether the objects on it were given, by whoever had them followed from there.
    """

    score: float
    weak: str
    is_given: bool = False

    @property
    def words(self) -> str:
        """What there is to say."""
        return "the objects are followed from here" if self.is_given else self.weak or f"lowest score {self.score:.2f}"


class FollowState(RunState):
    """What the dock shows.

    Attributes
    ----------
    axes, axis : tuple of StackAxis, StackAxis or None
        Which axes frames may follow each other on, and the one that is chosen.
    first, last : int
        Frames to go to, both included.
    direction : "both", "forward" or "backward"
    early_stop : bool
        Whether objects are followed no further from where they are worth a look.
    reports : dict of int to FrameReport
        Of the frames that objects were followed to.
    next_undo, next_redo : str
        What undo and redo would do; empty when nothing.
    """

    axes: tuple[StackAxis, ...] = ()
    axis: StackAxis | None = None
    first: int = 0
    last: int = 0
    direction: Direction = "both"
    early_stop: bool = False
    reports: dict[int, FrameReport] = Field(default_factory=dict)
    next_undo: str = ""
    next_redo: str = ""

    @property
    def can_follow(self) -> bool:
        """Whether there is a model and a stack, and nothing runs."""
        return self.model is not None and self.axis is not None and not self.running

    @property
    def weak_frames(self) -> list[int]:
        """Frames that are worth a look."""
        return sorted(frame for frame, report in self.reports.items() if report.weak)

    @property
    def status(self) -> str:
        """What happens now, else what happened last."""
        if self.loading:
            return self.load_news
        if self.running:
            return (
                "Looking at the first frame ..." if self.share is None else f"Following: {100 * self.share:.0f} % ..."
            )
        return self.news or "Go to a frame where the objects are labelled, then follow them to the others."


class Follower(Runner[FollowState, StackPair]):
    """Has objects followed; its parameters are those of every `Runner`. What a run has written stays."""

    def __init__(
        self,
        state: FollowState,
        segmenter: Segmenter,
        submit: Submit,
        make_pair: Callable[[Any, Any], StackPair],
        report: Callable[[str], None],
    ) -> None:
        super().__init__(state, segmenter, submit, make_pair, report)
        self._history = History()
        self._run: _Run | None = None
        self._shown: _Shown | None = None  # what the reports are of
        self._written: dict[int, frozenset[int]] = {}  # of what is shown: objects by frame

    def look_at(self, image: Any, labels: Any) -> None:
        """List the axes of a stack; where it has others than before, all of its frames are chosen."""
        if self.is_closed or self.state.running:
            return
        pair = None if image is None or labels is None else self._make_pair(image, labels)
        if self._shown is not None and (pair is None or pair.key != self._shown.key):
            self._forget()
        axes = () if pair is None else pair.axes
        if axes != self.state.axes:
            chosen = self.state.axis
            self.state.axes = axes
            self.choose_axis(chosen if chosen in axes else next(iter(axes), None))

    def choose_axis(self, axis: StackAxis | None) -> None:
        """Choose what frames follow each other on, and all of them."""
        if axis != self.state.axis:
            self.state.axis = axis
            self.state.first, self.state.last = 0, axis.size - 1 if axis is not None else 0
            self._forget()

    def choose_frames(self, first: int, last: int) -> None:
        """Choose the frames to go to, both included."""
        self.state.first, self.state.last = min(first, last), max(first, last)

    def choose_direction(self, direction: Direction) -> None:
        """Choose which way to follow."""
        self.state.direction = direction

    def choose_early_stop(self, early_stop: bool) -> None:
        """Choose whether objects are followed no further from where they are worth a look."""
        self.state.early_stop = early_stop

    def follow(self, image: Any, labels: Any) -> None:
        """Follow the objects of the frame that is shown, or say why not."""
        if self.is_closed or self.state.running or self.state.model is None:
            return
        pair = self._pair_of(image, labels)
        if pair is None:
            return
        axis = self.state.axis
        if pair.obstacle or axis is None or axis not in pair.axes:
            self._fail(pair.obstacle or "The axis that frames follow each other on is on display; choose another.")
            return
        frames = range(self.state.first, self.state.last + 1)
        ask = partial(pair.request, axis.axis, frames, self.state.direction, early_stop=self.state.early_stop)
        request = ask(dict(self._written))
        if self._shown is not None and (request.key, request.planes) != (self._shown.key, self._shown.planes):
            self._forget()
            request = ask({})
        self._models.wake()
        self._runs += 1
        run = self._run = _Run(self._runs, pair, request)
        self._shown = _Shown(pair, request.key, request.planes)
        self.state.running, self.state.share = True, None
        work = partial(self._segmenter.follow, request)
        job = Job("follow", work, partial(self._on_progressed, run), partial(self._is_current, run.number))
        self._submit(job, partial(self._on_followed, run))

    def cancel(self) -> None:
        """End the run; what is written stays, and can be undone."""
        if self._run is not None:
            self._say(f"Cancelled; {_frames(self._end())} written.")

    def check_layers(self) -> None:
        """End the run where one of its layers has gone, and let go of these."""
        loss = "" if self._shown is None else self._shown.pair.loss
        if not loss:
            return
        if self._run is not None:
            self._end()
            self._say(f"{loss}, so following ended.")
        self._forget()
        self._submit(Job("forget", self._segmenter.forget), lambda _: None)

    def undo(self) -> None:
        """Take back what the newest run wrote, on all frames."""
        if not self.state.running and (what := self._history.undo()):
            self._say(f"Undone: {what}.")
            self._show_history()

    def redo(self) -> None:
        """Write again what was taken back."""
        if not self.state.running and (what := self._history.redo()):
            self._say(f"Done again: {what}.")
            self._show_history()

    def show_frame(self, frame: int) -> None:
        """Show a frame that objects were followed to."""
        if self._shown is not None and frame < len(self._shown.planes):
            self._shown.pair.go_to(self._shown.planes[frame])
            report = self.state.reports.get(frame)
            if report is not None and not self.state.running:
                self._say(f"Frame {frame}: {report.words}.")

    def show_weak(self, frame: int, step: int) -> None:
        """Show the next frame after (step 1) or before (-1) this one that is worth a look."""
        ahead = [weak for weak in self.state.weak_frames if step * (weak - frame) > 0]
        if ahead:
            self.show_frame(min(ahead, key=lambda weak: abs(weak - frame)))
        elif not self.state.running:
            self._say(f"No weak frame {'after' if step > 0 else 'before'} this one.")

    def _let_go(self) -> None:
        self._run = self._shown = None
        self._history = History()

    def _words_when_ready(self) -> str:
        return ""

    def _on_progressed(self, run: _Run, share: float) -> None:
        if self._is_current(run.number):
            self._write(run)
            self.state.share = share

    def _write(self, run: _Run) -> None:
        """Write the frames that have been found meanwhile."""
        self.check_layers()
        reports = dict(self.state.reports)
        while self._is_current(run.number) and run.request.found:
            found = run.request.found.popleft()
            if found.fresh:
                before = self._written.get(found.index, frozenset())
                self._written[found.index] = (before - found.fresh) | (found.fresh & found.known)
                run.write(found, before, self._written[found.index])
            report = _report(found)
            if report is None:
                reports.pop(found.index, None)
            else:
                reports[found.index] = report
        if self._is_current(run.number):
            self.state.reports = reports

    def _on_followed(self, run: _Run, outcome: Outcome) -> None:
        if not self._is_current(run.number):
            return
        self._write(run)
        if not self._is_current(run.number):
            return
        written = self._end()
        if outcome.error:
            self._fail(f"{outcome.error} {_frames(written).capitalize()} written." if written else outcome.error)
            return
        if not written:
            self._say("Nothing was left to do: on these frames the objects are labelled already.")
            return
        weak = len(self.state.weak_frames)
        look = f"; {weak} {'is' if weak == 1 else 'are'} worth a look" if weak else ""
        self._say(f"{_frames(written).capitalize()} written in {outcome.value:.1f} s{look}.")

    def _end(self) -> int:
        """End the run, whose writing becomes one act; return how many frames it wrote."""
        assert self._run is not None
        run, self._run = self._run, None
        self._runs += 1
        self.state.running, self.state.share = False, None
        if run.written:
            self._history.add(Act("following", partial(self._take_back, run), partial(self._write_again, run)))
            self._show_history()
        return len({one.frame for one in run.written})

    def _take_back(self, run: _Run) -> None:
        for one in reversed(run.written):
            one.pixels.undo()
            self._note(run, one.frame, one.before)

    def _write_again(self, run: _Run) -> None:
        for one in run.written:
            one.pixels.redo()
            self._note(run, one.frame, one.after)

    def _note(self, run: _Run, frame: int, written: frozenset[int]) -> None:
        """Keep what runs have written on a frame of what is shown; a run that is undone may be of other layers."""
        if self._shown is not None and (self._shown.key, self._shown.planes) == (run.request.key, run.request.planes):
            self._written[frame] = written

    def _forget(self) -> None:
        """Show nothing any more of what was followed."""
        self._shown, self._written, self.state.reports = None, {}, {}

    def _show_history(self) -> None:
        self.state.next_undo, self.state.next_redo = self._history.next_undo, self._history.next_redo


class _Shown(NamedTuple):
    """What the reports are of: layers as they were, and the frames."""

    pair: StackPair
    key: Hashable
    planes: tuple[PlaneIndex, ...]


class _Written(NamedTuple):
    """What a run wrote on a frame, and the objects that runs had written there before and after."""

    frame: int
    pixels: Written
    before: frozenset[int]
    after: frozenset[int]


class _Run:
    """One run: its number, its layers, what was asked and what was written."""

    def __init__(self, number: int, pair: StackPair, request: FollowRequest) -> None:
        self.number = number
        self.pair = pair
        self.request = request
        self.written: list[_Written] = []

    def write(self, found: FollowedFrame, before: frozenset[int], after: frozenset[int]) -> None:
        """Write what was followed to a frame; the objects that runs have written there, before and after."""
        pixels = self.pair.write(self.request.planes[found.index], found.labels, found.fresh)
        self.written.append(_Written(found.index, pixels, before, after))


def _report(found: FollowedFrame) -> FrameReport | None:
    """Say how sure a frame is: by its scores, and by what is worth a look; None where nothing was to be found."""
    score = min(found.scores.values(), default=0.0)
    if found.doubts:
        number, words = next(iter(found.doubts.items()))
        more = f", and {len(found.doubts) - 1} more" if len(found.doubts) > 1 else ""
        return FrameReport(score, f"object {number} {words}{more}")
    return FrameReport(score, "", is_given=bool(found.given)) if found.scores else None


def _frames(count: int) -> str:
    return f"{count} frame{' was' if count == 1 else 's were'}"
