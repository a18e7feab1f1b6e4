"""States of what is at hand on one plane of an image, and what a model has answered; numpy only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from napari_sam2refiner.sessions.placed import PlacedPrediction
from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.several import Found, Known

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Part
    from napari_sam2refiner.sessions.base import Prediction

FARTHEST_BACK = 20  # earlier states that are looked through for what is known of several objects
MOST_CORRECTED = 16  # objects that go on from what was found of them; more are asked anew


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
        return Answered(PlacedPrediction.of(self.part, float("nan") if self.score is None else self.score))


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
    """What a model has answered.

    Attributes
    ----------
    prediction : Prediction
        Of several objects: all as one.
    seconds : float or None
        How long it took; None where no model was asked.
    choice : int
        Which of the prediction's candidates is its mask.
    found : tuple of Found
        Where there are several objects at hand, each of those that were found.
    """

    prediction: Prediction
    seconds: float | None = None
    choice: int = 0
    found: tuple[Found, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its masks and logits."""
        parts = self.prediction.candidates or (self.prediction,)
        return sum(part.nbytes for part in parts) + sum(one.size for one in self.found)

    def of_objects(self, marks: Marks) -> Iterator[tuple[Marks, Found | Prediction]]:
        """Give each object's marks and what was found of it; `marks` are those that were answered."""
        yield from ((one.marks, one) for one in self.found)
        if not marks.others:
            yield marks, self.prediction

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
        self._sizes: dict[Draft, int] = {}
        self._begun: tuple[Draft, dict[Marks, Found]] | None = None  # what the latest question has found so far

    def put(self, draft: Draft, answered: Answered) -> None:
        """Remember the answer to a draft."""
        self._by_draft[draft] = answered
        self._by_draft.move_to_end(draft)
        self._sizes[draft] = answered.size
        size = sum(self._sizes.values())
        while size > self._limit and len(self._by_draft) > 1:
            oldest, _ = self._by_draft.popitem(last=False)
            size -= self._sizes.pop(oldest)

    def get(self, draft: Draft) -> Answered | None:
        """Return the answer to this very draft; an object that was reopened is its own."""
        if draft.is_as_kept and draft not in self._by_draft:
            assert draft.reopened is not None, "it is as kept"
            self.put(draft, draft.reopened.answered())
        return self._by_draft.get(draft)

    def previous(self, draft: Draft) -> Prediction | None:
        """Return the latest answer that the draft of one object corrects.

        A mask made under a prompt that is gone would hold that prompt's wish, so only ancestors count whose marks are
        all still there.
        """
        for _, earlier in self._answered(draft.parent):
            for marks, found in earlier:
                if draft.marks.extends(marks):
                    return _whole(found)
        return None

    def known(self, draft: Draft) -> Known:
        """Return what earlier drafts say of the objects of a draft that has several; it takes what is found of them."""
        missing = dict.fromkeys(draft.marks.objects)
        found: dict[Marks, Found] = {}
        before: dict[Marks, Prediction] = {}
        for ancestor, earlier in islice(self._answered(draft), FARTHEST_BACK):
            if not missing:
                break
            for marks, answer in earlier:
                if marks in missing and not ancestor.is_as_kept:
                    found[marks] = answer if isinstance(answer, Found) else Found.of(marks, answer)
                    missing.pop(marks)
            if len(missing) <= MOST_CORRECTED:
                corrected = {one: answer for one in missing for marks, answer in earlier if one.extends(marks)}
                before |= {one: _whole(answer) for one, answer in corrected.items() if one not in before}
        self._begun = (draft, found)
        return Known(found, {one: answer for one, answer in before.items() if one not in found})

    def _answered(self, draft: Draft | None) -> Iterator[tuple[Draft, list[tuple[Marks, Found | Prediction]]]]:
        """Give a draft and those that it comes from, the latest first, with what was answered of each object."""
        while draft is not None:
            answered = self.get(draft)
            if answered is not None:
                yield draft, list(answered.of_objects(draft.marks))
            elif self._begun is not None and self._begun[0] is draft:
                yield draft, list(self._begun[1].copy().items())  # the worker adds to it
            draft = draft.parent

    def clear(self) -> None:
        """Forget all, as when another model answers from now on."""
        self._by_draft.clear()
        self._sizes.clear()
        self._begun = None


def _whole(found: Found | Prediction) -> Prediction:
    return found.prediction() if isinstance(found, Found) else found
