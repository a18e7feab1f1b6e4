"""Instance embedding: a click's first guess at the whole object, without attention.

Letters: A anchors, C head channels, E embedding channels, h x w stride-4 pixels of one image; for the rest see `base`.

Every stride-4 pixel x has an embedding e(x) = (its position + a learned offset, learned features). An anchor (a
click, the inside of a box, a mask) has the mean embedding of its support and answers with logits `b - w_pos |e_pos(x)
- e_pos|^2 - w_feat |e_feat(x) - e_feat|^2`; b and w come from a small network on the features under the anchor.
Several positive anchors: log-sum-exp; negatives: minus softplus of theirs. It is learned from every object of an
image at once, so that it obeys clicks after minutes of training (the idea is that of clustering by seeds: Neven et
al., arXiv 1906.11109, and conditional convolutions as in CondInst, arXiv 2003.05664).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, POSITIVE, PromptBatch, start_at_zero

POSITION_UNIT = 4.0  # stride-4 pixels in one unit of embedding space
ABSENT = -30.0  # logit of an anchor that is not there


class InstanceMaps(NamedTuple):
    """What the head knows of B images.

    Attributes
    ----------
    embedding : (B, E, h, w)
        Position plus offset in units of `POSITION_UNIT` stride-4 pixels (x, y), then features.
    features : (B, C, h, w)
    context : (B, D, h/4, w/4)
        The image embedding, for what surrounds an anchor.
    foreground, boundary : (B, h, w)
        Logits of "inside some object" and "on an object's outline".
    """

    embedding: Tensor
    features: Tensor
    context: Tensor
    foreground: Tensor
    boundary: Tensor


class InstanceEmbedding(nn.Module):
    """Head on the stride-4 features, and the first guess it gives for prompts.

    Parameters
    ----------
    width : int
        D, channels of the features it stands on.
    channels : int
        C.
    features : int
        E - 2, learned features of the embedding.
    """

    def __init__(self, width: int, channels: int = 64, features: int = 16) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Conv2d(width, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.GELU(),
        )
        self.project = nn.Conv2d(channels, 2 + features + 2, 1)
        control = nn.Linear(128, 2 + features)
        start_at_zero(control)
        with torch.no_grad():
            control.bias[0] = 1.0
        self.control = nn.Sequential(nn.Linear(channels + width, 128), nn.GELU(), control)
        self.negative = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.outside = nn.Parameter(torch.tensor(-1.0))
        self.features = features

    def forward(self, stride4: Tensor, context: Tensor) -> InstanceMaps:
        """Return the maps of B images from (B, D, h, w) and (B, D, h/4, w/4) features."""
        features = self.head(stride4)
        offsets, embedding, outline = self.project(features).split([2, self.features, 2], 1)
        height, width = features.shape[-2:]
        axes = torch.meshgrid(
            torch.arange(height, device=features.device), torch.arange(width, device=features.device), indexing="ij"
        )
        position = torch.stack([axes[1], axes[0]]).float() / POSITION_UNIT
        where = position + 2.0 * offsets.float()
        return InstanceMaps(torch.cat([where, embedding.float()], 1), features, context, outline[:, 0], outline[:, 1])

    def guess(self, maps: InstanceMaps, image: Tensor, prompts: PromptBatch) -> Tensor:
        """Return first-guess logits (N, h, w) for the prompts of N objects.

        `prompts.coords` are in pixels of this scale's input (4 h x 4 w).
        """
        out: list[Tensor] = []
        order: list[Tensor] = []
        for b in range(maps.embedding.shape[0]):
            at = torch.nonzero(image == b)[:, 0]
            if len(at):
                mask = None if prompts.mask_logits is None else prompts.mask_logits[at]
                of = PromptBatch(prompts.coords[at], prompts.labels[at], mask, prompts.has_mask[at])
                # Squared distances need more digits than half precision has.
                with torch.autocast(image.device.type, enabled=False):
                    out.append(self._guess_on(InstanceMaps(*(m[b] for m in maps)), of))
                order.append(at)
        return torch.cat(out)[torch.cat(order).argsort()]

    def _guess_on(self, maps: InstanceMaps, prompts: PromptBatch) -> Tensor:
        """As `guess`, on one image; maps without their batch dimension."""
        height, width = maps.embedding.shape[-2:]
        grid = (prompts.coords + 0.5) / prompts.coords.new_tensor([2.0 * width, 2.0 * height]) - 1.0
        parts = (maps.embedding, maps.features.float(), maps.context.float())
        anchors = torch.cat([_sample(part, grid) for part in parts], -1)  # (N, P, E + C + D)
        positive, negative = prompts.labels == POSITIVE, prompts.labels == NEGATIVE
        if prompts.has_regions:
            inside, is_there = self._region(maps, prompts)
            anchors = torch.cat([anchors, inside[:, None]], 1)
            positive, negative = torch.cat([positive, is_there[:, None]], 1), F.pad(negative, (0, 1))
        logits = self._answer(maps.embedding, anchors)
        absent = logits.new_tensor(ABSENT)
        # One more that is always absent, so that a guess is the same whatever it is made together with.
        guess = torch.where(positive[..., None, None], logits, absent).logsumexp(1).logaddexp(absent)
        if negative.any():
            against = torch.where(negative[..., None, None], logits, absent).logsumexp(1)
            guess = guess - F.softplus(self.negative[0] * against + self.negative[1])
        if prompts.has_boxes:
            guess = guess - F.softplus(self.outside) * distance_outside(prompts, height, width)
        return guess

    def _answer(self, embedding: Tensor, anchors: Tensor) -> Tensor:
        """Logits (N, A, h, w) of anchors (N, A, E + C + D) on one image's embedding (E, h, w)."""
        size = embedding.shape[0]
        own, around = anchors.split([size, anchors.shape[-1] - size], -1)
        control = self.control(around)
        bias, log_position, log_features = control.split([1, 1, self.features], -1)
        weight = torch.cat([log_position.expand(*log_position.shape[:-1], 2), log_features], -1).clamp(-8, 6).exp()
        # |e - a|^2 = e^2 - 2 e a + a^2 keeps this a matrix product of anchors and pixels.
        flat = embedding.flatten(1)
        distance = weight @ flat.square() - 2.0 * (weight * own) @ flat + (weight * own.square()).sum(-1, keepdim=True)
        logits: Tensor = (3.0 * bias - distance).unflatten(-1, embedding.shape[-2:])
        return logits

    def _region(self, maps: InstanceMaps, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Each object's region anchor (N, E + C + D), and whether it has one, (N,).

        It stands on the mask if there is one, else on the likely foreground near the middle of the box.
        """
        height, width = maps.embedding.shape[-2:]
        has_box = (prompts.labels == BOX_START).any(1)
        inside = maps.foreground.float().sigmoid() * _box_middle(prompts, height, width)
        if prompts.mask_logits is not None:
            inside = torch.where(prompts.has_mask[:, None, None], prompts.mask_logits[:, 0].sigmoid(), inside)
        total = inside.sum((1, 2), keepdim=True)
        present = (has_box | prompts.has_mask) & (total[:, 0, 0] > 1e-3)
        weights = inside / total.clamp(min=1e-3)
        coarse = F.avg_pool2d(weights[:, None], height // maps.context.shape[-2]).flatten(1)
        coarse = coarse / coarse.sum(1, keepdim=True).clamp(min=1e-6)
        fine = [weights.flatten(1) @ part.float().flatten(1).T for part in (maps.embedding, maps.features)]
        return torch.cat([*fine, coarse @ maps.context.float().flatten(1).T], 1), present


def _sample(dense: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples (N, P, K) of (K, h, w) at (N, P, 2) places in [-1, 1]."""
    sampled = F.grid_sample(dense[None], grid[None].to(dense.dtype), padding_mode="border", align_corners=False)
    return sampled[0].permute(1, 2, 0)


def _corners(prompts: PromptBatch) -> tuple[Tensor, Tensor]:
    """Lower and upper corner (N, 2) of the hull of each object's boxes, in stride-4 pixels; infinite without a box."""
    places = (prompts.coords + 0.5) / 4.0 - 0.5
    start = torch.where((prompts.labels == BOX_START)[..., None], places, torch.inf).amin(1)
    end = torch.where((prompts.labels == BOX_END)[..., None], places, -torch.inf).amax(1)
    none = torch.isinf(start)
    return torch.where(none, -torch.inf, start), torch.where(none, torch.inf, end)


def _axes(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (1, w) of stride-4 pixels."""
    return (
        torch.arange(height, device=like.device, dtype=torch.float32)[:, None],
        torch.arange(width, device=like.device, dtype=torch.float32)[None],
    )


def distance_outside(prompts: PromptBatch, height: int, width: int) -> Tensor:
    """Distance (N, h, w) to each object's box, in stride-4 pixels (Chebyshev); zero inside and where there is none."""
    start, end = _corners(prompts)
    rows, columns = _axes(height, width, start)
    over_x = torch.maximum(start[:, 0, None, None] - columns, columns - end[:, 0, None, None])
    over_y = torch.maximum(start[:, 1, None, None] - rows, rows - end[:, 1, None, None])
    return torch.maximum(over_x, over_y).clamp(min=0.0).nan_to_num(posinf=0.0)


def _box_middle(prompts: PromptBatch, height: int, width: int) -> Tensor:
    """Gaussian (N, h, w) in the middle of each object's box, a quarter of its sides wide; zero without a box."""
    start, end = _corners(prompts)
    has_box = torch.isfinite(start[:, 0])
    start, end = start.nan_to_num(posinf=0.0, neginf=0.0), end.nan_to_num(posinf=0.0, neginf=0.0)
    middle, spread = (start + end) / 2, ((end - start) / 4).clamp(min=0.5)
    rows, columns = _axes(height, width, start)
    x = ((columns - middle[:, 0, None, None]) / spread[:, 0, None, None]).square()
    y = ((rows - middle[:, 1, None, None]) / spread[:, 1, None, None]).square()
    return (-0.5 * (x + y)).exp() * has_box[:, None, None]
