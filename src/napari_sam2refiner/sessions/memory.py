"""What a stack session keeps of one object: its prompts, its masks frame by frame, and what the memory reads of them.

Maps are kept of the frames that the next one reads and of anchors; masks, pointers and scores of every frame, so that
what is missing can be made again.

Letters: h stride-4 pixels of the square; M, D widths of memory and network; g = h / 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from napari_sam2refiner.sessions.doubt import Glimpse

FAINT = -6.0  # logits below are cut off around a mask
LOGIT_LIMIT = 32.0  # of an answer that is given back as a mask prompt, as SAM 2 does


class Mask(NamedTuple):
    """Logits (H, W) of the square or of the plane, cut to where they are not faint, in half precision."""

    part: Tensor
    place: tuple[int, int]  # of its first row and column
    shape: tuple[int, int]
    outside: float  # mean of what was cut off

    @classmethod
    def of(cls, logits: Tensor) -> Mask:
        """Keep logits (H, W)."""
        shape = logits.shape[0], logits.shape[1]
        logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        there = logits > FAINT
        rows, columns = (torch.nonzero(there.any(axis))[:, 0].tolist() for axis in (1, 0))
        if not rows:
            empty = logits.new_empty(0, 0, dtype=torch.float16).cpu()
            return cls(empty, (0, 0), shape, float(logits.mean()))
        # With a pixel more around it, so that an outline between two pixels stays where it is.
        y, x = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
        part = logits[y : rows[-1] + 2, x : columns[-1] + 2]
        outside = (float(logits.sum()) - float(part.sum())) / max(logits.numel() - part.numel(), 1)
        return cls(part.to("cpu", torch.float16, copy=True), (y, x), shape, outside)

    def logits(self) -> Tensor:
        """Return them as (H, W) float32; what was cut off is the same everywhere."""
        (y, x), (rows, columns) = self.place, self.part.shape
        around = (x, self.shape[1] - x - columns, y, self.shape[0] - y - rows)
        return F.pad(self.part.float(), around, value=self.outside)


class Convention(NamedTuple):
    """How somebody outlines an object, against a base that gets that outline as its mask prompt.

    Attributes
    ----------
    agreement : float
        IoU with the base's answer.
    cut : float
        Logit of that answer at which its outline is most like the given one: above zero farther in than the base's.
    """

    agreement: float
    cut: float


@dataclass
class Impression:
    """What is known of an object on a frame.

    Attributes
    ----------
    mask : Mask
    score : float
        Predicted IoU.
    object_logit : float
        Above zero if it is there.
    pointer : (D,) or None
        None where no memory reads it.
    maps : (M, g, g) or None
        None where they are not kept.
    embedding : (1, D, g, g) or None
        Of a frame with prompts that it was carried to before: as it was seen then, for further prompts there.
    glimpse : Glimpse or None
        What is compared with other frames; None until it is.
    convention : Convention or None
        How its outline was given; None until it is compared with the base's.
    """

    mask: Mask
    score: float
    object_logit: float
    pointer: Tensor | None = None
    maps: Tensor | None = None
    embedding: Tensor | None = None
    glimpse: Glimpse | None = None
    convention: Convention | None = None


class Carried(NamedTuple):
    """An object on a frame that it was carried to, in the direction `step`, 1 or -1; None where it ends."""

    step: int
    impression: Impression | None


@dataclass
class Track:
    """One object in a stack.

    Attributes
    ----------
    anchors, others : dict of int to Impression
        Frames with prompts, and frames that it was carried to.
    steps : dict of int to int
        In which direction it was carried to a frame.
    ends : set of (int, int)
        Frames from which on it is carried no further, and in which direction that is.
    """

    anchors: dict[int, Impression] = field(default_factory=dict)
    others: dict[int, Impression] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    ends: set[tuple[int, int]] = field(default_factory=set)

    def at(self, frame: int) -> Impression | None:
        """Return what is known of it on a frame."""
        return self.anchors.get(frame) or self.others.get(frame)

    def remembered(self, frame: int, step: int, most: int) -> Iterator[tuple[int, int]]:
        """Yield frame and age of what is remembered on a frame that is reached by `step` (1 or -1): anchors first."""
        yield from ((anchor, 0) for anchor in self.anchors if anchor != frame)
        for age in range(most, 0, -1):
            if frame - step * age in self.others:
                yield frame - step * age, age

    def pointed(self, frame: int, step: int, most: int) -> Iterator[tuple[int, int]]:
        """Yield frame and distance of the pointers that are read on a frame: anchors passed, then those just passed."""
        yield from ((anchor, step * (frame - anchor)) for anchor in self.anchors if step * (frame - anchor) > 0)
        for distance in range(1, most):
            if frame - step * distance in self.others:
                yield frame - step * distance, distance

    def known(self, frame: int) -> Impression:
        """Return what is known of it on a frame where something is."""
        return self.anchors[frame] if frame in self.anchors else self.others[frame]

    def take(self, frame: int, impression: Impression) -> None:
        """Make a frame an anchor."""
        self._forget_around(frame)
        self.anchors[frame] = impression

    def arrive(self, frame: int, step: int, impression: Impression) -> None:
        """Keep what was found of it on a frame that it was carried to."""
        self.others[frame], self.steps[frame] = impression, step

    def nearest_frame(self, frame: int, step: int) -> int:
        """Return the frame nearest to one, of those where it comes from."""
        known = [t for t in (*self.anchors, *self.others) if step * (frame - t) > 0]
        return min(known, key=lambda t: abs(frame - t))

    def end(self, frame: int, step: int) -> None:
        """Carry it no further than to before a frame: forget it there and beyond, up to the next anchor."""
        ahead = min((step * (t - frame) for t in self.anchors if step * (t - frame) > 0), default=None)
        away = {t: step * (t - frame) for t in self.others if self.steps[t] == step}
        for t, far in away.items():
            if far >= 0 and (ahead is None or far < ahead):
                del self.others[t], self.steps[t]
        self.ends.add((frame, step))

    def has_ended(self, frame: int, step: int) -> bool:
        """Whether it ends between the last anchor and a frame that would be reached by `step`, or there."""
        last = min((t for t in self.anchors if step * (frame - t) > 0), key=lambda t: abs(frame - t))
        return any(way == step and step * (t - last) > 0 and step * (frame - t) >= 0 for t, way in self.ends)

    def drop(self, frame: int) -> None:
        """Take an anchor back, with what was carried from it."""
        self._forget_around(frame)
        self.steps.pop(frame, None)
        del self.anchors[frame]

    def forget_maps(self, frame: int, step: int, most: int) -> None:
        """Let go of maps that no frame after this one reads."""
        for t, known in self.others.items():
            if step * (frame - t) >= most:
                known.maps = None

    def _forget_around(self, frame: int) -> None:
        """Forget where it was carried to on either side of a frame, as far as the next anchors."""
        before = max((t for t in self.anchors if t < frame), default=-1)
        after = min((t for t in self.anchors if t > frame), default=None)
        for t in [t for t in self.others if t > before and (after is None or t < after)]:
            del self.others[t]
            if t != frame:
                del self.steps[t]
        self.ends = {(t, way) for t, way in self.ends if t <= before or (after is not None and t >= after)}
