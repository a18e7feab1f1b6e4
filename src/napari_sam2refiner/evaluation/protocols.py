"""How good a model is: a simulated user clicks or draws boxes on annotated fields, many objects of a field at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from typing import Protocol as Interface

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from napari_sam2refiner.evaluation.damage import HALF, KINDS, damaged, drawn_at_half_size
from napari_sam2refiner.evaluation.rivals import RIVALS
from napari_sam2refiner.metrics import boundary_iou, iou, number_of_clicks
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.relabel import refine_labels
from napari_sam2refiner.simulated_user import next_click, noisy_box, random_points, tight_box

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.sessions.base import LocalDetail, PlaneSession, Prediction

Mask = npt.NDArray[np.bool_]

BASE, REFINED = "base", "refined"  # who answers, beside the rivals
DRAWN = "drawn"  # labels that were given, as they are
BEST = "best candidate"  # of the first click: what a user who cycles through them would take

MOST_CLICKS = 20  # and what counts where a target is never reached

HQ_SIDE = 1024  # of the square in which HQ-SAM's evaluation takes its boxes

CHUNK = 32  # objects whose answers, each of the size of the field, are held at once


class Answering(Interface):
    """What is needed of a session, or of a rival, to be asked."""

    def set_image(self, image: npt.NDArray[Any], intensity: Literal["percentile", "dtype"] = "percentile") -> object:
        """Take a plane."""

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        *,
        refine: bool,
        local_detail: LocalDetail,
        previous: Sequence[Prediction | None] | None = None,
    ) -> list[Prediction]:
        """Answer several objects' prompts, going on from answers before."""


@dataclass(frozen=True)
class Protocol:
    """What is asked, and of whom.

    Attributes
    ----------
    clicks : tuple of int
        Numbers of clicks after which masks are measured; none asks no clicks.
    targets : tuple of float
        IoUs to reach by as many clicks as that takes, 20 at most.
    boxes : bool
        Whether tight and noisy boxes are asked.
    hq_box : bool
        Whether HQ-SAM's box is asked, for which images are taken as they are stored, not by percentiles: see `hq_box`.
    random_points : tuple of int
        Numbers of points, drawn uniformly inside and given at once.
    labels : bool
        Whether labels made worse on purpose are given to be refined; columns are kinds of damage.
    rivals : tuple of str
        Who is asked the same without a network: keys of `RIVALS`.
    refined : bool
        Whether the refiner is asked beside the base.
    local_detail : {"off", "prompted", "on"}
        Where the refiner looks at the image in more detail.
    objects : int or None
        Objects of a field at most, a seeded choice; all when None.
    """

    clicks: tuple[int, ...] = (1, 3, 5)
    targets: tuple[float, ...] = ()
    boxes: bool = True
    hq_box: bool = False
    random_points: tuple[int, ...] = ()
    labels: bool = False
    rivals: tuple[str, ...] = ("otsu",)
    refined: bool = False
    local_detail: LocalDetail = "prompted"
    objects: int | None = None

    @property
    def asks_by_percentiles(self) -> bool:
        """Whether anything is asked of images that are scaled by their percentiles."""
        return bool(self.clicks or self.targets or self.boxes or self.random_points or self.labels)


@dataclass
class FieldScore:
    """Measures of one field: by who answered and by column, one value for each object.

    Attributes
    ----------
    name : str
    ids : list of int
        Of the objects, in the order of the values.
    ious, boundary_ious : dict of str to dict of str to list of float
        By who ("base", "refined", a rival), then by column, such as "1 click" or "box".
    clicks_needed : dict of str to dict of str to list of int
        In the same way, clicks until an IoU is reached: columns such as "NoC@85".
    """

    name: str
    ids: list[int] = field(default_factory=list)
    ious: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    boundary_ious: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    clicks_needed: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, who: str, column: str, masks: Sequence[Mask], truths: Sequence[Mask]) -> None:
        """Measure one mask for each of some further objects."""
        pairs = list(zip(masks, truths, strict=True))
        self.ious.setdefault(who, {}).setdefault(column, []).extend(iou(mask, truth) for mask, truth in pairs)
        boundaries = self.boundary_ious.setdefault(who, {}).setdefault(column, [])
        boundaries.extend(boundary_iou(mask, truth) for mask, truth in pairs)


