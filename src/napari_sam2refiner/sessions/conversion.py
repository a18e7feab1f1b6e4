"""From prompts to the network's tokens and from its answers to the plane.

Letters: Y, X rows and columns of the plane; N objects; P prompt tokens of an object; M candidates; h stride-4 pixels of
the square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, Decoded, PromptBatch
from napari_sam2refiner.network.frames import STRIDE, Frame
from napari_sam2refiner.sessions.base import Candidate, Prediction, Survey
from napari_sam2refiner.sessions.memory import LOGIT_LIMIT

if TYPE_CHECKING:
    from napari_sam2refiner.network.base import Suggested
    from napari_sam2refiner.network.refiner import Refined
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.windows import Window

Places = tuple[int, ...]


class Memo(NamedTuple):
    """What goes on from an answer: its logits (h, h), and the mask that was prompted with."""

    logits: Tensor
    mask: npt.NDArray[np.bool_] | None


class Request(NamedTuple):
    """One object, ready for the network; P differs between objects."""

    prompts: Prompts
    coords: Tensor  # (P, 2)
    labels: Tensor  # (P,)
    mask_logits: Tensor | None  # (h, h)
    multimask: bool


def make_request(prompts: Prompts, previous: Prediction | None, frame: Frame, device: torch.device) -> Request:
    """Convert one object's prompts to the network's frame; boxes first, as SAM 2 has them."""
    boxes = frame.boxes(torch.tensor(prompts.boxes, dtype=torch.float32)).flatten(0, 1)
    points = frame.points(torch.tensor(prompts.points, dtype=torch.float32))
    coords = torch.cat([boxes, points])
    signs = [POSITIVE if positive else NEGATIVE for positive in prompts.labels]
    labels = torch.tensor([BOX_START, BOX_END] * len(prompts.boxes) + signs, dtype=torch.int32)
    if not len(labels):
        coords, labels = torch.zeros(1, 2), torch.tensor([PADDING], dtype=torch.int32)
    mask_logits = _mask_logits(prompts, previous, frame)
    multimask = prompts.is_single_click and previous is None
    if mask_logits is not None:
        mask_logits = mask_logits.to(device)
    return Request(prompts, coords.to(device), labels.to(device), mask_logits, multimask)


def _mask_logits(prompts: Prompts, previous: Prediction | None, frame: Frame) -> Tensor | None:
    """Return the mask prompt (h, h): a mask drawn anew, else the answer before."""
    memo = None if previous is None else previous.memo
    side = frame.spec.side // STRIDE
    if not isinstance(memo, Memo) or memo.logits.shape != (side, side):
        memo = None  # of another network, or none of ours
    drawn = prompts.mask
    if drawn is not None and (memo is None or memo.mask is None or not np.array_equal(drawn, memo.mask)):
        return frame.mask_logits(torch.from_numpy(drawn))
    if memo is not None:
        return memo.logits
    if previous is not None:
        return to_memo(previous.logits, frame)
    return None


def to_memo(logits: npt.NDArray[np.float32], frame: Frame) -> Tensor:
    """Return logits (Y, X) of a plane as the next prompts take them, (h, h)."""
    return frame.logits_from_plane(torch.tensor(logits)).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def within(answer: Prediction | None, window: Window, frame: Frame) -> Prediction | None:
    """Return an answer of the plane as one of a window of it, to go on from there."""
    if answer is None:
        return None
    logits = answer.logits[window.slices]
    drawn = answer.memo.mask if isinstance(answer.memo, Memo) else None
    memo = Memo(
        to_memo(logits, frame),
        None if drawn is None else drawn[window.slices],
    )
    return Prediction(answer.mask[window.slices], logits, answer.score, memo=memo)


def from_afar(look: Prediction, answer: Prediction, frame: Frame) -> Prediction:
    """Return a look at the plane from farther away as the answer; candidates are its best, then the answer's.

    What the next prompts build on is converted to the plane's frame.
    """
    logits = to_memo(look.logits, frame)
    memo = Memo(logits, look.memo.mask)
    best = Candidate(look.mask, look.logits, look.score, memo)
    return Prediction(best.mask, best.logits, best.score, (best, *answer.candidates), memo)


def group(requests: Sequence[Request]) -> list[list[tuple[int, Request]]]:
    """Sort requests by their number of tokens and of candidates: padding would change SAM 2's answer."""
    groups: dict[tuple[int, bool], list[tuple[int, Request]]] = {}
    for index, request in enumerate(requests):
        groups.setdefault((len(request.labels), request.multimask), []).append((index, request))
    return list(groups.values())


