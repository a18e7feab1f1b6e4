"""Prompt Retargeting: the object token meets its prompts again, on the enhanced embedding.

SAM2Refiner (Yao et al., arXiv 2502.09660), https://arxiv.org/abs/2502.09660. The enhanced embedding has moved away from
what the prompt tokens were aligned with, so features are sampled from it at the prompts' own places and attend with
the object token. Against the paper: the base's answer is a prompt too, pooled like a mask.

Letters: B images, N objects, P prompt tokens of an object, D width of the network, S side of the square; g = S/16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import BOX_START, PADDING, PromptBatch, start_at_zero

BOX_GRID = 7  # samples along a box


class JointAttention(nn.Module):
    """Object and prompt tokens attend to each other, then each is transformed on its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.gather = nn.Linear(width, width)
        self.transform = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """(N, T, D) to (N, T, D); `present` (N, T) says which tokens are there."""
        query, key, value = self.project(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # each (N, heads, T, D / heads)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None])
        tokens = tokens + self.gather(found.transpose(1, 2).flatten(2))
        own: Tensor = self.transform(self.norm2(tokens))
        return tokens + own


class PromptRetargeting(nn.Module):
    """Renews the object token; what it adds starts at zero.

    Parameters
    ----------
    width : int
        D.
    heads, depth : int
        Of the attention.
    """

    def __init__(self, width: int, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sampled = nn.Linear(width, width)
        # What a token stands for: the object, the inside of a box, the inside of a mask prompt, of the base's answer.
        self.kinds = nn.Parameter(0.02 * torch.randn(4, width))
        self.layers = nn.ModuleList(JointAttention(width, heads) for _ in range(depth))
        self.leave = nn.Linear(width, width)
        start_at_zero(self.leave)

    def forward(
        self, embedding: Tensor, image: Tensor, prompts: PromptBatch, encoded: Tensor, token: Tensor, answer: Tensor
    ) -> Tensor:
        """Return what to add to the object token.

        Parameters
        ----------
        embedding : (B, D, g, g)
            The enhanced image embedding.
        image : (N,) int64
            Which image each object is on.
        prompts : PromptBatch
            Of N objects.
        encoded : (N, P, D)
            The base's tokens of these points and box corners: position and type.
        token : (N, D)
            Mask token of the base's answer.
        answer : (N, h, w)
            Logits of the base's answer.

        Returns
        -------
        (N, D)
        """
        size = embedding.shape[-1]
        at = (prompts.coords + 0.5) / 16.0 - 0.5  # (N, P, 2) in tokens
        inside_box = sample(embedding, image, _box_grid(at)).unflatten(1, (-1, BOX_GRID**2)).mean(2)  # (N, P, D)
        masks = [answer]
        if prompts.mask_logits is not None:
            masks.insert(0, prompts.mask_logits[:, 0])
        shares = F.adaptive_avg_pool2d(torch.stack(masks, 1).float().sigmoid(), size)
        inside_masks = pool(embedding, image, shares)  # (N, 1 or 2, D)
        features = torch.cat([sample(embedding, image, at), inside_box, inside_masks], 1)
        features = self.sampled(self.norm(features))
        _, box, mask, own = self.kinds
        kinds = torch.stack([mask, own][-len(masks) :])
        named = torch.cat([encoded, encoded + box, kinds.expand(len(image), -1, -1)], 1)
        tokens = torch.cat([(token + self.kinds[0])[:, None], features + named], 1)
        always = torch.ones_like(prompts.has_mask)[:, None]
        masked = [prompts.has_mask[:, None]] if len(masks) == 2 else []
        present = torch.cat([always, prompts.labels != PADDING, prompts.labels == BOX_START, *masked, always], 1)
        for layer in self.layers:
            tokens = layer(tokens, present)
        renewal: Tensor = self.leave(tokens[:, 0])
        return renewal


def sample(maps: Tensor, image: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples (N, K, C) of maps (B, C, H, W) at places (N, K, 2), (x, y) in their pixels; cut to the border.

    Gathers the four neighbours, where grid sampling would copy a map for each object.
    """
    height, width = maps.shape[-2:]
    flat = maps.permute(0, 2, 3, 1)  # (B, H, W, C)
    x, y = places[..., 0].clamp(0, width - 1), places[..., 1].clamp(0, height - 1)
    left, above = x.floor().long(), y.floor().long()
    right, below = (left + 1).clamp(max=width - 1), (above + 1).clamp(max=height - 1)
    x, y = (x - left)[..., None].to(maps.dtype), (y - above)[..., None].to(maps.dtype)
    of = image[:, None]
    upper = flat[of, above, left] * (1 - x) + flat[of, above, right] * x
    lower = flat[of, below, left] * (1 - x) + flat[of, below, right] * x
    return upper * (1 - y) + lower * y


def pool(maps: Tensor, image: Tensor, shares: Tensor) -> Tensor:
    """Means (N, M, C) of maps (B, C, H, W), weighted by shares (N, M, H, W)."""
    weights = (shares / shares.sum((-2, -1), keepdim=True).clamp(min=1e-3)).flatten(2).to(maps.dtype)  # (N, M, H W)
    pooled = maps.new_empty(*weights.shape[:2], maps.shape[1])
    for b in range(len(maps)):  # a product for each image, where gathering would copy its map for each object
        pooled[image == b] = (weights[image == b] @ maps[b].flatten(1).T).to(pooled.dtype)
    return pooled


def _box_grid(at: Tensor) -> Tensor:
    """Places (N, P * BOX_GRID^2, 2) evenly inside the box between each token (N, P, 2) and the next."""
    end = torch.cat([at[:, 1:], at[:, -1:]], 1)
    steps = (torch.arange(BOX_GRID, device=at.device, dtype=at.dtype) + 0.5) / BOX_GRID
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)
    return (at[:, :, None] + (end - at)[:, :, None] * grid).flatten(1, 2)