def evaluate_field(session: PlaneSession, item: Field, protocol: Protocol) -> FieldScore:
    """Measure a session's answers on every object of a field.

    Parameters
    ----------
    session : ImageSession
        Takes the field's image here.
    item : Field
    protocol : Protocol

    Returns
    -------
    FieldScore
        Of "base", "refined" and the rivals as far as they are asked. Columns "1 click", ..., "best candidate" (of the
        first click, of a network), "box", "noisy box", "3 random points", ..., and kinds of damage to labels.
    """
    asked: dict[str, Answering] = dict.fromkeys((BASE, REFINED) if protocol.refined else (BASE,), session)
    asked |= {name: RIVALS[name]() for name in protocol.rivals}
    if protocol.asks_by_percentiles:
        for one in dict.fromkeys(asked.values()):
            one.set_image(item.image)
    ids = _object_ids(item, protocol)
    score = FieldScore(item.name, ids.tolist())
    for start in range(0, len(ids), CHUNK):
        truths = [item.labels == i for i in ids[start : start + CHUNK]]
        for who, one in asked.items():
            ask = _Asked(one, who, protocol.local_detail, score, truths)
            if protocol.clicks or protocol.targets:
                ask.clicks(protocol)
            rng = np.random.default_rng([0, start])  # the same for base and refiner
            if protocol.boxes:
                ask.at_once("box", [Prompts(boxes=[tight_box(t)]) for t in truths])
                ask.at_once("noisy box", [Prompts(boxes=[noisy_box(t, rng)]) for t in truths])
            for number in protocol.random_points:
                points = [Prompts(points=random_points(t, number, rng)) for t in truths]
                ask.at_once(random_points_column(number), points)
    if protocol.labels:
        _relabel(session, item, ids, protocol, score)
    if protocol.hq_box:
        _ask_hq_boxes(asked, item, ids, protocol, score)
    return score


def _ask_hq_boxes(
    asked: dict[str, Answering],
    item: Field,
    ids: npt.NDArray[np.int32],
    protocol: Protocol,
    score: FieldScore,
) -> None:
    """Measure HQ-SAM's boxes, on the image as it is stored; nobody has the image by its percentiles afterwards."""
    for one in dict.fromkeys(asked.values()):
        one.set_image(item.image, "dtype")
    for start in range(0, len(ids), CHUNK):
        truths = [item.labels == i for i in ids[start : start + CHUNK]]
        prompts = [Prompts(boxes=[hq_box(truth)]) for truth in truths]
        for who, one in asked.items():
            _Asked(one, who, protocol.local_detail, score, truths).at_once("HQ box", prompts)


def _relabel(
    session: PlaneSession, item: Field, ids: npt.NDArray[np.int32], protocol: Protocol, score: FieldScore
) -> None:
    """Measure labels made worse on purpose, and what `refine_labels` makes of them."""
    worse = {kind: damaged(item, ids, kind) for kind in KINDS}
    worse[HALF] = drawn_at_half_size(session, item, ids)
    session.set_image(item.image)
    for kind, drawn in worse.items():
        found = {DRAWN: drawn}
        for who in (BASE, REFINED) if protocol.refined else (BASE,):
            detail = protocol.local_detail
            found[who], _ = refine_labels(session, drawn, refine=who == REFINED, local_detail=detail)
        for who, labels in found.items():
            for start in range(0, len(ids), CHUNK):
                some = ids[start : start + CHUNK]
                score.add(who, kind, [labels == i for i in some], [item.labels == i for i in some])


def _object_ids(item: Field, protocol: Protocol) -> npt.NDArray[np.int32]:
    """Ids of the field's objects, in order or as chosen."""
    ids: npt.NDArray[np.int32] = np.unique(item.labels)
    ids = ids[ids > 0]
    if protocol.objects is not None:
        ids = np.random.default_rng(0).permutation(ids)[: protocol.objects]
    return ids


