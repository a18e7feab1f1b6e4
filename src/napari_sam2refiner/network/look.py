"""What the pixels show that an encoder made for objects has lost: thin lines, and where outlines lie exactly.

A U-Net (Ronneberger et al., arXiv 1505.04597) on the whole image, once for all of its objects, with the base's features
as context. In training it is also asked where any object is and where outlines are: every pixel teaches it then,
whatever the prompts.

Letters: B images, N objects, D width of the network, C = D/8, S side of the square, h = S/4.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF, QUARTER = 16, 32  # channels at S/2 and S/4


class Look(NamedTuple):
    """Maps of B images.

    Attributes
    ----------
    pixels : (B, 3, S, S)
        The network's input.
    half : (B, HALF, S/2, S/2)
    quarter : (B, QUARTER, h, h)
    """

    pixels: Tensor
    half: Tensor
    quarter: Tensor


class PixelLook(nn.Module):
    """From S/2 down to S/16 and up again.

    Parameters
    ----------
    width : int
        D.
    """

    widths = (HALF, QUARTER, 48, 64)  # at S/2 to S/16

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(12, HALF, 3, padding=1)
        self.stride4 = nn.Conv2d(width // 8, QUARTER, 1)
        self.embedding = nn.Conv2d(width, self.widths[-1], 1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in self.widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(self.widths))
        self.same = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for b in self.widths)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(self.widths))
        self.merge = nn.ModuleList(nn.Conv2d(a, a, 3, padding=1) for a in self.widths[:-1])
        self.outlines = nn.Conv2d(HALF, 2, 1)

    def forward(self, pixels: Tensor, stride4: Tensor, embedding: Tensor) -> Look:
        """Look at images (B, 3, S, S), encoded to (B, C, h, h) and (B, D, h/4, h/4)."""
        x = self._level(0, self.enter(F.pixel_unshuffle(pixels, 2)))
        levels = [x]
        for index, down in enumerate(self.down, 1):
            x = down(x)
            if index == 1:
                x = x + self.stride4(stride4)
            elif index == len(self.down):
                x = x + self.embedding(embedding)
            x = self._level(index, x)
            levels.append(x)
        x = levels.pop()
        maps = []
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            x = levels.pop() + F.interpolate(up(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = F.relu(x + merge(F.relu(x)))
            maps.append(x)
        return Look(pixels, maps[-1], maps[-2])

    def _level(self, index: int, x: Tensor) -> Tensor:
        """Finish a level on the way down."""
        x = F.relu(self.norms[index](x))
        return F.relu(x + self.same[index](x))

    def seen(self, look: Look) -> Tensor:
        """Logits (B, 2, S/2, S/2) that some object is there, and that an outline is; for training."""
        logits: Tensor = self.outlines(look.half)
        return logits


def pooled(maps: Tensor, image: Tensor, weights: Tensor) -> Tensor:
    """Weighted means (N, c) of maps (B, c, h, h), each by its object's weights (N, h, h); zero without weight."""
    means = maps.new_zeros(len(image), maps.shape[1])
    for b in range(len(maps)):  # a product for each image, where gathering would copy its maps per object
        of = image == b
        flat = weights[of].flatten(1).float()
        flat = flat / flat.sum(1, keepdim=True).clamp(min=1e-3)  # first, for half precision cannot hold such sums
        means[of] = (flat.to(maps) @ maps[b].flatten(1).T).to(means)
    return means


def likeness(maps: Tensor, image: Tensor, means: Tensor) -> Tensor:
    """How alike each pixel of maps (B, c, h, h) is to an object's mean (N, c): cosines (N, h, h)."""
    there, wanted = F.normalize(maps, dim=1), F.normalize(means, dim=1)
    out = maps.new_empty(len(image), *maps.shape[-2:])
    for b in range(len(maps)):
        of = image == b
        out[of] = torch.einsum("nc,chw->nhw", wanted[of], there[b]).to(out)
    return out
