"""Passages: an object on four frames, as it is remembered and as it is to be found twice, in its windows.

From annotated sequences; and from still images and scenes, whose frames are made by moving, bending and lighting them
differently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from napari_sam2refiner.datasets import Field
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.network.window_memory import Scales, Window, frame_scales
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.training.crops import MOST_TRIES, SMALLEST_OBJECT, SetMixture, degraded, picture, resampled

if TYPE_CHECKING:
    from napari_sam2refiner.datasets.sequences import AnnotatedSequence
    from napari_sam2refiner.training.config import MemoryTrainingConfig

REGION, LARGEST = 4.5, 320  # sides of what is cut out: in extents of the object, and in pixels after it is made smaller
Four = tuple[Field, Field, Field, Field]
BEFORE, PRESENT = 2, 3  # of the four


@dataclass(frozen=True, eq=False)
class Passage:
    """One object on four frames: an earlier one that is remembered, two in a row, and the present.

    Attributes
    ----------
    pixels : (5, 4, W, W)
        The earlier frame in a window of its own; the two in a row in one around the object on the first of them; the
        second again, and the present, in one around the object on the second.
    masks : (5, W, W)
        The same of the object, shares of 0 to 1: what is remembered, what is known of the first in a row (perhaps not
        the truth), the truth of the second, what is known of the second, the truth of the present.
    shift : (3,)
        Where the middle of the last window is in the one before, y and x, in halves of its side; and the last one's
        side in its own.
    """

    pixels: Tensor
    masks: Tensor
    shift: Tensor


class MovingFields:
    """Frames of one sequence, with one black and white for all."""

    def __init__(self, sequence: AnnotatedSequence) -> None:
        images = [sequence[t] for t in range(len(sequence))]
        ends = limits(np.concatenate([image[::4, ::4].reshape(-1) for image in images])[:, None])
        self.frames: dict[int, Field] = {}
        for t, image in enumerate(images):
            truth = sequence.truth(t)
            if truth is not None:
                self.frames[t] = Field(f"{sequence.name}/{t}", image, truth, ends)

    def draw(self, rng: np.random.Generator, farthest: int, ending: float) -> tuple[Four, int] | None:
        """Return four frames in one direction and an object of the third; None if there is none.

        It is one that is not on the fourth, where there is one, in a share `ending` of the draws.
        """
        times = list(self.frames)
        before = int(rng.choice(times))
        ids = np.unique(self.frames[before].labels)
        ids = ids[ids > 0]
        step = int(rng.choice((-1, 1))) * min(1 + int(rng.geometric(0.6) - 1), farthest)
        if not len(ids) or before + step not in self.frames:
            return None
        gone = np.setdiff1d(ids, self.frames[before + step].labels)
        number = int(rng.choice(gone if len(gone) and rng.random() < ending else ids))
        wanted = (before - int(rng.integers(0, 8)) * int(np.sign(step)), before - step)
        earlier, first = (
            self.frames[t if t in self.frames and (self.frames[t].labels == number).any() else before] for t in wanted
        )
        return (earlier, first, self.frames[before], self.frames[before + step]), number


class PassageDataset(Dataset[Passage]):
    """Passage number i of a run; the same settings and number give the same passage.

    Parameters
    ----------
    stills : mapping of str to sequence of Field
        Fields by the name of their set.
    moving : mapping of str to sequence of MovingFields
        Sequences by the name of their set.
    config : MemoryTrainingConfig
        Its `weights` are the shares of the sets.
    first : int
        Added to the number, so that other runs over the same fields see other passages.
    """

    def __init__(
        self,
        stills: Mapping[str, Sequence[Field]],
        moving: Mapping[str, Sequence[MovingFields]],
        config: MemoryTrainingConfig,
        first: int = 0,
    ) -> None:
        self.stills = SetMixture(stills, config.weights) if stills else None
        self.moving = moving
        own = np.array([config.weights.get(name, 0.05) for name in moving])
        self.shares = own / own.sum() if own.sum() > 0 else own
        self.config = config
        self.first = first

    def __len__(self) -> int:
        """Return how many passages a whole run takes."""
        return self.config.steps * self.config.crops

    def __getitem__(self, index: int) -> Passage:
        """Return passage number `index`; raise `ReadError` where no frame holds an object large enough."""
        rng = np.random.default_rng([self.config.seed, self.first, index])
        for _ in range(MOST_TRIES):
            still = self.stills is not None and (not self.moving or rng.random() < self.config.stills)
            drawn = self._still(rng) if still else self._moving(rng)
            passage = None if drawn is None else _passage(*drawn, rng, self.config, still=still)
            if passage is not None:
                return passage
        msg = f"{MOST_TRIES} draws held no object of {SMALLEST_OBJECT} pixels; give sets with larger objects."
        raise ReadError(msg)

    def _still(self, rng: np.random.Generator) -> tuple[Four, int]:
        assert self.stills is not None, "asked for only where there are some"
        field = self.stills.draw(rng)
        ids = np.unique(field.labels)
        return (field, field, field, field), int(rng.choice(ids[ids > 0]))

    def _moving(self, rng: np.random.Generator) -> tuple[Four, int] | None:
        sequences = list(self.moving.values())[int(rng.choice(len(self.shares), p=self.shares))]
        return sequences[int(rng.integers(len(sequences)))].draw(rng, self.config.farthest, self.config.ending)


def _passage(
    fields: Four, number: int, rng: np.random.Generator, config: MemoryTrainingConfig, *, still: bool
) -> Passage | None:
    """Cut a passage; None if its object is too small to see."""
    rows, columns = np.nonzero(fields[BEFORE].labels == number)
    if len(rows) < SMALLEST_OBJECT:
        return None
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    # Where the field is smaller than that, there is nothing to see around it.
    size = np.array([1, 1]) * max(64, min(int(REGION * extent), int(1.1 * max(fields[BEFORE].labels.shape))))
    middle = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
    corner = (middle - size / 2).astype(int)
    side = min(int(size[0]), LARGEST)
    plain, seed, absent = rng.random() < config.plain, int(rng.integers(2**32)), rng.random() < config.absent
    reach = extent * side / size[0]
    frames, masks = [], []
    for place, field in enumerate(fields):
        elsewhere = (rng.uniform(0, 1, 2) * field.labels.shape - size / 2).astype(int)
        turned = np.random.default_rng(seed)  # all alike
        cut = picture(field, elsewhere if absent and place == PRESENT else corner, size, turned, plain=plain)
        pixels, labels = resampled(*cut, side)
        mask = (labels == number).float()
        if still and place != BEFORE:
            pixels, mask = _bent(pixels, mask, reach, rng)
        frames.append(_lit(pixels, rng, plain=plain))
        masks.append(mask)
    if not masks[BEFORE].any():
        return None
    for place in range(BEFORE):
        if masks[place].sum() < 0.3 * masks[BEFORE].sum():
            frames[place], masks[place] = frames[BEFORE], masks[BEFORE]
    known = [_damaged(mask, reach, rng) if rng.random() < config.damaged else mask for mask in masks[1:PRESENT]]
    own = Window.around(masks[0] > 0)
    first, last = (_near(Window.around(mask > 0), rng) for mask in known)
    shown = ((0, own), (1, first), (BEFORE, first), (BEFORE, last), (PRESENT, last))
    scales = [frame_scales(frame.permute(1, 2, 0), ~frame[0].isnan()) for frame in frames]
    cuts = [scales[place].cut([window])[0] for place, window in shown]
    drawn = zip((masks[0], known[0], masks[BEFORE], known[1], masks[PRESENT]), shown, strict=True)
    cut_masks = [Scales(mask[None]).cut([window])[0, 0] for mask, (_, window) in drawn]
    away = ((last.y - first.y) * 2 / first.side, (last.x - first.x) * 2 / first.side, last.side / first.side)
    return Passage(torch.stack(cuts), torch.stack(cut_masks), torch.tensor(away))


def _near(window: Window, rng: np.random.Generator) -> Window:
    """Return a window that is not quite in its place, so that no place in it means anything."""
    dy, dx = rng.normal(0, 0.03, 2) * window.side
    return Window(window.y + dy, window.x + dx, window.side * math.exp(rng.normal(0, 0.04)))


def _bent(pixels: Tensor, mask: Tensor, extent: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Move, turn, stretch and bend a frame (3, H, W) and a mask (H, W); neighbours move differently."""
    side = mask.shape[-1]
    turn, grow = rng.normal(0, 0.12), np.exp(rng.normal(0, 0.05, 2))
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) * grow
    shift = rng.normal(0, 0.25, 2) * extent / side * 2.0
    theta = torch.from_numpy(np.concatenate([matrix, shift[:, None]], 1)[None]).float()
    grid = F.affine_grid(theta, [1, 1, side, side], align_corners=False)
    knots = int(np.clip(round(side / extent * rng.uniform(0.6, 2.0)) + 2, 3, 12))
    bend = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.25), (1, 2, knots, knots))).float() * extent / side * 2.0
    grid = grid + F.interpolate(bend, size=(side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    outside = pixels[:1].isnan().float()
    maps = torch.cat([pixels.nan_to_num(0.3), outside, mask[None]])
    moved = F.grid_sample(maps[None], grid, padding_mode="border", align_corners=False)[0]
    return torch.where(moved[3:4] > 0.5, torch.nan, moved[:3]), (moved[4] > 0.5).float()


def _lit(pixels: Tensor, rng: np.random.Generator, *, plain: bool) -> Tensor:
    """Light a frame a little differently from the others, with noise of its own."""
    pixels = pixels * math.exp(rng.normal(0, 0.06)) + rng.normal(0, 0.02)
    return pixels if plain else degraded(pixels, rng)


def _damaged(mask: Tensor, extent: float, rng: np.random.Generator) -> Tensor:
    """Return a mask (H, W) as a network may have found it: larger or smaller here and there, and a little beside it."""
    soft = ndi.gaussian_filter(mask.numpy(), extent * rng.uniform(0.03, 0.1))
    soft = ndi.shift(soft, rng.normal(0, 0.04, 2) * extent, order=1)
    coarse: npt.NDArray[np.float64] = rng.standard_normal((max(2, int(mask.shape[-1] / max(extent / 4, 2))),) * 2)
    noise = F.interpolate(torch.from_numpy(coarse)[None, None], size=mask.shape, mode="bicubic")[0, 0].numpy()
    found = torch.from_numpy(soft + rng.uniform(0, 0.15) * noise > rng.uniform(0.35, 0.65))
    found &= torch.from_numpy(ndi.binary_dilation(mask.numpy() > 0, iterations=max(1, int(extent / 6))))
    return found.float() if found.any() else mask
