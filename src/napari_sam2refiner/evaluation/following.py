"""How well objects are followed through a stack: their masks on the first frame are given, all others are compared.

And what a user gets who then corrects the worst frame by clicks.

Rivals are what a user has without a network: the mask copied, and the parts of Otsu's threshold and a watershed on each
frame, linked by overlap or by their centroids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.labels.thresholds import otsu_watershed
from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.metrics import bootstrap_interval, boundary_f, iou
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.stack import StackSession
from napari_sam2refiner.simulated_user import next_click

if TYPE_CHECKING:
    from napari_sam2refiner.datasets.sequences import AnnotatedSequence
    from napari_sam2refiner.network.refiner import SAM2Refiner
    from napari_sam2refiner.network.window_memory import WindowMemory

Labels = npt.NDArray[Any]
Follower = Callable[["AnnotatedSequence", Labels, range], Iterator[Labels]]
"""(sequence, objects of the first frame (Y, X), frames) to the objects of each frame, in their order."""

CLICKS, ENOUGH = 3, 0.9  # on each object of the worst frame: at most so many, until this IoU
AFTER = 10  # frames on which a correction is judged


class Seen(NamedTuple):
    """One object on one frame where it is.

    Attributes
    ----------
    who : str
        Sequence and number of the object.
    distance : int
        Frames after the first.
    j, f : float
        IoU, and F measure of the outlines.
    """

    who: str
    distance: int
    j: float
    f: float


@dataclass
class Followed:
    """Figures of one way to follow, over the frames of sequences that have truth.

    Attributes
    ----------
    seen : list of Seen
        Every object on every frame where it is.
    objects : int
        How many were followed.
    drawn, gone : int
        How often an object that is gone was still drawn, and how often one was gone.
    uncorrected, corrected : list of float
        J of objects on the frames after the worst one of each sequence, without and with clicks on that; empty where
        this was not asked for.
    """

    seen: list[Seen] = field(default_factory=list)
    objects: int = 0
    drawn: int = 0
    gone: int = 0
    uncorrected: list[float] = field(default_factory=list)
    corrected: list[float] = field(default_factory=list)

    def add(self, other: Followed) -> None:
        """Add the figures of another sequence."""
        self.seen += other.seen
        self.objects += other.objects
        self.drawn += other.drawn
        self.gone += other.gone
        self.uncorrected += other.uncorrected
        self.corrected += other.corrected

    @property
    def distances(self) -> list[int]:
        """How many frames after the first there was something to measure, in order."""
        return sorted({one.distance for one in self.seen})

    def j_at(self, distance: int) -> float:
        """Mean J so many frames after the first; nan if there is none."""
        return _mean([one.j for one in self.seen if one.distance == distance])

    @property
    def j(self) -> float:
        """Mean J over all frames after the first; nan if there is none."""
        return _mean([one.j for one in self.seen])

    @property
    def f(self) -> float:
        """Mean F over all frames after the first; nan if there is none."""
        return _mean([one.f for one in self.seen])

    @property
    def interval(self) -> tuple[float, float]:
        """Bootstrap 95 % interval of J, over objects."""
        return bootstrap_interval([one.j for one in self.seen], groups=[one.who for one in self.seen])


def _mean(values: list[float]) -> float:
    """Return the mean; nan of nothing."""
    return float(np.mean(values)) if values else float("nan")


def follow(
    sequence: AnnotatedSequence, followers: Mapping[str, Follower], *, frames: int = 20, objects: int | None = None
) -> dict[str, Followed]:
    """Let each follower carry the objects of the first frame with truth through so many frames after it.

    Parameters
    ----------
    sequence : AnnotatedSequence
    followers : mapping of str to callable
    frames : int
        After the first, at most.
    objects : int, optional
        The largest ones only.
    """
    given, span = _begin(sequence, frames, objects)
    first, chosen = span[0], ids_in(given)
    found = {name: Followed(objects=len(chosen)) for name in followers}
    for name, follower in followers.items():
        for t, labels in zip(span, follower(sequence, given, span), strict=True):
            there = sequence.truth(t)
            if t > first and there is not None:
                _compare(found[name], labels, there, chosen, (sequence.name, t - first))
    return found


def correct_worst(
    sequence: AnnotatedSequence,
    model: SAM2Refiner,
    memory: WindowMemory | None = None,
    *,
    frames: int = 20,
    objects: int | None = None,
) -> Followed:
    """Follow as `follow` does, correct the worst frame by a few clicks on each object, and follow again from there.

    The worst frame is that of the lowest mean J, of those after which there are more with truth.

    Returns
    -------
    Followed
        Its `uncorrected` and `corrected`, of up to ten frames after the worst one; the rest is empty.
    """
    given, span = _begin(sequence, frames, objects)
    stack = _prompted(sequence, model, memory, given, span[0])
    found = {frame.index: frame.labels for frame in stack.propagate("forward", span)}
    truths = {t: truth for t in span[1:] if (truth := sequence.truth(t)) is not None}
    before = {t: _ious(found[t], truths[t], ids_in(given)) for t in truths}
    mean = {t: float(np.mean(list(ious.values()))) for t, ious in list(before.items())[:-1] if ious}
    worst = min(mean, key=mean.__getitem__, default=None)
    if worst is None:
        return Followed()
    for number in before[worst]:
        _click(stack, number, worst, truths[worst] == number)
    then = [t for t in truths if worst < t <= worst + AFTER]
    found = {frame.index: frame.labels for frame in stack.propagate("forward", range(worst, max(then) + 1))}
    after = {t: _ious(found[t], truths[t], list(before[worst])) for t in then}
    pairs = [(before[t][number], value) for t in then for number, value in after[t].items()]
    return Followed(uncorrected=[pair[0] for pair in pairs], corrected=[pair[1] for pair in pairs])


def _begin(sequence: AnnotatedSequence, frames: int, objects: int | None) -> tuple[Labels, range]:
    """Return the objects of the first frame that has some, and the frames to follow them through."""
    first, truth = next(
        (t, truth) for t in range(len(sequence)) if (truth := sequence.truth(t)) is not None and truth.any()
    )
    ids, sizes = np.unique(truth[truth > 0], return_counts=True)
    chosen = ids[np.argsort(-sizes, kind="stable")][:objects]
    return np.where(np.isin(truth, chosen), truth, 0), range(first, min(first + frames + 1, len(sequence)))


def _prompted(
    sequence: AnnotatedSequence, model: SAM2Refiner, memory: WindowMemory | None, given: Labels, frame: int
) -> StackSession:
    """Return a session in which the objects of a frame are given by their masks."""
    stack = StackSession(model, sequence, memory=memory)
    for number in ids_in(given):
        stack.add(number, frame, Prompts(mask=given == number))
    return stack


def _ious(labels: Labels, truth: Labels, ids: list[int]) -> dict[int, float]:
    """Return the IoU of each object that is there."""
    return {number: iou(labels == number, truth == number) for number in ids if (truth == number).any()}


def _click(stack: StackSession, number: int, frame: int, truth: npt.NDArray[np.bool_]) -> None:
    """Correct an object on a frame as a user would."""
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    for _ in range(CLICKS):
        mask = stack.at(frame).labels == number
        click = next_click(mask if mask.any() else None, truth)
        if click is None or iou(mask, truth) >= ENOUGH:
            return
        points.append((click.y, click.x))
        labels.append(int(click.positive))
        stack.add(number, frame, Prompts(points=points, labels=labels))


def _compare(followed: Followed, labels: Labels, truth: Labels, ids: list[int], where: tuple[str, int]) -> None:
    """Add one frame: `where` is its sequence, and how many frames it comes after the first."""
    name, distance = where
    for number in ids:
        mask, wanted = labels == number, truth == number
        if wanted.any():
            measured = Seen(f"{name}/{number}", distance, iou(mask, wanted), boundary_f(mask, wanted))
            followed.seen.append(measured)
        else:
            followed.gone += 1
            followed.drawn += int(mask.any())


def carried_by(model: SAM2Refiner, memory: WindowMemory | None = None) -> Follower:
    """Follow by a stack session, with a window memory of one's own or with what the model has."""

    def follower(sequence: AnnotatedSequence, given: Labels, frames: range) -> Iterator[Labels]:
        for frame in _prompted(sequence, model, memory, given, frames[0]).propagate("forward", frames):
            yield frame.labels

    return follower


