"""The part of the dock that runs in the worker: a model, and one session for each plane looked at lately."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidLabelsError, SAM2RefinerError, UnknownModelError
from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.everything import Filters, FoundObject, segment_everything
from napari_sam2refiner.sessions.relabel import Change, refine_labels
from napari_sam2refiner.viewer.drafts import Answered
from napari_sam2refiner.viewer.memory import give_back, resident
from napari_sam2refiner.viewer.several import Known, find_each, summary_of

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.sessions.base import PlaneSession, Prediction
    from napari_sam2refiner.viewer.marks import Marks
    from napari_sam2refiner.viewer.state import Direction


class FollowingSession(Protocol):
    """What follows objects through frames: `StackSession`, which see."""

    def add(self, object_id: int, frame: int, prompts: Prompts) -> Any:
        """Prompt an object on a frame."""

    @property
    def anchors(self) -> dict[int, set[int]]:
        """Frames with prompts of each object, by id."""

    def remove(self, object_id: int, frame: int) -> None:
        """Forget an object's prompts on a frame."""

    def at(self, frame: int) -> Any:
        """Return what is known of a frame."""

    def propagate(self, direction: Direction, frames: range, *, early_stop: bool) -> Iterator[Any]:
        """Follow every object, frame by frame."""


class PlaneSource(Protocol):
    """Where the planes of an image come from; it may be read from another thread."""

    @property
    def key(self) -> Hashable:
        """Another value whenever the pixels, or what becomes black and white, may be others."""

    @property
    def limits(self) -> tuple[float, float] | None:
        """The intensities of its planes that become black and white for a session; percentiles of each where None."""

    def read(self, plane: PlaneIndex) -> npt.NDArray[Any]:
        """Return a (Y, X) or (Y, X, C) plane in memory."""

    def open(self, plane: PlaneIndex) -> Any:
        """Return a plane of which regions are read when they are wanted, for a session."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked of the segmenter: to look at a plane (no marks) or to answer marks on it, refined or not.

    Of marks of one object `previous` is what they correct; of several, `known` is what is known of them. Where
    there is something to show before the answer, it goes to `first`, which is read by another thread.
    `view` is how many rows and columns of the plane are on the screen, if that is known.
    """

    source: PlaneSource
    plane: PlaneIndex
    marks: Marks | None = None
    previous: Prediction | None = None
    refine: bool = True
    view: tuple[float, float] | None = None
    first: SimpleQueue[Answered] = field(default_factory=SimpleQueue)
    known: Known | None = None

    def newest(self, seconds: float | None = None) -> Answered | None:
        """Take the newest of what there is to show, for which one may wait some seconds; None where there is none."""
        newest = None
        with suppress(Empty):
            newest = self.first.get(block=seconds is not None, timeout=seconds)
            while True:
                newest = self.first.get_nowait()
        return newest


