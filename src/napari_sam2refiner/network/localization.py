"""Localization Augment: every token of the image embedding looks up detail in its own place.

SAM2Refiner (Yao et al., arXiv 2502.09660), https://arxiv.org/abs/2502.09660. The plane is cut into four quadrants, each
resampled to S x S from source pixels and encoded by the same frozen encoder. Against the paper: a token attends only
within its own quadrant, so that quadrants may be left out (detail is lazy) without changing what the others give.

Letters: B images, Q quadrants given, D width of the network, S side of the square; g = S/16 tokens along the image
embedding, n = g/2 along a quadrant; K keys of a token, H heads, C channels of attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import start_at_zero

if TYPE_CHECKING:
    from napari_sam2refiner.network.base import Features

CELL = {16: 2, 8: 4}  # local tokens along a token's cell, at the strides of the quadrant's features
AROUND = 3  # pooled cells along its neighbourhood


class LocalFeatures(NamedTuple):
    """Detail of the quadrants that were encoded, put together; zero where one was not.

    Attributes
    ----------
    delta : (B, D, g, g)
        What Localization Augment adds to the image embedding.
    stride4 : (B, D/8, S/2, S/2)
        Local maps at twice the resolution of the global ones.
    """

    delta: Tensor
    stride4: Tensor


class LocalizationAugment(nn.Module):
    """Cross-attention of global tokens to the local tokens of their place; its output starts at zero.

    Parameters
    ----------
    width : int
        D.
    channels : int
        C.
    heads : int
        H.
    """

    def __init__(self, width: int, channels: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = LayerNorm2d(width)
        self.norm16 = LayerNorm2d(width)
        self.norm8 = LayerNorm2d(width // 4)
        self.query = nn.Conv2d(width, channels, 1)
        # Keys and values together.
        self.local16 = nn.Conv2d(width, 2 * channels, 1)
        self.local8 = nn.Conv2d(width // 4, 2 * channels, 1)
        self.around = nn.Conv2d(width, 2 * channels, 1)
        keys = CELL[16] ** 2 + CELL[8] ** 2 + AROUND**2
        self.place = nn.Parameter(0.02 * torch.randn(keys, 2 * channels))
        self.leave = nn.Conv2d(channels, width, 1)
        start_at_zero(self.leave)

    def forward(self, tokens: Tensor, local: Features) -> Tensor:
        """Return what to add to the tokens.

        Parameters
        ----------
        tokens : (Q, D, n, n)
            Part of the image embedding that each quadrant covers.
        local : Features
            Of Q quadrants: (Q, D, g, g), (Q, D/4, 2 g, 2 g), (Q, D/8, 4 g, 4 g).

        Returns
        -------
        (Q, D, n, n)
        """
        query = self.query(self.norm(tokens))  # (Q, C, n, n)
        local16 = self.norm16(local.embedding)
        pooled = F.avg_pool2d(local16, CELL[16])  # (Q, D, n, n)
        keys = torch.cat(
            [
                _cells(self.local16(local16), CELL[16]),
                _cells(self.local8(self.norm8(local.stride8)), CELL[8]),
                _neighbourhoods(self.around(pooled)),
            ],
            2,
        )  # (Q, n * n, K, 2 C)
        key, value = (keys + self.place).unflatten(-1, (2, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        # each (Q, n * n, H, K, C / H)
        query = query.flatten(2).transpose(1, 2).unflatten(-1, (self.heads, 1, -1))  # (Q, n * n, H, 1, C / H)
        weights = ((query * key).sum(-1) / key.shape[-1] ** 0.5).softmax(-1)  # (Q, n * n, H, K)
        found = (weights[..., None] * value).sum(-2).flatten(2)  # (Q, n * n, C)
        delta: Tensor = self.leave(found.transpose(1, 2).unflatten(-1, tokens.shape[-2:]))
        return delta


def quadrants_of(maps: Tensor, image: Tensor, place: Tensor) -> Tensor:
    """Cut the quadrants (Q, C, H/2, W/2) of maps (B, C, H, W) that `image` (Q,) and `place` (Q,), 0 to 3, name."""
    batch, channels, height, width = maps.shape
    parts = maps.reshape(batch, channels, 2, height // 2, 2, width // 2).permute(0, 2, 4, 1, 3, 5)
    return parts[image, place // 2, place % 2]


def put_together(quadrants: Tensor, image: Tensor, place: Tensor, batch: int) -> Tensor:
    """Put quadrants (Q, C, H, W) into maps (B, C, 2 H, 2 W); zero where there is none."""
    channels, height, width = quadrants.shape[1:]
    parts = quadrants.new_zeros(batch, 2, 2, channels, height, width)
    parts = parts.index_put((image, place // 2, place % 2), quadrants)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, 2 * height, 2 * width)


def _cells(maps: Tensor, size: int) -> Tensor:
    """Gather the size x size pixels of each cell: (Q, C, n size, n size) to (Q, n * n, size * size, C)."""
    quadrants, channels, height, width = maps.shape
    maps = maps.reshape(quadrants, channels, height // size, size, width // size, size)
    return maps.permute(0, 2, 4, 3, 5, 1).reshape(quadrants, -1, size * size, channels)


def _neighbourhoods(maps: Tensor) -> Tensor:
    """Gather the pixels around each pixel, repeated at the border: (Q, C, n, n) to (Q, n * n, AROUND^2, C)."""
    apron = AROUND // 2
    maps = F.pad(maps, (apron, apron, apron, apron), mode="replicate")
    return maps.unfold(2, AROUND, 1).unfold(3, AROUND, 1).permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(1, 2)
