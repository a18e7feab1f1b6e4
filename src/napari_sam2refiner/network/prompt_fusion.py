"""Prompt fusion: an object's first guess, mixed with the previous answer and the prompts, drawn as maps.

By a few dilated convolutions (prompts as maps: Sofiiuk et al., RITM, arXiv 2102.06583).

Letters: C channels of the instance head, W of the fusion, h x w stride-4 pixels of one image; for the rest see `base`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import BOX_START, NEGATIVE, POSITIVE, PromptBatch, spots, start_at_zero
from napari_sam2refiner.network.instance_embedding import distance_outside

NEAR, PREVIOUS_NEAR = -20.0, -12.0  # logits, of guesses and of earlier answers, below which there is no object
BOX_NEAR = 12.0  # stride-4 pixels around a box; farther away nothing is left of it
SPOT_NEAR = 5  # stride-4 pixels around a point; farther away nothing is left of its spot
REACH = 9  # stride-4 pixels that `PromptFusion` looks around
STEP = 16  # of the sizes of windows, so that objects go together

Window = tuple[slice, slice]  # rows and columns


class PromptFusion(nn.Module):
    """Dilated convolutions over the guess, the previous answer and the prompts as maps; a residual, zero at first.

    Parameters
    ----------
    channels : int
        C, of the instance head's features.
    width : int
        Channels it works with.
    """

    maps = 8

    def __init__(self, channels: int = 64, width: int = 16) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.enter = nn.Conv2d(self.maps, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.leave = nn.Conv2d(width, 1, 3, padding=1)
        start_at_zero(self.leave)

    def forward(self, features: Tensor, image: Tensor, guess: Tensor, prompts: PromptBatch) -> Tensor:
        """Return logits (N, h, w) from head features (B, C, h, w) and first-guess logits (N, h, w).

        On a CPU that does not learn, only where an object may be: elsewhere the guess is so low that nothing comes of
        what is added to it.
        """
        if torch.is_grad_enabled() or guess.device.type != "cpu":
            return guess + self._residual(self.reduce(features).index_select(0, image), guess, prompts)
        fused = guess.clone()
        for objects, windows in _windows(guess, prompts):
            parts = list(zip(objects, windows, strict=True))
            residuals = self._residual(
                self.reduce(torch.stack([features[image[n], :, y, x] for n, (y, x) in parts])),
                torch.stack([guess[n, y, x] for n, (y, x) in parts]),
                _moved(prompts, objects, windows),
            )
            for (n, (y, x)), residual in zip(parts, residuals, strict=True):
                fused[n, y, x] += residual
        return fused

    def _residual(self, reduced: Tensor, guess: Tensor, prompts: PromptBatch) -> Tensor:
        """Return what is added (N, h, w) to first guesses (N, h, w), from their reduced features (N, W, h, w)."""
        height, width = guess.shape[-2:]
        if prompts.mask_logits is None:
            previous = torch.zeros_like(guess)
        else:
            previous = torch.where(prompts.has_mask[:, None, None], prompts.mask_logits[:, 0], 0.0)
        maps = torch.stack(
            [
                guess.clamp(-12, 12) / 4,
                guess.tanh(),
                previous.clamp(-12, 12) / 4,
                previous.tanh(),
                prompts.has_mask[:, None, None].expand_as(guess).float(),
                spots(prompts, prompts.labels == POSITIVE, height, width).clamp(max=1.0),
                spots(prompts, prompts.labels == NEGATIVE, height, width).clamp(max=1.0),
                (-distance_outside(prompts, height, width)).exp(),
            ],
            1,
        )
        x = self.enter(maps) + reduced
        x = x.contiguous(memory_format=torch.channels_last)  # of many objects three times as fast on a CPU
        for layer in self.layers:
            x = x + layer(F.gelu(x))
        residual: Tensor = self.leave(F.gelu(x))
        return residual[:, 0]


def _windows(guess: Tensor, prompts: PromptBatch) -> Iterator[tuple[list[int], list[Window]]]:
    """Yield objects, and where on their guesses (N, h, w) they and their prompts may be: windows of one size.

    Around these lies all that the layers reach, twice: what they look at, and what they change.
    """
    near = guess > NEAR
    if prompts.mask_logits is not None:
        near |= (prompts.mask_logits[:, 0] > PREVIOUS_NEAR) & prompts.has_mask[:, None, None]
    if prompts.has_boxes:
        has_box = (prompts.labels == BOX_START).any(1)
        near |= (distance_outside(prompts, *guess.shape[-2:]) < BOX_NEAR) & has_box[:, None, None]
    places = ((prompts.coords + 0.5) / 4.0 - 0.5).round().long()  # (N, P, 2) as (x, y)
    is_point = (prompts.labels == POSITIVE) | (prompts.labels == NEGATIVE)
    spans = []
    for axis, size in ((0, guess.shape[-2]), (1, guess.shape[-1])):
        along = near.any(2 - axis)  # (N, size)
        at = places[..., 1 - axis].clamp(0, size - 1)
        along |= (F.one_hot(at, size).bool() & is_point[..., None]).any(1)
        steps = torch.arange(size)
        first, last = torch.where(along, steps, size).amin(1), torch.where(along, steps, -1).amax(1)
        spans.append(list(zip(first.tolist(), last.tolist(), strict=True)))
    by_size: dict[tuple[int, int], tuple[list[int], list[Window]]] = {}
    for n, corners in enumerate(zip(*spans, strict=True)):
        y, x = (_around(first, last, size) for (first, last), size in zip(corners, guess.shape[-2:], strict=True))
        objects, windows = by_size.setdefault((y.stop - y.start, x.stop - x.start), ([], []))
        objects.append(n)
        windows.append((y, x))
    yield from by_size.values()


def _around(first: int, last: int, size: int) -> slice:
    """Return a span with all of the pixels from first to last, and what is around them, in steps of some length."""
    length = last - first + 1 + 4 * REACH + 2 * SPOT_NEAR
    length = min(size, -(-length // STEP) * STEP)
    start = min(max(0, (first + last + 1 - length) // 2), size - length)
    return slice(start, start + length)


def _moved(prompts: PromptBatch, objects: list[int], windows: list[Window]) -> PromptBatch:
    """Return the prompts of some objects as they are in windows of their maps, (y, x) in stride-4 pixels."""
    corners = prompts.coords.new_tensor([[x.start, y.start] for y, x in windows])
    masks = prompts.mask_logits
    if masks is not None:
        masks = torch.stack([masks[n, :, y, x] for n, (y, x) in zip(objects, windows, strict=True)])
    coords = prompts.coords[objects] - 4.0 * corners[:, None]
    return PromptBatch(coords, prompts.labels[objects], masks, prompts.has_mask[objects])