@dataclass(frozen=True, slots=True, eq=False)
class RelabelRequest:
    """Labels of a plane to be refined.

    Attributes
    ----------
    source, plane : PlaneSource, PlaneIndex
        The image's.
    labels, labels_plane : PlaneSource, PlaneIndex
        The labels'.
    most_change, refine : float, bool
        As `refine_labels` takes them.
    copy : callable, optional
        Returns a copy of the labels on all planes, where one is needed.
    """

    source: PlaneSource
    plane: PlaneIndex
    labels: PlaneSource
    labels_plane: PlaneIndex
    most_change: float
    refine: bool = True
    copy: Callable[[], npt.NDArray[Any]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Relabelled:
    """Refined labels of a plane.

    Attributes
    ----------
    before, after : (Y, X) array
    changes : tuple of Change
        By id.
    seconds : float
    whole : array or None
        The labels of all planes as they were, where a copy was asked for.
    """

    before: npt.NDArray[Any]
    after: npt.NDArray[Any]
    changes: tuple[Change, ...]
    seconds: float
    whole: npt.NDArray[Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class EverythingRequest(Request):
    """A plane whose objects are all wanted, as far as they pass the filters."""

    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True, eq=False)
class FoundEverything:
    """Objects of a plane that were found without a prompt.

    Attributes
    ----------
    labels : (Y, X) uint32 array
    objects : tuple of FoundObject
        By id.
    seconds : float
    """

    labels: npt.NDArray[np.uint32]
    objects: tuple[FoundObject, ...]
    seconds: float


Written = Mapping[int, frozenset[int]]
"""By frame: objects that were followed to it and are in the labels, as far as nobody has deleted them since."""


@dataclass(frozen=True, slots=True, eq=False)
class FollowRequest:
    """Objects of one frame to be followed to others.

    Attributes
    ----------
    key : hashable
        Another value for another image, or other labels.
    source, planes : PlaneSource, tuple of PlaneIndex
        The image, and its frames in order.
    labels, label_planes : PlaneSource, tuple of PlaneIndex
        The same of the labels.
    frame : int
        The one whose objects are followed.
    frames : range
        Those to go to.
    direction : "both", "forward" or "backward"
    early_stop : bool
        Whether objects are followed no further from where they are worth a look.
    written : Written
        Of earlier runs.
    found : deque of FollowedFrame
        Where each frame goes as soon as it is done; read by another thread.
    """

    key: Hashable
    source: PlaneSource
    planes: tuple[PlaneIndex, ...]
    labels: PlaneSource
    label_planes: tuple[PlaneIndex, ...]
    frame: int
    frames: range
    direction: Direction
    early_stop: bool
    written: Written
    found: deque[FollowedFrame] = field(default_factory=deque)


@dataclass(frozen=True, slots=True, eq=False)
class FollowedFrame:
    """Objects on a frame that they were followed to.

    Attributes
    ----------
    index : int
    labels : (Y, X) integer array
    fresh : set of int
        Objects that were followed here just now, or before without being written, or that are not here any more.
    known : set of int
        Objects that were followed or labelled here, also those that were found to be gone; not those that ended.
    given : set of int
        Objects that were labelled here, and are followed from here.
    scores : dict of int to float
        The model's estimate of each object's IoU, by id; of those that are there.
    doubts : mapping of int to str
        Why objects are worth a look, as words after their names.
    """

    index: int
    labels: npt.NDArray[Any]
    fresh: frozenset[int]
    known: frozenset[int]
    given: frozenset[int]
    scores: dict[int, float]
    doubts: Mapping[int, str]


Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Work for the worker.

    Attributes
    ----------
    kind : "import", "load", "unload", "prepare", "answer", "everything", "list", "restore", "relabel", "follow",
        "exchange" or "forget"
    run : callable
        The work; may call its argument with the share that is done, 0 to 1. That call raises when nobody waits for the
        job any more.
    on_progress : callable, optional
        Gets those shares, on the thread that submitted the job.
    is_wanted : callable, optional
        Whether anybody still waits for it; asked from the worker. A job that nobody wants is not run.
    """

    kind: Literal[
        "import",
        "load",
        "unload",
        "prepare",
        "answer",
        "everything",
        "list",
        "restore",
        "relabel",
        "follow",
        "exchange",
        "forget",
    ]
    run: Callable[[Tell], Any]
    on_progress: Tell | None = None
    is_wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a job: a value, or one sentence about what went wrong."""

    value: Any = None
    error: str = ""


def perform(job: Job, tell: Tell = lambda _: None) -> Outcome:
    """Run a job that is still wanted; whatever it raises becomes one sentence."""
    if not job.is_wanted():
        return Outcome(error="Something newer was asked for.")
    try:
        return Outcome(job.run(tell))
    except SAM2RefinerError as error:
        return Outcome(error=str(error))
    except MemoryError:
        return Outcome(error="There is not enough memory; close other images or choose a smaller model.")
    except Exception as error:  # the thread must go on, and the user must know
        return Outcome(
            error=f"{type(error).__name__}: {error or 'no details'}; please report this with the image's size."
        )


class Segmenter:
    """Answers requests, one at a time, all in one thread.

    Parameters
    ----------
    load_model : callable
        Name of a model, and what to tell the downloaded share -> the model.
    make_session : callable
        Model -> a `PlaneSession` without an image.
    planes : int
        How many planes stay encoded.
    make_stack : callable, optional
        Model and frames -> a `FollowingSession`, for those who follow objects.
    """

    def __init__(
        self,
        load_model: Callable[[str, Tell], Any],
        make_session: Callable[[Any], PlaneSession],
        planes: int = 3,
        make_stack: Callable[[Any, Any], FollowingSession] | None = None,
    ) -> None:
        self._load_model = load_model
        self._make_session = make_session
        self._planes = planes
        self._model: Any = None
        self._sessions: OrderedDict[Hashable, PlaneSession] = OrderedDict()
        self._make_stack = make_stack
        self._stack: tuple[Hashable, FollowingSession] | None = None  # the latest

    def load(self, name: str, tell: Tell) -> bool:
        """Load a model and forget what the one before has seen; that one goes on where the new one cannot be had.

        Return whether another model's refiner is lent to it.
        """
        self._model = self._load_model(name, tell)
        self._sessions.clear()
        self._stack = None
        return getattr(self._model, "second", None) is not None

    def unload(self, _tell: Tell) -> int | None:
        """Let go of the model and of all that it has seen; return how many bytes that gave back, if known."""
        before = resident()
        self._model = None
        self._sessions.clear()
        self._stack = None
        give_back()
        after = resident()
        return None if before is None or after is None else max(before - after, 0)

    def prepare(self, request: Request, tell: Tell) -> None:
        """Look at the plane, so that the first click need not wait for it; a click in between ends this."""
        for share in self._session(request).encode_in_parts():
            tell(share)

    def answer(self, request: Request, tell: Tell) -> Answered:
        """Answer the marks of a request; `tell` when there is something to show before the answer.

        Several objects are answered in batches, between which a newer request may come; `tell` gets the share.
        """
        assert request.marks is not None

        def on_first(predictions: Sequence[Prediction]) -> None:
            predictions[0].part  # noqa: B018 - cut here, not by whoever shows it
            request.first.put(Answered(predictions[0], time.perf_counter() - start))
            tell(0.5)

        start = time.perf_counter()
        session = self._session(request)
        assert session.shape is not None
        if request.marks.others:
            assert request.known is not None
            found = find_each(session, request.marks.objects, request.known, refine=request.refine, tell=tell)
            return Answered(summary_of(found, session.shape), time.perf_counter() - start, found=found)
        prompts = request.marks.prompts(session.shape)
        before, view = request.previous, request.view
        prediction = session.predict(prompts, refine=request.refine, previous=before, on_first=on_first, view=view)
        prediction.part  # noqa: B018 - cut here, not by whoever shows it
        return Answered(prediction, time.perf_counter() - start)

    def everything(self, request: EverythingRequest, tell: Tell) -> FoundEverything:
        """Find every object of a plane."""
        start = time.perf_counter()
        labels, objects = segment_everything(
            self._session(request),
            filters=request.filters,
            refine=request.refine,
            progress=lambda done, known: tell(done / max(known, 1)),
        )
        return FoundEverything(labels, tuple(objects), time.perf_counter() - start)

    def relabel(self, request: RelabelRequest, tell: Tell) -> Relabelled:
        """Refine the labels of a plane; the plane does not stay encoded."""
        start = time.perf_counter()
        before = np.array(request.labels.read(request.labels_plane))  # the user may paint meanwhile
        if not (before > 0).any():
            msg = "There are no objects on this plane of the labels; choose other labels, or move the slider."
            raise InvalidLabelsError(msg)
        session = self._new_session(request.source, request.plane)
        after, changes = refine_labels(
            session,
            before,
            most_change=request.most_change,
            refine=request.refine,
            progress=lambda done, total: tell(done / total),
        )
        whole = None if request.copy is None else request.copy()
        return Relabelled(before, after, tuple(changes), time.perf_counter() - start, whole)

    def follow(self, request: FollowRequest, tell: Tell) -> float:
        """Follow the objects of a frame to others, and return how many seconds it took.

        Wherever these objects are labelled otherwise than they were found to be, somebody has drawn or corrected them:
        they are followed from there, too.
        """
        start = time.perf_counter()
        wanted = ids_in(request.labels.read(request.label_planes[request.frame]))
        if not wanted:
            msg = "There are no objects on this frame of the labels; segment some, or move the slider."
            raise InvalidLabelsError(msg)
        stack = self._following(request)
        unwritten = _heed(stack, request, wanted)
        anchors, passes = stack.anchors, 2 if request.direction == "both" else 1
        followed = stack.propagate(request.direction, request.frames, early_stop=request.early_stop)
        for done, found in enumerate(followed, 1):
            scores = {number: one.score for number, one in found.objects.items() if one.object_score > 0.5}
            given = frozenset(number for number, frames in anchors.items() if found.index in frames)
            stale = found.ended & request.written.get(found.index, frozenset())
            fresh = (found.fresh | unwritten.pop(found.index, frozenset()) | stale) - given
            if found.index in request.frames and (fresh or given):
                known = frozenset(found.objects)
                frame = FollowedFrame(found.index, found.labels, fresh, known, given, scores, found.doubts)
                request.found.append(frame)
            tell(min(1.0, done / (passes * len(request.frames))))
        return time.perf_counter() - start

    def _following(self, request: FollowRequest) -> FollowingSession:
        """Return the session of the request's frames; the latest one is kept."""
        if self._model is None or self._make_stack is None:
            msg = "No model is loaded; choose one in the dock."
            raise UnknownModelError(msg)
        key = (request.key, request.planes)
        if self._stack is None or self._stack[0] != key:
            self._stack = (key, self._make_stack(self._model, _Frames(request.source, request.planes)))
        return self._stack[1]

    def forget(self, _tell: Tell) -> None:
        """Let go of all planes, and of the images they are views of."""
        self._sessions.clear()
        self._stack = None

    def _session(self, request: Request) -> PlaneSession:
        """Return the session of the request's plane; a new one reads the plane."""
        key = (request.source.key, request.plane)
        if key not in self._sessions:
            while len(self._sessions) >= self._planes:
                self._sessions.popitem(last=False)
            self._sessions[key] = self._new_session(request.source, request.plane)
        self._sessions.move_to_end(key)
        return self._sessions[key]

    def _new_session(self, source: PlaneSource, plane: PlaneIndex) -> PlaneSession:
        """Return a session with a plane."""
        if self._model is None:
            msg = "No model is loaded; choose one in the dock."
            raise UnknownModelError(msg)
        return self._make_session(self._model).set_image(source.open(plane), limits=source.limits)


class _Frames:
    """Planes of an image, read when they are asked for."""

    def __init__(self, source: PlaneSource, planes: tuple[PlaneIndex, ...]) -> None:
        self._source = source
        self._planes = planes

    def __len__(self) -> int:
        return len(self._planes)

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        return self._source.read(self._planes[frame])


def _heed(stack: FollowingSession, request: FollowRequest, wanted: list[int]) -> dict[int, frozenset[int]]:
    """Take what somebody has drawn, corrected or deleted; return what is known but was never written, by frame."""
    anchors = stack.anchors
    ours = {*wanted, *anchors}
    corrected: list[tuple[int, int, npt.NDArray[np.bool_]]] = []
    deleted: list[tuple[int, int]] = []
    unwritten: dict[int, frozenset[int]] = {}
    for frame, plane in enumerate(request.label_planes):
        labels, known = request.labels.read(plane), stack.at(frame)
        drawn, written = set(ids_in(labels)), request.written.get(frame, frozenset())
        unwritten[frame] = frozenset(known.objects.keys() - drawn - written)
        deleted += [(number, frame) for number in ours - drawn if frame in anchors.get(number, ())]
        if not drawn & ours:
            continue
        found, free = known.labels, labels == 0
        for number in sorted(drawn & ours):
            mask = labels == number
            if number in known.objects:
                is_theirs = not _is_as_found(mask, found == number, free)
            else:
                is_theirs = frame == request.frame or number not in written
            if is_theirs:
                corrected.append((number, frame, mask))
    # Not before all are compared: what is corrected on one frame is forgotten on its neighbours.
    for number, frame in deleted:
        stack.remove(number, frame)
    for number, frame, mask in corrected:
        stack.add(number, frame, Prompts(mask=mask))
    return unwritten


def _is_as_found(mask: npt.NDArray[Any], found: npt.NDArray[Any], free: npt.NDArray[Any]) -> bool:
    """Return whether an object is as it was found, but for pixels that others took; `free` ones are nobody's."""
    return bool(np.array_equal(mask, found & (mask | free)))
