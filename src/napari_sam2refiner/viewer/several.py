"""Several objects at hand at once: asked for in batches, kept small, shown in one picture; no Qt, napari or torch here.

A prediction has a whole plane of logits; of two hundred objects on a large plane that would be gigabytes. So each
answer is cut to where the object is as soon as it is there.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.labels.tidy import tidy
from napari_sam2refiner.planes.region import NOWHERE, Part, Picture, around
from napari_sam2refiner.sessions.placed import PlacedPrediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2refiner.labels.tidy import Tidying
    from napari_sam2refiner.labels.write import Overlap
    from napari_sam2refiner.sessions.base import PlaneSession, Prediction
    from napari_sam2refiner.viewer.marks import Marks

TOGETHER, MOST_TOGETHER = 4, 32  # objects asked for at once: at first, and where that is quick
QUICK, SLOW = 0.4, 1.2  # seconds: between batches, somebody may ask for something else


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found of one of several objects.

    Attributes
    ----------
    marks : Marks
        By which.
    part : Part
        Its pixels.
    logits : (H, W) array
        Of the part's window.
    score : float
        The model's estimate of its IoU.
    memo : object
        What the session goes on from.
    """

    marks: Marks
    part: Part
    logits: npt.NDArray[np.float32]
    score: float
    memo: Any

    @classmethod
    def of(cls, marks: Marks, prediction: Prediction) -> Found:
        """Cut an answer to where the object is."""
        part, logits = prediction.part, prediction.logits_in(prediction.part.window).copy()
        # What a tile of a large plane goes on from means nothing beside that tile.
        memo = None if isinstance(prediction, PlacedPrediction) else prediction.memo
        return cls(marks, part, logits, float(prediction.score), memo)

    def prediction(self) -> Prediction:
        """Return the answer on the plane; away from the object its logits are not those that were found."""
        return PlacedPrediction.of(self.part, self.score, logits=self.logits, memo=self.memo)

    @property
    def size(self) -> int:
        """Bytes of its pixels and logits."""
        return self.part.pixels.nbytes + self.logits.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of several objects that are asked for.

    Attributes
    ----------
    found : dict of Marks to Found
        Of those whose marks are as they were; the others come to it as they are found.
    before : mapping of Marks to Prediction
        What the marks of others correct.
    """

    found: dict[Marks, Found]
    before: Mapping[Marks, Prediction]


def find_each(
    session: PlaneSession, objects: Sequence[Marks], known: Known, *, refine: bool, tell: Callable[[float], None]
) -> tuple[Found, ...]:
    """Answer the marks of several objects; those of which anything says where they are, in their order.

    What is known already is not asked again. `tell` gets the share that is done, between batches.
    """
    assert session.shape is not None
    found, size = known.found, TOGETHER
    asked = [one for one in dict.fromkeys(objects) if one not in found and (one.is_positive or one in known.before)]
    done = 0
    while done < len(asked):
        tell(done / len(asked))
        start, batch = time.perf_counter(), asked[done : done + size]
        answers = session.predict_many(
            [one.prompts(session.shape) for one in batch],
            refine=refine,
            previous=[known.before.get(one) for one in batch],
        )
        for one, answer in zip(batch, answers, strict=True):
            found[one] = Found.of(one, answer)
        done += len(batch)
        seconds = time.perf_counter() - start
        size = min(MOST_TOGETHER, 2 * size) if seconds < QUICK else max(1, size // 2) if seconds > SLOW else size
    return tuple(found[one] for one in objects if one in found)


def summary_of(found: Sequence[Found], shape: tuple[int, int]) -> Prediction:
    """Return several objects as one mask, as sure as the least sure of them; it has no logits."""
    part = Part.union([one.part for one in found]) if found else Part.nothing(shape)
    score = min((one.score for one in found), default=0.0)
    return PlacedPrediction.of(part, score, is_choice=False)


def draw_objects(found: Sequence[Found], shape: tuple[int, int], tidying: Tidying, overlap: Overlap) -> Picture:
    """Return a picture of several objects, numbered from 1; tidied, and shared pixels as they would be kept."""
    parts = [tidy(one.part, tidying) for one in found]
    window = functools.reduce(around, (part.window for part in parts), NOWHERE)
    pixels = np.zeros([side.stop - side.start for side in window], np.uint16)
    numbered = list(enumerate(parts, 1))
    for number, part in reversed(numbered) if overlap == "keep" else numbered:
        pixels[part.within(window)] = number
    return Picture(shape, window, pixels)
