"""Losses of masks and of their scores; pure functions.

Letters: N objects, h x w pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.network.micro import SHARPNESS

GIVE = 0.15  # share of its deepest point's depth by which an object's outline may be drawn farther in or out
MOST_GIVE = 4  # pixels


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, weighted by the area of object or mask, whichever is larger, plus dice.

    Parameters
    ----------
    logits : (N, h, w)
    target : (N, h, w)
        Share of each pixel that the object covers, 0 to 1.

    Returns
    -------
    (N,) tensor
    """
    area = target.sum((1, 2))
    inside = logits.sigmoid()
    found = inside.sum((1, 2))
    # A small object in a wide view would drown in its background if every pixel counted the same; a large wrong mask
    # of a small object would drown every other object of the step if only the object's area counted.
    largest = torch.maximum(area, found.detach())
    entropy = F.binary_cross_entropy_with_logits(_bounded(logits), target, reduction="none").sum((1, 2))
    overlap = 2.0 * (inside * target).sum((1, 2)) + 1.0
    return entropy / (4.0 * largest + 20.0) + 1.0 - overlap / (found + area + 1.0)


def point_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus dice at points; (N, K) and (N, K) to (N,)."""
    entropy = F.binary_cross_entropy_with_logits(_bounded(logits), target, reduction="none").mean(1)
    inside = logits.sigmoid()
    overlap = 2.0 * (inside * target).sum(1) + 1.0
    return entropy + 1.0 - overlap / (inside.sum(1) + target.sum(1) + 1.0)


def _bounded(logits: Tensor) -> Tensor:
    """Cut logits at 12 without cutting their gradients: what is firmly wrong must learn too."""
    return logits + (logits.clamp(-12, 12) - logits).detach()


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of probabilities at points, with a gradient; (N, K) and (N, K) to (N,)."""
    inside = logits.sigmoid()
    both = (inside * target).sum(1)
    return (both + 1.0) / (inside.sum(1) + target.sum(1) - both + 1.0)


