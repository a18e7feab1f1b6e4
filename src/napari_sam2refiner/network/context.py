"""What a pixel knows of the rest of the plane, for one object: where a thread goes that the clicks lie on.

Letters: B images, N objects, D width of the network, c channels, h = S/4 for the side S of the square.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import twice
from napari_sam2refiner.network.look import QUARTER

if TYPE_CHECKING:
    from napari_sam2refiner.network.look import Look


class Modulation(nn.Module):
    """Scale and shift of c channels by the object token."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2 * channels)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        """(K, c, H, W) by tokens (K, D)."""
        scale: Tensor
        shift: Tensor
        scale, shift = self.layer(token)[..., None, None].chunk(2, 1)
        return x * (1.0 + 0.1 * scale) + shift


class Context(nn.Module):
    """A U-Net (Ronneberger et al., arXiv 1505.04597) from S/4 to S/64.

    Parameters
    ----------
    width : int
        D.
    channels : int
        c of the stage at S/4.
    """

    top = 24  # channels at S/4
    widths = (32, 48, 64, 64)  # at S/8 to S/64

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.from_look = nn.Conv2d(QUARTER, self.top, 1)
        self.enter = nn.Conv2d(channels, self.top, 3, padding=1)
        above = (self.top, *self.widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(above))
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in self.widths)
        self.modulations = nn.ModuleList(Modulation(width, b) for b in self.widths)
        self.same = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for b in self.widths)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in pairwise(above))
        self.leave = nn.Conv2d(self.top, channels, 3, padding=1)

    def forward(self, x: Tensor, look: Look, image: Tensor, token: Tensor) -> Tensor:
        """Return what is added to the features (N, c, h, h); the others are as `CoarseStage` takes them."""
        x = F.relu(self.enter(x) + self.from_look(look.quarter).index_select(0, image))
        levels = [x]
        for down, norm, modulation, same in zip(self.down, self.norms, self.modulations, self.same, strict=True):
            x = F.relu(modulation(norm(down(F.avg_pool2d(x, 2))), token))
            x = F.relu(x + same(x))
            levels.append(x)
        x = levels.pop()
        for up in reversed(self.up):
            x = F.relu(levels.pop() + twice(up(x)))
        added: Tensor = self.leave(x)
        return added
