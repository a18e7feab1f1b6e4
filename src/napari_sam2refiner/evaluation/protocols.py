"""How good a model is: a simulated user clicks or draws boxes on annotated fields, many objects of a field at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.evaluation.rivals import otsu_watershed, part_at
from napari_sam2refiner.metrics import boundary_iou, iou
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.simulated_user import deepest_point, next_click, noisy_box, tight_box

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.sessions.base import PlaneSession, Prediction

Mask = npt.NDArray[np.bool_]

CHUNK = 32  # objects whose answers, each of the size of the field, are held at once


@dataclass(frozen=True)
class Protocol:
    """What is asked.

    Attributes
    ----------
    clicks : tuple of int
        Numbers of clicks after which masks are measured.
    boxes : bool
        Whether tight and noisy boxes are asked too.
    rival : bool
        Whether Otsu and watershed answer the first click too.
    refine : bool
        Whether the refiner takes part.
    objects : int or None
        Objects of a field at most, a seeded choice; all when None.
    """

    clicks: tuple[int, ...] = (1, 3, 5)
    boxes: bool = True
    rival: bool = True
    refine: bool = False
    objects: int | None = None


@dataclass
class FieldScore:
    """Measures of one field: for each column, one value for each object.

    Attributes
    ----------
    name : str
    ious, boundary_ious : dict of str to list of float
        By column, such as "1 click" or "box".
    """

    name: str
    ious: dict[str, list[float]] = field(default_factory=dict)
    boundary_ious: dict[str, list[float]] = field(default_factory=dict)

    def add(self, column: str, masks: Sequence[Mask], truths: Sequence[Mask]) -> None:
        """Measure one mask for each of some further objects."""
        pairs = list(zip(masks, truths, strict=True))
        self.ious.setdefault(column, []).extend(iou(mask, truth) for mask, truth in pairs)
        self.boundary_ious.setdefault(column, []).extend(boundary_iou(mask, truth) for mask, truth in pairs)


def evaluate_field(session: PlaneSession, item: Field, protocol: Protocol) -> FieldScore:
    """Measure a session's answers on every object of a field.

    Parameters
    ----------
    session : PlaneSession
        Takes the field's image here.
    item : Field
    protocol : Protocol

    Returns
    -------
    FieldScore
        Columns "otsu" (if asked), "1 click", ..., "best candidate" (of the first click), "box", "noisy box".
    """
    session.set_image(item.image)
    score = FieldScore(item.name)
    parts = otsu_watershed(item.image) if protocol.rival else None
    rng = np.random.default_rng(0)
    ids = _object_ids(item, protocol)
    for start in range(0, len(ids), CHUNK):
        truths = [item.labels == i for i in ids[start : start + CHUNK]]
        if parts is not None:
            points = [deepest_point(truth) for truth in truths]
            score.add("otsu", [part_at(parts, *point) for point in points if point is not None], truths)
        _clicks(session, truths, protocol, score)
        if protocol.boxes:
            _boxes(session, truths, protocol, rng, score)
    return score


def _object_ids(item: Field, protocol: Protocol) -> npt.NDArray[np.int32]:
    """Ids of the field's objects, in order or as chosen."""
    ids: npt.NDArray[np.int32] = np.unique(item.labels)
    ids = ids[ids > 0]
    if protocol.objects is not None:
        ids = np.random.default_rng(0).permutation(ids)[: protocol.objects]
    return ids


def _boxes(
    session: PlaneSession, truths: Sequence[Mask], protocol: Protocol, rng: np.random.Generator, score: FieldScore
) -> None:
    """Draw a box around each object, once as it should be and once in a hurry."""
    columns = {"box": [tight_box(t) for t in truths], "noisy box": [noisy_box(t, rng) for t in truths]}
    for column, boxes in columns.items():
        answers = session.predict_many([Prompts(boxes=[box]) for box in boxes], refine=protocol.refine)
        score.add(column, [answer.mask for answer in answers], truths)


def _clicks(session: PlaneSession, truths: Sequence[Mask], protocol: Protocol, score: FieldScore) -> None:
    """Click, look, correct; objects that are already exact keep their mask."""
    points: list[list[tuple[float, float]]] = [[] for _ in truths]
    labels: list[list[int]] = [[] for _ in truths]
    answers: list[Prediction | None] = [None] * len(truths)
    for number in range(1, max(protocol.clicks) + 1):
        asked = []
        for n, truth in enumerate(truths):
            answer = answers[n]
            click = next_click(None if answer is None else answer.mask, truth)
            if click is not None:
                points[n].append((click.y, click.x))
                labels[n].append(int(click.positive))
                asked.append(n)
        prompts = [Prompts(points=points[n], labels=labels[n]) for n in asked]
        told = session.predict_many(prompts, refine=protocol.refine, previous=[answers[n] for n in asked])
        for n, answer in zip(asked, told, strict=True):
            answers[n] = answer
        masks = [a.mask for a in answers if a is not None]
        if number == 1:
            best = [_best(a, t) for a, t in zip(answers, truths, strict=True)]
            score.add("best candidate", best, truths)
        if number in protocol.clicks:
            score.add(clicks_column(number), masks, truths)


def clicks_column(number: int) -> str:
    """Return the name of the column for masks after so many clicks."""
    return f"{number} click" + ("s" if number > 1 else "")


def _best(answer: Prediction | None, truth: Mask) -> Mask:
    """The candidate that a user who cycles through them would take."""
    assert answer is not None, "every object is asked once"
    return max((c.mask for c in answer.candidates), key=lambda mask: iou(mask, truth), default=answer.mask)