def collate(requests: Sequence[Request]) -> PromptBatch:
    """Stack requests that have as many tokens as each other."""
    given = [r.mask_logits for r in requests if r.mask_logits is not None]
    masks = None
    if given:
        none = torch.zeros_like(given[0])
        masks = torch.stack([none if r.mask_logits is None else r.mask_logits for r in requests])[:, None]
    has_mask = torch.tensor([r.mask_logits is not None for r in requests], device=requests[0].coords.device)
    coords, labels = torch.stack([r.coords for r in requests]), torch.stack([r.labels for r in requests])
    return PromptBatch(coords, labels, masks, has_mask)


def touched_quadrants(batch: PromptBatch, decoded: Decoded, index: int, there: Places) -> Places:
    """Return those of the quadrants `there` that the prompts or the base's mask of one object touch."""
    masks = [decoded.chosen_logits[index]]
    if batch.mask_logits is not None and batch.has_mask[index]:
        masks.append(batch.mask_logits[index, 0].to(masks[0]))
    half = masks[0].shape[-1] // 2
    touched = (torch.stack(masks) > 0).unflatten(-1, (2, half)).unflatten(-3, (2, half)).any(-1).any(-2).any(0)
    labels = batch.labels[index]
    later = (batch.coords[index] >= 4 * half).int().tolist()  # of each token: right half?, lower half?
    # A box begins where its first corner is; it reaches to the second, which is the next token.
    ends = [later[i + 1] if labels[i] == BOX_START else later[i] for i in range(len(later))]
    for label, start, end in zip(labels.tolist(), later, ends, strict=True):
        if label not in (PADDING, BOX_END):
            touched[start[1] : end[1] + 1, start[0] : end[0] + 1] = True
    return tuple(p for p in there if touched[p // 2, p % 2])


def make_prediction(
    frame: Frame,
    decoded: Decoded,
    index: int,
    refined: tuple[Refined, int] | None,
    mask: npt.NDArray[np.bool_] | None,
) -> Prediction:
    """Bring one object's answer to the plane."""
    scores = decoded.scores[index].float()
    chosen = int(decoded.chosen[index])
    order = [chosen, *(i for i in scores.argsort(descending=True).tolist() if i != chosen)]
    logits = decoded.logits[index][order].float()  # (M, h, h)
    values = scores[order].tolist()
    if refined is not None:
        answer, row = refined
        logits[0] = answer.logits[row]
        values[0] = float(answer.score[row])
    planes = frame.logits_to_plane(logits)  # (M, Y, X)
    if refined is not None and (patch := answer.tiles.canvas(row)) is not None:
        frame.add_to_plane(planes[0], *patch)
    kept = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    arrays = planes.cpu().numpy()
    candidates = tuple(
        Candidate(array > 0, array, min(1.0, max(0.0, value)), Memo(memo, mask))
        for array, value, memo in zip(arrays, values, kept, strict=True)
    )
    best = candidates[0]
    return Prediction(best.mask, best.logits, best.score, candidates, best.memo)


def to_survey(suggested: Suggested, frame: Frame) -> Survey:
    """Bring suggestions to the plane; those in the padding are left out."""
    scale, shape = torch.tensor(frame.scale, dtype=torch.float64), torch.tensor(frame.shape)
    points = (suggested.coords.cpu().double().flip(-1) + 0.5) / scale - 0.5  # (K, 2) as (y, x)
    inside = ((points >= -0.5) & (points <= shape - 0.5)).all(-1)
    at = np.clip(points[inside].numpy(), 0.0, shape.numpy() - 1.0)
    likely = None if suggested.foreground is None else frame.logits_to_plane(suggested.foreground).cpu().numpy()
    return Survey(at, likely, max(frame.scale), frame.spec.side)
