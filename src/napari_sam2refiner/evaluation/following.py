"""How well objects are followed through a stack: their masks on the first frame are given, all others are compared.

Rivals are what a user has without a network: the mask copied, and the parts of Otsu's threshold and a watershed on each
frame, linked by overlap or by their centroids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.labels.thresholds import otsu_watershed
from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.stack import StackSession

if TYPE_CHECKING:
    from napari_sam2refiner.datasets.sequences import AnnotatedSequence
    from napari_sam2refiner.network.refiner import SAM2Refiner
    from napari_sam2refiner.network.window_memory import WindowMemory

Labels = npt.NDArray[Any]
Follower = Callable[["AnnotatedSequence", Labels, range], Iterator[Labels]]
"""(sequence, objects of the first frame (Y, X), frames) to the objects of each frame, in their order."""


@dataclass
class Followed:
    """Figures of one way to follow, over the frames of a sequence that have truth.

    Attributes
    ----------
    by_distance : dict of int to list of float
        J (the IoU) of every object that is there, by how many frames after the first.
    objects : int
        How many were followed.
    drawn, gone : int
        How often an object that is gone was still drawn, and how often one was gone.
    """

    by_distance: dict[int, list[float]] = field(default_factory=dict)
    objects: int = 0
    drawn: int = 0
    gone: int = 0

    def add(self, other: Followed) -> None:
        """Add the figures of another sequence."""
        for distance, values in other.by_distance.items():
            self.by_distance.setdefault(distance, []).extend(values)
        self.objects += other.objects
        self.drawn += other.drawn
        self.gone += other.gone

    def j_at(self, distance: int) -> float:
        """Mean J so many frames after the first; nan if there is none."""
        values = self.by_distance.get(distance)
        return float(np.mean(values)) if values else float("nan")

    @property
    def j(self) -> float:
        """Mean J over all frames after the first; nan if there is none."""
        values = [value for values in self.by_distance.values() for value in values]
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
    first, truth = next(
        (t, truth) for t in range(len(sequence)) if (truth := sequence.truth(t)) is not None and truth.any()
    )
    ids, sizes = np.unique(truth[truth > 0], return_counts=True)
    chosen = ids[np.argsort(-sizes, kind="stable")][:objects]
    given = np.where(np.isin(truth, chosen), truth, 0)
    span = range(first, min(first + frames + 1, len(sequence)))
    found = {name: Followed(objects=len(chosen)) for name in followers}
    for name, follower in followers.items():
        for t, labels in zip(span, follower(sequence, given, span), strict=True):
            there = sequence.truth(t)
            if t > first and there is not None:
                _compare(found[name], labels, there, chosen.tolist(), t - first)
    return found


def _compare(followed: Followed, labels: Labels, truth: Labels, ids: list[int], distance: int) -> None:
    """Add one frame."""
    for number in ids:
        mask, wanted = labels == number, truth == number
        if wanted.any():
            followed.by_distance.setdefault(distance, []).append(iou(mask, wanted))
        else:
            followed.gone += 1
            followed.drawn += int(mask.any())


def carried_by(model: SAM2Refiner, memory: WindowMemory | None = None) -> Follower:
    """Follow by a stack session, with a window memory of one's own or with what the model has."""

    def follower(sequence: AnnotatedSequence, given: Labels, frames: range) -> Iterator[Labels]:
        stack = StackSession(model, sequence, memory=memory)
        for number in ids_in(given):
            stack.add(number, frames[0], Prompts(mask=given == number))
        for frame in stack.propagate("forward", frames):
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