def copied(_sequence: AnnotatedSequence, given: Labels, frames: range) -> Iterator[Labels]:
    """Leave every object where it was."""
    for _ in frames:
        yield given


def linked_by_overlap(sequence: AnnotatedSequence, given: Labels, frames: range) -> Iterator[Labels]:
    """Give each object the part of a frame that overlaps most with what it was on the frame before."""
    before = given
    yield given
    for t in frames[1:]:
        parts, labels = otsu_watershed(rescale(sequence[t])), np.zeros_like(given)
        for number in ids_in(before):
            under = np.bincount(parts[before == number], minlength=2)
            part = int(under[1:].argmax()) + 1
            if under[part]:
                labels[(parts == part) & (labels == 0)] = number
        before = labels
        yield labels


def linked_by_centroid(sequence: AnnotatedSequence, given: Labels, frames: range) -> Iterator[Labels]:
    """Give each object the part whose centroid is nearest to its own on the frame before, the nearest pairs first."""
    centres = {n: np.argwhere(given == n).mean(0) for n in ids_in(given)}
    reach = {n: 2.0 * np.sqrt((given == n).sum() / np.pi) for n in centres}  # as far as it is wide
    yield given
    for t in frames[1:]:
        parts, labels = otsu_watershed(rescale(sequence[t])), np.zeros_like(given)
        places = {p: np.argwhere(parts == p).mean(0) for p in ids_in(parts)}
        pairs = sorted(
            (float(np.hypot(*(centre - place))), number, part)
            for number, centre in centres.items()
            for part, place in places.items()
        )
        linked: dict[int, int] = {}
        for distance, number, part in pairs:
            if number not in linked and part not in linked.values() and distance <= reach[number]:
                linked[number] = part
                labels[parts == part] = number
                centres[number] = places[part]
        yield labels


RIVALS: dict[str, Follower] = {"copied": copied, "overlap": linked_by_overlap, "centroid": linked_by_centroid}