@dataclass(frozen=True)
class _Asked:
    """Somebody who is asked, with or without a refiner, for some objects of a field."""

    session: Answering
    who: str
    local_detail: LocalDetail
    score: FieldScore
    truths: Sequence[Mask]

    def at_once(self, column: str, prompts: Sequence[Prompts]) -> None:
        """Give each object all its prompts in one go."""
        answers = self.session.predict_many(prompts, refine=self.who == REFINED, local_detail=self.local_detail)
        self.score.add(self.who, column, [answer.mask for answer in answers], self.truths)

    def clicks(self, protocol: Protocol) -> None:
        """Measure after each click that is asked for."""
        reached: list[list[float]] = [[] for _ in self.truths]  # IoU after each click
        last = max(1, *protocol.clicks, MOST_CLICKS if protocol.targets else 1)
        turns = clicked(self.session, self.truths, last, refine=self.who == REFINED, local_detail=self.local_detail)
        for number, answers in enumerate(turns, 1):
            masks = [answer.mask for answer in answers]
            if protocol.targets:
                for ious, mask, truth in zip(reached, masks, self.truths, strict=True):
                    ious.append(iou(mask, truth))
            if number == 1 and self.who in (BASE, REFINED):
                best = [_best(a, t) for a, t in zip(answers, self.truths, strict=True)]
                self.score.add(self.who, BEST, best, self.truths)
            if number in protocol.clicks:
                self.score.add(self.who, clicks_column(number), masks, self.truths)
        for target in protocol.targets:
            needed = self.score.clicks_needed.setdefault(self.who, {}).setdefault(target_column(target), [])
            needed.extend(number_of_clicks(ious, target, MOST_CLICKS) for ious in reached)


def clicked(
    session: Answering, truths: Sequence[Mask], last: int, *, refine: bool, local_detail: LocalDetail = "prompted"
) -> Iterator[list[Prediction]]:
    """Click, look, correct: yield the answers for all objects after each of so many clicks.

    Parameters
    ----------
    session : ImageSession
        With the image.
    truths : sequence of (Y, X) bool array
        One for each object, none empty. An object that is exact keeps its answer.
    last : int
        Clicks for each object.
    refine : bool
        Whether the refiner is asked too.
    local_detail : {"off", "prompted", "on"}
        Where it looks at the image in more detail.
    """
    points: list[list[tuple[float, float]]] = [[] for _ in truths]
    labels: list[list[int]] = [[] for _ in truths]
    answers: dict[int, Prediction] = {}
    for _ in range(last):
        asked = []
        for n, truth in enumerate(truths):
            click = next_click(answers[n].mask if n in answers else None, truth)
            if click is not None:
                points[n].append((click.y, click.x))
                labels[n].append(int(click.positive))
                asked.append(n)
        prompts = [Prompts(points=points[n], labels=labels[n]) for n in asked]
        before = [answers.get(n) for n in asked]
        told = session.predict_many(prompts, refine=refine, local_detail=local_detail, previous=before)
        answers.update(zip(asked, told, strict=True))
        yield [answers[n] for n in range(len(truths))]


def hq_box(truth: Mask) -> tuple[float, float, float, float]:
    """Return the box that HQ-SAM's evaluation gives (Ke et al., arXiv 2306.01567), y0, x0, y1, x1 in plane pixels.

    Its mask is first resized to the square of 1024 pixels, straight and bilinearly, and cut at a half; the box goes
    from the first to the last pixel centre that is inside.

    Parameters
    ----------
    truth : (Y, X) bool array
        Not empty; one so thin that nothing, or a single line, is left of it in the square gives its tight box.
    """
    values = torch.from_numpy(truth)[None, None].float()
    inside = F.interpolate(values, size=(HQ_SIDE, HQ_SIDE), mode="bilinear", align_corners=False)[0, 0].numpy() > 0.5
    places = np.argwhere(inside)
    if not len(places) or not np.ptp(places, axis=0).all():
        return tight_box(truth)
    first, last = places.min(0), places.max(0)
    scale = np.tile(np.array(truth.shape) / HQ_SIDE, 2)
    y0, x0, y1, x1 = ((np.concatenate([first, last]) + 0.5) * scale - 0.5).tolist()
    return y0, x0, y1, x1


def clicks_column(number: int) -> str:
    """Return the name of the column for masks after so many clicks."""
    return f"{number} click" + ("s" if number > 1 else "")


def target_column(target: float) -> str:
    """Return the name of the column for the number of clicks until an IoU is reached."""
    return f"NoC@{100 * target:.0f}"


def random_points_column(number: int) -> str:
    """Return the name of the column for masks of so many points given at once."""
    return f"{number} random point" + ("s" if number > 1 else "")


def _best(answer: Prediction, truth: Mask) -> Mask:
    """The candidate nearest to the truth."""
    return max((c.mask for c in answer.candidates), key=lambda mask: iou(mask, truth), default=answer.mask)
