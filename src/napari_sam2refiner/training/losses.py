"""Losses of masks and of their scores; pure functions.

Letters: N objects, L levels of the pyramid, h x w pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, weighted by the object's area, plus dice.

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
    # A small object in a wide view would drown in its background if every pixel counted the same.
    entropy = F.binary_cross_entropy_with_logits(logits.clamp(-12, 12), target, reduction="none").sum((1, 2))
    inside = logits.sigmoid()
    overlap = 2.0 * (inside * target).sum((1, 2)) + 1.0
    return entropy / (4.0 * area + 20.0) + 1.0 - overlap / (inside.sum((1, 2)) + area + 1.0)


def score_loss(score_logits: Tensor, ious: Tensor) -> Tensor:
    """Cross-entropy of predicted against true IoU; (N, L) to a scalar."""
    return F.binary_cross_entropy_with_logits(score_logits, ious)


def rank_loss(score_logits: Tensor, ious: Tensor) -> Tensor:
    """How far scores of the same object on several levels are from their true order; (N, L) to a scalar.

    Pairs count by how much their IoUs differ, so that a wrong choice costs what it loses.
    """
    gain = ious[:, :, None] - ious[:, None, :]  # (N, L, L)
    lead = score_logits[:, :, None] - score_logits[:, None, :]
    return (gain.clamp(min=0.0) * F.softplus(-lead)).sum((1, 2)).mean()


def mask_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU (N,) of logits above zero with a boolean truth, both (N, h, w)."""
    mask = logits > 0
    both = (mask & truth).sum((1, 2))
    return both / (mask | truth).sum((1, 2)).clamp(min=1)


def outline_targets(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Foreground and boundary, (B, H, W) in 0 to 1, of label images (B, H, W).

    A pixel lies on a boundary if labels differ within a square of 5 pixels around it.
    """
    values = labels[:, None].float()
    highest, lowest = F.max_pool2d(values, 5, 1, 2), -F.max_pool2d(-values, 5, 1, 2)
    return (labels > 0).float(), (highest != lowest)[:, 0].float()


def stack_levels(values: list[Tensor]) -> Tensor:
    """Stack one (N,) tensor for each level to (N, L)."""
    return torch.stack(values, 1)
