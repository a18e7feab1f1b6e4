"""Window memory: where an object of earlier frames is on this one, seen in a window around it.

What SAM 2's memory does on whole frames (Ravi et al., arXiv 2408.00714), for the many small objects of microscopy: each
is seen in a window as much larger than it as it may move, so that all look alike whatever their size, and cost the
same. Every pixel of the present window reads from all pixels of those remembered by attention (space-time memory: Oh et
al., arXiv 1904.00607); the mask of the frame before is a hint. It sees pixels only and serves any base.

Letters: N objects; M remembered frames; W side of the window; Y, X rows and columns of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import start_at_zero, twice
from napari_sam2refiner.network.micro import ResidualBlock

SIDE = 128
# The side of a window: so many extents of its object, so many pixels more; at least.
REACH, MARGIN, SMALLEST = 2.4, 12.0, 40.0
CHANNELS = 4  # colours, and where the frame is
MIDDLE = 0.3  # intensity that becomes zero


class Window(NamedTuple):
    """A square part of a frame, which may reach beyond it.

    Attributes
    ----------
    y, x : float
        Its middle.
    side : float
        Pixels of the frame.
    """

    y: float
    x: float
    side: float

    @classmethod
    def around(cls, mask: Tensor) -> Window:
        """Return the window of an object, from its mask (Y, X), which is not empty."""
        rows, columns = (torch.nonzero(mask.any(axis))[:, 0].tolist() for axis in (1, 0))
        extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        side = max(SMALLEST, REACH * extent + MARGIN)
        return cls((rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2, min(side, 1.1 * max(mask.shape)))


class Seen(NamedTuple):
    """N windows, encoded.

    Attributes
    ----------
    pixels : (N, 4, W, W)
    half, quarter, eighth : (N, C, W / 2, W / 2) and so on
    known : (N, C, W / 4, W / 4)
        A quarter that knows the eighth.
    """

    pixels: Tensor
    half: Tensor
    quarter: Tensor
    eighth: Tensor
    known: Tensor


class Memory(NamedTuple):
    """What is remembered of N objects on one frame.

    Attributes
    ----------
    keys, values : (N, R, W / 4, W / 4)
    """

    keys: Tensor
    values: Tensor


class Found(NamedTuple):
    """N objects in their windows of a frame.

    Attributes
    ----------
    logits : (N, W, W)
        Above zero inside.
    object_logits : (N,)
        Above zero if it is there.
    """

    logits: Tensor
    object_logits: Tensor


class Scales:
    """A frame (or a mask on it) at its own size, half of it and so on, to cut windows from.

    Parameters
    ----------
    maps : (C, Y, X)
    """

    def __init__(self, maps: Tensor) -> None:
        self._maps = [maps]

    def cut(self, windows: Sequence[Window]) -> Tensor:
        """Return (N, C, W, W), bilinear from the scale whose pixels are nearest in size, 0 beyond the frame."""
        return torch.stack([self._cut(window) for window in windows])

    def _cut(self, window: Window) -> Tensor:
        level = 0
        while window.side / 2**level > 1.5 * SIDE and min(self._maps[level].shape[-2:]) > 1:
            level += 1
            if level == len(self._maps):
                self._maps.append(F.avg_pool2d(self._maps[-1], 2, ceil_mode=True, count_include_pad=False))
        maps, size = self._maps[level], 2.0**level
        rows, columns = maps.shape[-2:]
        middle = maps.new_tensor([(window.x + 0.5) / size / columns, (window.y + 0.5) / size / rows]) * 2.0 - 1.0
        reach = maps.new_tensor([window.side / size / columns, window.side / size / rows])
        theta = torch.cat([torch.diag(reach), middle[:, None]], 1)[None]
        grid = F.affine_grid(theta, [1, 1, SIDE, SIDE], align_corners=False)
        return F.grid_sample(maps[None], grid, align_corners=False)[0]


def frame_scales(image: Tensor, there: Tensor | None = None) -> Scales:
    """Return a frame as it is cut into windows: normalised colours, and where it is.

    Parameters
    ----------
    image : (Y, X, 3)
        0 to 1.
    there : (Y, X), optional
        Where the frame is; everywhere if left out.
    """
    colours = (image.permute(2, 0, 1) - MIDDLE) / MIDDLE
    inside = torch.ones_like(colours[:1]) if there is None else there[None].to(colours)
    return Scales(torch.cat([colours.nan_to_num(0.0), inside]))


def to_frame(logits: Tensor, window: Window, shape: tuple[int, int], outside: float) -> Tensor:
    """Bring logits (W, W) of a window to the frame (Y, X), bilinear; `outside` where it does not reach."""
    middle, half = (window.y + 0.5, window.x + 0.5), window.side / 2
    first = [max(0, int(at - half)) for at in middle]
    last = [min(length, int(at + half) + 1) for at, length in zip(middle, shape, strict=True)]
    whole = logits.new_full(shape, outside)
    if last[0] <= first[0] or last[1] <= first[1]:
        return whole
    axes = [
        (torch.arange(a, b, device=logits.device) + 0.5 - at) / half
        for a, b, at in zip(first, last, middle, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), -1)[None]
    # A value that lies beyond the window's outer pixels has no neighbour there.
    part = F.grid_sample(logits[None, None], grid, padding_mode="border", align_corners=False)[0, 0]
    whole[first[0] : last[0], first[1] : last[1]] = part
    return whole


class WindowMemory(nn.Module):
    """Finds objects in windows of a frame by the frame before, and by one that is remembered.

    Each pixel looks on the frame before for where it was, at first near itself; the mask there is moved along, at full
    resolution, and what a small U-Net sees of both frames and of the remembered one is a residual on it, zero at first:
    a fresh memory copies.

    Parameters
    ----------
    widths : (int, int, int)
        Channels at half, quarter and eighth of a window.
    read : int
        Width of keys and values.
    """

    places: Tensor
    apart: Tensor

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 96), read: int = 32) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.stem = nn.Sequential(nn.Conv2d(CHANNELS, half, 3, 2, 1, bias=False), nn.GroupNorm(8, half), nn.ReLU())
        self.to_half = ResidualBlock(half, half)
        self.to_quarter = nn.Sequential(ResidualBlock(half, quarter, 2), ResidualBlock(quarter, quarter))
        self.to_eighth = nn.Sequential(ResidualBlock(quarter, eighth, 2), ResidualBlock(eighth, eighth))
        self.down = nn.Conv2d(eighth, quarter, 1)
        self.key = nn.Conv2d(quarter, read, 3, padding=1)
        self.value = nn.Sequential(ResidualBlock(quarter + 2, read))
        self.sharpness = nn.Parameter(torch.zeros(2))  # of looking on the frame before, and on the remembered one
        self.nearness = nn.Parameter(torch.tensor([-1.5, -5.0]))
        self.firmness = nn.Parameter(torch.tensor(4.0))
        hints = 2  # the mask before, and moved along
        self.deep = nn.Sequential(ResidualBlock(eighth + 2 * read + hints, eighth), ResidualBlock(eighth, eighth))
        self.there = nn.Sequential(nn.Linear(2 * eighth, eighth), nn.GELU(), nn.Linear(eighth, 1))
        self.middle = ResidualBlock(eighth + quarter + 2 * read + hints, 64)
        self.shallow = ResidualBlock(64 + half + hints, 32)
        last = nn.Conv2d(16, 1, 3, padding=1)
        start_at_zero(last)
        self.leave = nn.Sequential(nn.Conv2d(32 + CHANNELS + hints, 16, 3, padding=1), nn.GELU(), last)
        side = SIDE // 4
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        places = torch.stack([columns, rows], -1).reshape(-1, 2).float()  # (x, y) of every quarter pixel
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("apart", torch.cdist(places, places).square(), persistent=False)

    def encode(self, pixels: Tensor) -> Seen:
        """Encode windows (N, 4, W, W)."""
        half = self.to_half(self.stem(pixels))
        quarter = self.to_quarter(half)
        eighth = self.to_eighth(quarter)
        return Seen(pixels, half, quarter, eighth, F.relu(quarter + twice(self.down(eighth))))

    def remember(self, seen: Seen, masks: Tensor) -> Memory:
        """Keep where objects are in windows: masks (N, W, W), shares of 0 to 1."""
        share = F.avg_pool2d(masks[:, None], 4)
        return Memory(self.key(seen.known), self.value(torch.cat([seen.known, share, 1.0 - share], 1)))

    def find(self, seen: Seen, before: Seen, hints: Tensor, remembered: Memory | None = None) -> Found:
        """Find N objects.

        Parameters
        ----------
        seen, before : Seen
            The frame and the one before, both in the windows of the objects.
        hints : (N, W, W)
            Their masks on the frame before; shares, 0 to 1.
        remembered : Memory, optional
            Of an earlier frame, in its own windows; the frame before if left out.
        """
        key = self.key(seen.known)
        last = self.remember(before, hints)
        read, where = self._look(key, last, 0)
        known, _ = self._look(key, last if remembered is None else remembered, 1)
        hint = hints[:, None]
        hint = torch.cat([hint, self._moved(hint, where)], 1)
        deep = self.deep(
            torch.cat([seen.eighth, F.avg_pool2d(torch.cat([read, known], 1), 2), F.avg_pool2d(hint, 8)], 1)
        )
        there = self.there(torch.cat([deep.mean((2, 3)), deep.amax((2, 3))], 1))[:, 0]
        middle = self.middle(torch.cat([twice(deep), seen.quarter, read, known, F.avg_pool2d(hint, 4)], 1))
        shallow = self.shallow(torch.cat([twice(middle), seen.half, F.avg_pool2d(hint, 2)], 1))
        residual = self.leave(torch.cat([twice(shallow), seen.pixels, hint], 1))[:, 0]
        return Found(residual + self.firmness * (2.0 * hint[:, 1] - 1.0), there)

    def _look(self, key: Tensor, memory: Memory, which: int) -> tuple[Tensor, Tensor]:
        """Read values (N, R, W / 4, W / 4) by attention, and the mean place (N, 2, W / 4, W / 4) that is looked at."""
        query = key.flatten(2).transpose(1, 2) * (self.sharpness[which].exp() * key.shape[1] ** -0.5)
        scores = query @ memory.keys.flatten(2) - self.nearness[which].exp() * self.apart
        weights = scores.softmax(-1)
        size = key.shape[-2:]
        read = (weights @ memory.values.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, size)
        return read, (weights @ self.places).transpose(1, 2).unflatten(2, size)

    def _moved(self, hint: Tensor, where: Tensor) -> Tensor:
        """Move masks (N, 1, W, W) along: each pixel takes what is where it was, (N, 2, W / 4, W / 4)."""
        here = self.places.T.unflatten(1, where.shape[-2:])
        shift = F.interpolate(where - here, size=hint.shape[-2:], mode="bilinear", align_corners=False)
        same = F.affine_grid(
            hint.new_tensor([[[1.0, 0, 0], [0, 1.0, 0]]]), [1, 1, *hint.shape[-2:]], align_corners=False
        )
        return F.grid_sample(hint, same + shift.permute(0, 2, 3, 1) * (2.0 / (SIDE // 4)), align_corners=False)
