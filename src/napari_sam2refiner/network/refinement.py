"""Mask Refinement: a cascade from stride 4 over stride 2 to every pixel, each stage a residual on the last.

SAM2Refiner (Yao et al., arXiv 2502.09660), https://arxiv.org/abs/2502.09660. Stride 4 is computed on the whole map;
below it only tiles that the object's uncertain band touches, so that cost follows the outline and not the image (the
idea is that of PointRend, Kirillov et al., arXiv 1912.08193). Tiles are computed with an apron and unpadded
convolutions, so that what a pixel gets does not depend on how the tiles lie.

Letters: B images, N objects, T tiles, D width of the network, S side of the square, h = S/4; C = D/8; c channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import NEGATIVE, POSITIVE, Decoded, PromptBatch, spots, start_at_zero, twice
from napari_sam2refiner.network.context import Context, Modulation
from napari_sam2refiner.network.look import HALF, QUARTER, Look, likeness, reached
from napari_sam2refiner.network.retargeting import pool

if TYPE_CHECKING:
    from napari_sam2refiner.network.localization import LocalFeatures

TILE = 32  # pixels of the square along a tile
CELL = TILE // 4  # stride-4 pixels along a tile
APRON = 3  # stride-4 pixels around a tile that its inner pixels see
FIRM = 8.0  # logits beyond this are further from zero than the stages can see
BAND = 2.0  # logits nearer to zero than this are uncertain
MOST_TILES = 256  # of one object
TILES_AT_ONCE = 512  # bounds memory


class Tiles(NamedTuple):
    """What is added below stride 4, to the bilinear upsampling of the logits at stride 4.

    Attributes
    ----------
    object : (T,) int64
        Which of the N objects each tile is of.
    row, column : (T,) int64
        Of the tile's first pixel in the square.
    stride2 : (T, TILE / 2, TILE / 2)
        Residual after the stage at S/2, for training.
    full : (T, TILE, TILE)
        Residual after the last stage, at S.
    """

    object: Tensor
    row: Tensor
    column: Tensor
    stride2: Tensor
    full: Tensor

    def canvas(self, index: int) -> tuple[Tensor, tuple[int, int]] | None:
        """Residual (H, W) of one object on the rectangle around its tiles, and that rectangle's row and column."""
        of = torch.nonzero(self.object == index)[:, 0]
        if not len(of):
            return None
        row, column = self.row[of] // TILE, self.column[of] // TILE
        first = int(row.min()), int(column.min())
        shape = int(row.max()) - first[0] + 1, int(column.max()) - first[1] + 1
        canvas = self.full.new_zeros(*shape, TILE, TILE)
        canvas[row - first[0], column - first[1]] = self.full[of]
        return canvas.transpose(1, 2).reshape(shape[0] * TILE, shape[1] * TILE), (first[0] * TILE, first[1] * TILE)

    def add_to(self, logits: Tensor) -> Tensor:
        """Logits (N, h, h) of the square to full resolution (N, S, S), the residual added."""
        return self._added(logits, self.full)

    def add_half_to(self, logits: Tensor) -> Tensor:
        """As `add_to`, after the stage at S/2: (N, S/2, S/2)."""
        return self._added(logits, self.stride2)

    def _added(self, logits: Tensor, residual: Tensor) -> Tensor:
        count, size = len(logits), residual.shape[-1]
        cells = logits.shape[-1] // CELL
        whole = F.interpolate(logits[:, None], size=(cells * size,) * 2, mode="bilinear", align_corners=False)[:, 0]
        tiles = logits.new_zeros(count, cells, cells, size, size)
        tiles = tiles.index_put((self.object, self.row // TILE, self.column // TILE), residual.to(logits.dtype))
        return whole + tiles.transpose(2, 3).reshape(whole.shape)


class Readout(nn.Module):
    """Logit residual from c channels by weights that the object token makes; zero at first."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, channels + 1)
        start_at_zero(self.layer)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        """(K, c, H, W) and tokens (K, D) to (K, H, W)."""
        weights, bias = self.layer(token).split([x.shape[1], 1], 1)
        residual: Tensor = torch.einsum("kchw,kc->khw", x, weights) + bias[..., None]
        return residual


class CoarseStage(nn.Module):
    """Stage at S/4, on the whole map of each object.

    Parameters
    ----------
    width : int
        D.
    channels : int
        c.
    """

    maps = 6

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        fine = width // 8
        self.key = nn.Conv2d(QUARTER, 16, 1)
        self.mask_features = nn.Conv2d(fine, channels, 1)
        self.stride4 = nn.Conv2d(fine, channels, 1)
        self.embedding = nn.Conv2d(width, channels, 1)
        self.maps_in = nn.Conv2d(self.maps, channels, 3, padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.modulation = Modulation(width, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        # A wider view, at half the resolution: a quarter of the cost.
        self.widen = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.narrow = nn.Conv2d(2 * channels, channels, 3, padding=2, dilation=2)
        self.context = Context(width, channels)
        self.readout = Readout(width, channels)
        # What the other two modules changed, which is nothing at first, counts at once: else their own zeros behind
        # these zeros would learn nothing before these have moved.
        self.retargeted = nn.Linear(width, fine, bias=False)
        self.localized = nn.Conv2d(width, channels, 1, bias=False)
        self.localized_for = nn.Linear(width, channels)

    def forward(
        self,
        look: Look,
        embedding: Tensor,
        stride4: Tensor,
        local: LocalFeatures | None,
        image: Tensor,
        prompts: PromptBatch,
        decoded: Decoded,
        renewal: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the stage's features (N, c, h, h) and logit residual (N, h, h).

        Parameters
        ----------
        look : Look
            At the B images.
        embedding : (B, D, h/4, h/4)
            The enhanced image embedding.
        stride4 : (B, C, h, h)
        local : LocalFeatures, optional
        image : (N,) int64
        prompts : PromptBatch
        decoded : Decoded
            The base's answer.
        renewal : (N, D)
            What Prompt Retargeting adds to its token.
        """
        size = stride4.shape[-2:]
        token = decoded.token + renewal
        of_image = self.stride4(stride4) + _enlarge(self.embedding(embedding), size)  # (B, c, h, h)
        logits = decoded.chosen_logits.detach()
        clicks = signed_clicks(prompts, size[0])
        key = self.key(look.quarter)
        means = pool(key, image, torch.stack([logits.sigmoid(), clicks.clamp(min=0)], 1).float())  # (N, 2, 16)
        alike = [likeness(key, image, mean) for mean in means.unbind(1)]
        way = reached(look.seen, image, prompts, logits)
        maps = torch.stack([logits.clamp(-12, 12) / 4, logits.tanh(), clicks, *alike, way], 1)
        x = self.mask_features(decoded.mask_features) + self.maps_in(maps) + of_image.index_select(0, image)
        x = F.relu(self.modulation(self.norm(x), token))
        x = F.relu(x + self.conv(x))
        x = F.relu(x + twice(self.narrow(F.relu(self.widen(F.avg_pool2d(x, 2))))))
        x = x + self.context(x, look, image, token)
        residual = self.readout(x, token)
        residual = residual + torch.einsum("nchw,nc->nhw", decoded.mask_features, self.retargeted(renewal))
        if local is not None:
            changed = self.localized(local.delta).index_select(0, image)  # (N, c, h/4, h/4)
            changed = torch.einsum("nchw,nc->nhw", changed, self.localized_for(token))
            residual = residual + _enlarge(changed[:, None], size)[:, 0]
        return x, residual


class FineStage(nn.Module):
    """Stage at S/2 or S, on tiles.

    Parameters
    ----------
    width : int
        D.
    before, channels : int
        Channels of the stage above and of this one.
    pixels : int
        Channels of the image's pixels at this scale.
    local : int
        Channels of the local maps at this scale; 0 without.
    """

    maps = 2

    def __init__(self, width: int, before: int, channels: int, pixels: int, local: int = 0) -> None:
        super().__init__()
        self.enter = nn.Conv2d(before, channels, 1)
        self.stem = nn.Conv2d(pixels + self.maps, channels, 3)
        # Without bias: an absent quadrant, all zeros, adds nothing.
        self.local = nn.Conv2d(local, channels, 3, bias=False) if local else None
        self.modulation = Modulation(width, channels)
        self.conv = nn.Conv2d(channels, channels, 3)
        self.readout = Readout(width, channels)

    def forward(
        self, state: Tensor, pixels: Tensor, local: Tensor | None, logits: Tensor, token: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features (T, c, k - 4, k - 4) and logit residual (T, k - 4, k - 4).

        Parameters
        ----------
        state : (T, before, k / 2 + 2, k / 2 + 2)
            Features of the stage above, with one pixel more on each side than k pixels of this scale cover.
        pixels : (T, pixels, k, k)
        local : (T, local, k, k), optional
        logits : (T, k, k)
            Of the answer so far.
        token : (T, D)
        """
        maps = torch.stack([logits.clamp(-12, 12) / 4, logits.tanh()], 1)
        x = twice(self.enter(state))[..., 3:-3, 3:-3] + self.stem(torch.cat([pixels, maps], 1))
        if self.local is not None and local is not None:
            x = x + self.local(local)
        x = F.relu(self.modulation(x, token))
        x = F.relu(x[..., 1:-1, 1:-1] + self.conv(x))
        return x, self.readout(x, token)


class MaskRefinement(nn.Module):
    """The cascade; every residual starts at zero.

    Parameters
    ----------
    width : int
        D.
    channels : (int, int, int)
        Of the stages at S/4, S/2 and S.
    """

    def __init__(self, width: int, channels: tuple[int, int, int] = (16, 16, 12)) -> None:
        super().__init__()
        self.coarse = CoarseStage(width, channels[0])
        self.middle = FineStage(width, channels[0], channels[1], 12 + HALF, width // 8)
        self.fine = FineStage(width, channels[1], channels[2], 3)
        # How much of it all an object takes: one at first.
        self.gate = nn.Linear(width, 1)
        start_at_zero(self.gate)
        # How far the base's firmest logits are drawn to where residuals can turn them: not at all at first.
        self.soften = nn.Linear(width, 1)
        start_at_zero(self.soften)

    def forward(
        self,
        look: Look,
        embedding: Tensor,
        stride4: Tensor,
        local: LocalFeatures | None,
        image: Tensor,
        prompts: PromptBatch,
        decoded: Decoded,
        renewal: Tensor,
    ) -> tuple[Tensor, Tiles]:
        """Return refined logits (N, h, h) and what is added to them below stride 4; parameters as of `CoarseStage`."""
        state, residual = self.coarse(look, embedding, stride4, local, image, prompts, decoded, renewal)
        token = decoded.token + renewal
        gate = 2.0 * self.gate(token).sigmoid()[:, 0]  # (N,)
        logits = decoded.chosen_logits
        softer = self.soften(token).tanh()[..., None] * (logits.clamp(-FIRM, FIRM) - logits)
        logits = logits + softer + gate[:, None, None] * residual
        places = uncertain_tiles(logits.detach())
        detail = None if local is None else local.stride4
        parts = [
            self._tiles(part, look, detail, image, state, logits, token, gate)
            for part in places.split(TILES_AT_ONCE)
            if len(part)
        ] or [(logits.new_empty(0, TILE // 2, TILE // 2), logits.new_empty(0, TILE, TILE))]
        stride2, full = (torch.cat(part) for part in zip(*parts, strict=True))
        return logits, Tiles(places[:, 0], places[:, 1] * TILE, places[:, 2] * TILE, stride2, full)

    def _tiles(
        self,
        places: Tensor,
        look: Look,
        detail: Tensor | None,
        image: Tensor,
        state: Tensor,
        logits: Tensor,
        token: Tensor,
        gate: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Residuals (T, TILE / 2, TILE / 2) and (T, TILE, TILE) of tiles (T, 3): object, row and column of the tile."""
        of, row, column = places.unbind(1)
        on, token, gate = image[of], token[of], gate[of, None, None]
        state = gather(state, of, row, column, CELL, APRON)  # (T, c, 14, 14)
        logits = gather(logits[:, None], of, row, column, CELL, APRON)  # (T, 1, 14, 14)
        pixels = gather(look.pixels, on, row, column, TILE, 8)  # (T, 3, 48, 48)
        half = gather(look.half, on, row, column, TILE // 2, 4)  # (T, HALF, 24, 24)
        local = None if detail is None else gather(detail, on, row, column, TILE // 2, 4)  # (T, C, 24, 24)
        logits = twice(logits)[:, 0, 2:-2, 2:-2]  # (T, 24, 24)
        state, middle = self.middle(
            state, torch.cat([F.pixel_unshuffle(pixels, 2), half], 1), local, logits, token
        )  # 20 x 20
        middle = gate * middle
        logits = twice((logits[:, 2:-2, 2:-2] + middle)[:, None])[:, 0, 2:-2, 2:-2]  # (T, 36, 36)
        _, fine = self.fine(state, pixels[..., 6:-6, 6:-6], None, logits, token)  # 32 x 32
        full = twice(middle[:, None])[:, 0, 4:-4, 4:-4] + gate * fine
        return middle[:, 2:-2, 2:-2], full


def uncertain_tiles(logits: Tensor) -> Tensor:
    """Return object, row and column (T, 3) of the tiles within reach of each object's uncertain band.

    Parameters
    ----------
    logits : (N, h, h)
        h is a multiple of `CELL`. Of an object with more than `MOST_TILES` such tiles the most uncertain are taken.
    """
    both = torch.stack([logits, -logits], 1)
    highest, lowest = F.max_pool2d(both, 2 * CELL, CELL, CELL // 2).unbind(1)
    uncertain = torch.minimum(highest + BAND, BAND + lowest)  # (N, h / CELL, h / CELL), above zero in the band
    flat = uncertain.flatten(1)
    if flat.shape[1] > MOST_TILES:
        least = flat.topk(MOST_TILES, 1).values[:, -1:]
        flat = torch.where(flat >= least, flat, -1.0)
    return torch.nonzero(flat.reshape(uncertain.shape) > 0)


def gather(maps: Tensor, index: Tensor, row: Tensor, column: Tensor, size: int, apron: int) -> Tensor:
    """Cut tiles (T, C, size + 2 apron, size + 2 apron) from maps (K, C, H, W), whose border is repeated outside.

    `index` (T,) says which map, `row` and `column` (T,) which tile.
    """
    steps = torch.arange(-apron, size + apron, device=maps.device)
    rows = (row[:, None] * size + steps).clamp(0, maps.shape[-2] - 1)
    columns = (column[:, None] * size + steps).clamp(0, maps.shape[-1] - 1)
    tiles = maps.permute(0, 2, 3, 1)[index[:, None, None], rows[:, :, None], columns[:, None]]  # (T, size, size, C)
    return tiles.permute(0, 3, 1, 2)


def signed_clicks(prompts: PromptBatch, size: int) -> Tensor:
    """Spots (N, h, h) at the points: plus one at positive ones, minus one at negative ones."""
    sign = (prompts.labels == POSITIVE).float() - (prompts.labels == NEGATIVE).float()
    return spots(prompts, sign, size, size).clamp(-1.0, 1.0)


def _enlarge(maps: Tensor, size: torch.Size) -> Tensor:
    """Resample (K, C, H, W) bilinearly to a size."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
