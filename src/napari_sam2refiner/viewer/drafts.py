"""What the user has marked for the object at hand, on one plane of an image; numpy only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.base import Candidate, Prediction

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Part

SURE = 10.0  # logit inside an object that was kept, and of it outside
RegionKind = Literal["rectangle", "ellipse", "polygon"]


@dataclass(frozen=True, slots=True)
class Region:
    """A shape that the user drew: `corners` in plane pixels; an ellipse by the four corners around it."""

    kind: RegionKind
    corners: tuple[tuple[float, float], ...]

    def mask(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return the (Y, X) pixels inside."""
        corners = np.array(self.corners)
        if self.kind == "ellipse":
            angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)[:, None]
            down, across = (corners[3] - corners[0]) / 2, (corners[1] - corners[0]) / 2
            corners = corners.mean(0) + np.cos(angle) * down + np.sin(angle) * across
        inside: npt.NDArray[np.bool_] = polygon2mask(shape, corners)
        return inside

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) around the corners."""
        corners = np.array(self.corners)
        y0, x0 = corners.min(0).tolist()
        y1, x1 = corners.max(0).tolist()
        return y0, x0, y1, x1


@dataclass(frozen=True, slots=True)
class Marks:
    """Every prompt of one object, in plane pixels.

    Attributes
    ----------
    points : tuple of (y, x, positive)
    regions : tuple of Region
        Rectangles are boxes; polygons and ellipses are parts of one rough mask.
    """

    points: tuple[tuple[float, float, bool], ...] = ()
    regions: tuple[Region, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.points or self.regions)

    @property
    def count(self) -> int:
        """How many marks there are."""
        return len(self.points) + len(self.regions)

    @property
    def boxes(self) -> tuple[Region, ...]:
        """The regions that are boxes."""
        return tuple(region for region in self.regions if region.kind == "rectangle")

    @property
    def areas(self) -> tuple[Region, ...]:
        """The regions that make the rough mask."""
        return tuple(region for region in self.regions if region.kind != "rectangle")

    @property
    def is_positive(self) -> bool:
        """Whether anything says where the object is."""
        return bool(self.regions) or any(positive for _, _, positive in self.points)

    def extends(self, other: Marks) -> bool:
        """Return whether every mark of `other` is here too, and more."""
        return self != other and set(other.points) <= set(self.points) and set(other.regions) <= set(self.regions)

    def find_outside(self, shape: tuple[int, int]) -> tuple[float, float] | None:
        """Return the first point (y, x) that is not on a plane of this shape."""
        for y, x, _ in self.points:
            if not (-0.5 <= y <= shape[0] - 0.5 and -0.5 <= x <= shape[1] - 0.5):
                return y, x
        return None

    def prompts(self, shape: tuple[int, int]) -> Prompts:
        """Return the prompts for a session; shape is the plane's."""
        areas = [region.mask(shape) for region in self.areas]
        return Prompts(
            points=[(y, x) for y, x, _ in self.points],
            labels=[int(positive) for _, _, positive in self.points],
            boxes=[region.box for region in self.boxes],
            mask=np.logical_or.reduce(areas) if areas else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Reopened:
    """An object of the result that is at hand again, as it is there.

    Attributes
    ----------
    object_id : int
    marks : Marks
        By which it came about, where they are known.
    score : float or None
        The model's estimate of its IoU, where a model made it.
    part : Part
        Its pixels.
    """

    object_id: int
    marks: Marks
    score: float | None
    part: Part

    def answered(self) -> Answered:
        """Return it as if a model had answered so."""
        mask = self.part.whole()
        logits = np.where(mask, np.float32(SURE), np.float32(-SURE))
        known = Candidate(mask, logits, float("nan") if self.score is None else self.score)
        return Answered(Prediction(mask, logits, known.score, (known,)))


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """One state of the object at hand. Each change makes a new draft whose parent is the one before.

    Attributes
    ----------
    marks : Marks
    choice : int
        Which candidate the user chose.
    parent : Draft or None
        What it was made from; None for an object that begins.
    reopened : Reopened or None
        The object of the result that it began with.
    """

    marks: Marks = field(default_factory=Marks)
    choice: int = 0
    parent: Draft | None = None
    reopened: Reopened | None = None

    def then(self, marks: Marks, choice: int = 0) -> Draft:
        """Return the draft that comes of a change."""
        return Draft(marks, choice, self, self.reopened)

    @property
    def object_id(self) -> int | None:
        """Which object of the result it is; None for a new one."""
        return None if self.reopened is None else self.reopened.object_id

    @property
    def is_as_kept(self) -> bool:
        """Whether it is an object of the result with the marks that it came about by."""
        return self.reopened is not None and self.marks == self.reopened.marks

    @property
    def is_question(self) -> bool:
        """Whether there is anything to ask a model: marks that say where the object is, or correct what was kept."""
        corrects = self.reopened is not None and self.marks.extends(self.reopened.marks)
        return not self.is_as_kept and (self.marks.is_positive or corrects)


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction, the seconds it took (None where no model was asked), and which of its candidates is its mask."""

    prediction: Prediction
    seconds: float | None = None
    choice: int = 0

    @property
    def size(self) -> int:
        """Bytes of its masks and logits."""
        parts = self.prediction.candidates or (self.prediction,)
        return sum(part.mask.nbytes + part.logits.nbytes for part in parts)

    def choose(self, choice: int) -> Answered:
        """Return the answer with another candidate as its mask; the last where there are not so many."""
        choice = min(choice, len(self.prediction.candidates) - 1)
        return self if choice < 0 else Answered(self.prediction.choose(choice), self.seconds, choice)


class Answers:
    """The newest answers by draft; older ones are forgotten, since a full plane of logits is large.

    Parameters
    ----------
    limit : int
        Bytes that are kept; the newest answer is kept in any case.
    """

    def __init__(self, limit: int = 2**29) -> None:
        self._limit = limit
        self._by_draft: OrderedDict[Draft, Answered] = OrderedDict()

    def put(self, draft: Draft, answered: Answered) -> None:
        """Remember the answer to a draft."""
        self._by_draft[draft] = answered
        self._by_draft.move_to_end(draft)
        size = sum(kept.size for kept in self._by_draft.values())
        while size > self._limit and len(self._by_draft) > 1:
            _, oldest = self._by_draft.popitem(last=False)
            size -= oldest.size

    def get(self, draft: Draft) -> Answered | None:
        """Return the answer to this very draft; an object that was reopened is its own."""
        if draft.is_as_kept and draft not in self._by_draft:
            assert draft.reopened is not None, "it is as kept"
            self.put(draft, draft.reopened.answered())
        return self._by_draft.get(draft)

    def previous(self, draft: Draft) -> Prediction | None:
        """Return the latest answer that the draft corrects.

        A mask made under a prompt that is gone would hold that prompt's wish, so only ancestors count whose marks are
        all still there.
        """
        ancestor = draft.parent
        while ancestor is not None:
            answered = self.get(ancestor)
            if answered is not None and draft.marks.extends(ancestor.marks):
                return answered.prediction
            ancestor = ancestor.parent
        return None

    def clear(self) -> None:
        """Forget all, as when another model answers from now on."""
        self._by_draft.clear()
