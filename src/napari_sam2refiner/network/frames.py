"""The frame: a plane as the network sees it, a square of S x S pixels.

Letters: Y, X rows and columns of the plane; S side of the square; h stride-4 pixels along it; N objects; P points.

Every conversion between plane and network is here. Pixel centres are at integers on both sides, so that a coordinate
v becomes (v + 0.5) * scale - 0.5. Planes are (y, x), the network is (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from napari_sam2refiner.network.base import InputSpec

STRIDE = 4  # of mask logits
MASK_LOGIT = 10.0  # of a drawn mask, inside; minus this outside


@dataclass(frozen=True)
class Frame:
    """Geometry between a plane and the network's square.

    Parameters
    ----------
    shape : (int, int)
        Y and X.
    spec : InputSpec
        What the network expects.
    fill : float
        Share of the square's side that the plane's longer side takes; only where planes are letterboxed.
    """

    shape: tuple[int, int]
    spec: InputSpec
    fill: float = 1.0

    @property
    def content(self) -> tuple[int, int]:
        """Rows and columns of the square that hold the plane; what lies right and below is padding.

        Multiples of the logits' stride, so that the padding can be cut from logits too.
        """
        side = self.spec.side
        if self.spec.fit == "stretch":
            return side, side
        longer = max(self.shape)
        rows, columns = (STRIDE * max(1, round(n / longer * self.fill * side / STRIDE)) for n in self.shape)
        return rows, columns

    @property
    def scale(self) -> tuple[float, float]:
        """Network pixels per plane pixel, down and across."""
        return self.content[0] / self.shape[0], self.content[1] / self.shape[1]

    def points(self, points: Tensor) -> Tensor:
        """Plane (..., 2) as (y, x) to network (..., 2) as (x, y)."""
        return ((points + 0.5) * points.new_tensor(self.scale) - 0.5).flip(-1)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Plane (..., 4) as (y0, x0, y1, x1), cut to the plane, to network (..., 2, 2) as two corners (x, y)."""
        corners = boxes.unflatten(-1, (2, 2))
        edge = corners.new_tensor(self.shape) - 0.5
        return self.points(torch.minimum(corners.clamp(min=-0.5), edge))

    def mask_logits(self, mask: Tensor) -> Tensor:
        """Plane (Y, X) mask to logits (h, h): the share of each pixel that is inside, from -10 to 10.

        A mask too thin to fill half of any pixel is strengthened until it does.
        """
        rows, columns = (n // STRIDE for n in self.content)
        share = F.adaptive_avg_pool2d(mask[None, None].float(), (rows, columns))
        share = share / share.max().clamp(min=1e-6) if share.max() <= 0.5 else share
        return self._pad(MASK_LOGIT * (2.0 * share - 1.0), self.spec.side // STRIDE, -MASK_LOGIT)[0, 0]

    def share(self, mask: Tensor) -> Tensor:
        """Plane (Y, X) mask to the share (S, S) of each pixel of the square that is inside."""
        share = F.interpolate(mask[None, None].float(), size=self.content, mode="bilinear", antialias=True)
        return self._pad(share, self.spec.side, 0.0)[0, 0]

    def logits_to_plane(self, logits: Tensor) -> Tensor:
        """Logits (N, h, h) of the square to the plane (N, Y, X), bilinear; the padding is cut off."""
        rows, columns = (n * logits.shape[-1] // self.spec.side for n in self.content)
        return F.interpolate(
            logits[:, None, :rows, :columns].float(), size=self.shape, mode="bilinear", align_corners=False
        )[:, 0]

    def logits_from_plane(self, logits: Tensor) -> Tensor:
        """Logits (Y, X) of the plane to the square (h, h), averaged; padding is outside."""
        rows, columns = (n // STRIDE for n in self.content)
        pooled = F.adaptive_avg_pool2d(logits[None, None].float(), (rows, columns))
        return self._pad(pooled, self.spec.side // STRIDE, -MASK_LOGIT)[0, 0]

    def add_to_plane(self, plane: Tensor, values: Tensor, origin: tuple[int, int]) -> None:
        """Add network pixels to the plane, in place and where they lie only.

        Parameters
        ----------
        plane : (Y, X)
        values : (H, W)
            Of a part of the square, at network resolution; resampled bilinearly, zero outside.
        origin : (int, int)
            Row and column of their first pixel in the square.
        """
        axes, region = [], []
        for axis in range(2):
            size, scale, length = values.shape[axis], self.scale[axis], self.shape[axis]
            first = max(0, math.floor((origin[axis] - 0.5) / scale - 0.5))
            last = min(length, math.ceil((origin[axis] + size + 0.5) / scale + 0.5))
            if last <= first:
                return  # in the padding
            at = (torch.arange(first, last, device=values.device) + 0.5) * scale - origin[axis]
            axes.append(at / size * 2.0 - 1.0)
            region.append(slice(first, last))
        grid = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), -1)
        resampled = F.grid_sample(values[None, None], grid[None].to(values), align_corners=False)
        plane[region[0], region[1]] += resampled[0, 0]

    def pixels(self, image: Tensor) -> Tensor:
        """Plane (Y, X, 3) in [0, 1] to the network's input (1, 3, S, S): resampled, normalised, padded by zeros."""
        return self._prepare(image, 1)

    def quadrants(self, image: Tensor, places: Sequence[int] = (0, 1, 2, 3)) -> Tensor:
        """Plane (Y, X, 3) in [0, 1] to quadrants (Q, 3, S, S) of the square, resampled from the plane itself.

        Parameters
        ----------
        image : (Y, X, 3)
        places : sequence of int
            Which: 0 above left, 1 above right, 2 below left, 3 below right.
        """
        side = self.spec.side
        twice = self._prepare(image, 2)  # (1, 3, 2 S, 2 S)
        return torch.cat(
            [twice[..., p // 2 * side : (p // 2 + 1) * side, p % 2 * side : (p % 2 + 1) * side] for p in places]
        )

    def places(self) -> tuple[int, ...]:
        """Return the quadrants that hold a part of the plane and not only padding."""
        half = self.spec.side // 2
        rows, columns = self.content
        return tuple(p for p in range(4) if (p < 2 or rows > half) and (p % 2 == 0 or columns > half))

    def _prepare(self, image: Tensor, times: int) -> Tensor:
        """Resample a plane to `times` the content, normalise, pad to (1, 3, times S, times S)."""
        size = (times * self.content[0], times * self.content[1])
        x = image.permute(2, 0, 1)[None]  # (1, 3, Y, X)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
        mean, std = x.new_tensor(self.spec.mean), x.new_tensor(self.spec.std)
        x = (x - mean[:, None, None]) / std[:, None, None]
        return self._pad(x, times * self.spec.side, 0.0)

    @staticmethod
    def _pad(maps: Tensor, side: int, value: float) -> Tensor:
        """Pad maps (..., H, W) right and below to (..., side, side)."""
        return F.pad(maps, (0, side - maps.shape[-1], 0, side - maps.shape[-2]), value=value)
