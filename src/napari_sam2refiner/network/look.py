"""What the pixels show that an encoder made for objects has lost: thin lines, and where outlines lie exactly.

A U-Net (Ronneberger et al., arXiv 1505.04597) on the whole image, once for all of its objects, with the base's features
as context. In training it is also asked where any object is and where outlines are: every pixel teaches it then,
whatever the prompts.

Letters: B images, N objects, D width of the network, C = D/8, S side of the square, h = S/4.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from skimage.segmentation import watershed
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import BOX_START, NEGATIVE, POSITIVE, twice

if TYPE_CHECKING:
    from napari_sam2refiner.network.base import PromptBatch

HALF, QUARTER = 16, 32  # channels at S/2 and S/4
GROUND = 0.3  # how likely an object is, at least, where a way may go


class Look(NamedTuple):
    """Maps of B images.

    Attributes
    ----------
    pixels : (B, 3, S, S)
        The network's input.
    half : (B, HALF, S/2, S/2)
    quarter : (B, QUARTER, h, h)
    seen : (B, 2, S/2, S/2)
        Logits that some object is there, and that an outline is.
    """

    pixels: Tensor
    half: Tensor
    quarter: Tensor
    seen: Tensor


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
            x = levels.pop() + twice(up(x))
            x = F.relu(x + merge(F.relu(x)))
            maps.append(x)
        return Look(pixels, maps[-1], maps[-2], self.outlines(maps[-1]))

    def _level(self, index: int, x: Tensor) -> Tensor:
        """Finish a level on the way down."""
        x = F.relu(self.norms[index](x))
        return F.relu(x + self.same[index](x))


def reached(seen: Tensor, image: Tensor, prompts: PromptBatch, logits: Tensor) -> Tensor:
    """Where one gets from an object's prompts over ground on which some object is seen: (N, h, h), 0 to 1.

    A thread is followed to its end, or to where the way from a negative click is shorter. From masks and boxes, without
    a positive click, the way begins inside the mask so far. Has no gradient.

    Parameters
    ----------
    seen : (B, 2, 2 h, 2 h)
    image : (N,) int64
    prompts : PromptBatch
    logits : (N, h, h)
        Of the mask so far.
    """
    there = F.max_pool2d(seen[:, :1].detach().float(), 2)[:, 0].sigmoid().cpu().numpy()
    inside = (logits.detach() > 0).cpu().numpy()
    size = there.shape[-1]
    places = ((prompts.coords + 0.5) / 4.0 - 0.5).round().long().clamp(0, size - 1).cpu().numpy()
    labels = prompts.labels.cpu().numpy()
    out = np.zeros(inside.shape, np.float32)
    for i, b in enumerate(image.tolist()):
        ground = there[b] > GROUND
        if (labels[i] == BOX_START).any():
            ground = ground & _in_boxes(places[i], labels[i], size)
        start = np.zeros(ground.shape, np.int32)
        if not (labels[i] == POSITIVE).any():
            start[inside[i] & ground] = 1
        for (x, y), label in zip(places[i], labels[i], strict=True):
            if label in (POSITIVE, NEGATIVE):
                start[y, x] = 1 if label == POSITIVE else 2
        if start.any():
            ways = watershed(np.zeros(ground.shape, np.uint8), start, mask=ground | (start > 0), connectivity=2)
            out[i] = (ways == 1) * np.maximum(there[b], GROUND)
    return torch.from_numpy(out).to(logits)


def _in_boxes(places: npt.NDArray[np.int64], labels: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.bool_]:
    """Where the boxes among prompts (P, 2), (x, y) in pixels of a map of that size, lie."""
    inside = np.zeros((size, size), bool)
    for index in np.flatnonzero(labels == BOX_START):
        (x0, y0), (x1, y1) = places[index], places[index + 1]
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


def likeness(maps: Tensor, image: Tensor, means: Tensor) -> Tensor:
    """How alike each pixel of maps (B, c, h, h) is to an object's mean (N, c): cosines (N, h, h)."""
    there, wanted = F.normalize(maps, dim=1), F.normalize(means, dim=1)
    out = maps.new_empty(len(image), *maps.shape[-2:])
    for b in range(len(maps)):
        of = image == b
        out[of] = torch.einsum("nc,chw->nhw", wanted[of], there[b]).to(out)
    return out