def uncertain_points(logits: Tensor, boxes: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Draw points where masks are uncertain, three quarters of them, and anywhere (PointRend, arXiv 1912.08193).

    Parameters
    ----------
    logits : (N, S, S)
    boxes : (N, 4)
        x0, y0, x1, y1 in pixels, where points of each object may lie.
    count : int
        K.
    rng : Generator

    Returns
    -------
    (N, K, 2) tensor
        As `grid_sample` takes them, x and y in -1 to 1.
    """
    size, side = len(logits), logits.shape[-1]
    start, end = boxes[:, None, :2], boxes[:, None, 2:]
    anywhere = torch.from_numpy(rng.random((size, 3 * count, 2), np.float32)).to(logits.device)
    places = (start + anywhere * (end - start)) / side * 2.0 - 1.0
    least = sample(logits.detach(), places).abs().topk(3 * count // 4, 1, largest=False).indices
    picked = places.gather(1, least[..., None].expand(-1, -1, 2))
    return torch.cat([picked, places[:, : count - picked.shape[1]]], 1)


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples (N, K) of maps (N, H, W) at points (N, K, 2) in -1 to 1."""
    return F.grid_sample(maps[:, None], points[:, None].to(maps), padding_mode="border", align_corners=False)[:, 0, 0]


def score_loss(score_logits: Tensor, ious: Tensor) -> Tensor:
    """Cross-entropy of predicted against true IoU; any shape to a scalar."""
    return F.binary_cross_entropy_with_logits(score_logits, ious)


def choice_loss(score_logits: Tensor, ious: Tensor) -> Tensor:
    """IoU that is lost when one of an object's K masks is drawn with odds by its predicted IoU; (N, K) to a scalar.

    In expectation, so that it has a gradient. What differs little costs little. The odds go by the predicted IoU and
    not by its logit: a lead of a tenth decides, so that the best need not be predicted better than it is.
    """
    odds = (SHARPNESS * score_logits.sigmoid()).softmax(1)
    return (ious.amax(1) - (odds * ious).sum(1)).mean()


def scores_loss(score_logits: Tensor, ious: Tensor, value: float, choice: float) -> Tensor:
    """Loss of predicted against true IoU, and of the choice by it, with their weights; (N, ...) to a scalar."""
    loss = value * score_loss(score_logits, ious)
    return loss + choice * choice_loss(score_logits.flatten(1), ious.flatten(1))


def mask_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU (N,) of logits above zero with a boolean truth, both (N, h, w)."""
    mask = logits > 0
    both = (mask & truth).sum((1, 2))
    return both / (mask | truth).sum((1, 2)).clamp(min=1)


def redrawn(truth: Tensor, logits: Tensor) -> Tensor:
    """Draw the truth as far in or out as a mask is drawn: what is then left between them is shape.

    Annotators of different sets draw outlines some pixels apart, and nothing in an image says how. Of the truth moved
    in or out by whole pixels, at most `MOST_GIVE` and `GIVE` of its depth (so that thin things stay as thin as they
    are), the one with the best IoU is taken.

    Parameters
    ----------
    truth : (N, S, S)
        Share of each pixel that the object covers.
    logits : (N, S/4, S/4)
        Of the mask.

    Returns
    -------
    (N, S, S) tensor
    """
    out = truth.clone()
    for drawn, share, mask in zip(out, truth, (logits > 0).float(), strict=True):
        window = _window(share)
        if window is not None:
            rows, columns = window
            there = mask[rows.start // 4 : rows.stop // 4, columns.start // 4 : columns.stop // 4]
            drawn[window] = _redrawn(share[window], there, (mask.sum() - there.sum()).item())
    return out


def _window(share: Tensor) -> tuple[slice, slice] | None:
    """Rows and columns, multiples of 4, of an object and all pixels that it may grow to."""
    sides = []
    for axis in (1, 0):
        there = torch.nonzero(share.amax(axis) > 0)[:, 0]
        if not len(there):
            return None
        first, last = int(there[0]) - MOST_GIVE, int(there[-1]) + MOST_GIVE
        sides.append(slice(max(0, first // 4 * 4), min(share.shape[1 - axis], last // 4 * 4 + 4)))
    return sides[0], sides[1]


def _redrawn(truth: Tensor, mask: Tensor, elsewhere: float) -> Tensor:
    """As `redrawn`, of one object in a window: truth (H, W), mask (H/4, W/4), and what of the mask lies outside."""

    def overlap(drawn: Tensor) -> float:
        share = F.avg_pool2d(drawn[None], 4)[0]
        both, either = torch.minimum(share, mask).sum().item(), torch.maximum(share, mask).sum().item()
        return both / max(either + elsewhere, 1e-3)

    depth = ndi.distance_transform_cdt(np.pad(truth.cpu().numpy() > 0.5, 1)).max()
    best, chosen = overlap(truth), truth
    wider, narrower = truth, truth
    for by in range(1, min(MOST_GIVE, int(GIVE * depth)) + 1):
        wider, narrower = _grown(wider, by), 1.0 - _grown(1.0 - narrower, by)
        for drawn in (wider, narrower):
            found = overlap(drawn)
            if found > best:
                best, chosen = found, drawn
    return chosen


def _grown(shares: Tensor, step: int) -> Tensor:
    """Grow (H, W) by a pixel; every other step without the corners, so that several make an octagon."""
    maps = shares[None]
    if step % 2 == 0:
        return F.max_pool2d(maps, 3, 1, 1)[0]
    return torch.maximum(F.max_pool2d(maps, (3, 1), 1, (1, 0)), F.max_pool2d(maps, (1, 3), 1, (0, 1)))[0]


def outline_targets(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Foreground and boundary, (B, H, W) in 0 to 1, of label images (B, H, W).

    A pixel lies on a boundary if labels differ within a square of 5 pixels around it.
    """
    values = labels[:, None].float()
    highest, lowest = F.max_pool2d(values, 5, 1, 2), -F.max_pool2d(-values, 5, 1, 2)
    return (labels > 0).float(), (highest != lowest)[:, 0].float()
