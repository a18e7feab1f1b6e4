"""The course of the window memory: objects on frames of sequences, and on stills that are made to move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.datasets import Split, find_sets
from napari_sam2refiner.datasets.sequences import find_sequences
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.network.window_memory import Seen, WindowMemory
from napari_sam2refiner.training.config import MemoryTrainingConfig
from napari_sam2refiner.training.loop import Course, Moment
from napari_sam2refiner.training.losses import mask_iou, mask_loss
from napari_sam2refiner.training.passages import MovingFields, Passage, PassageDataset
from napari_sam2refiner.training.readers import counted, training_fields
from napari_sam2refiner.weights.format import write_weights

HELD_OUT = 48  # passages of each held-out set in a validation


class _Step(NamedTuple):
    """N objects that were found on a frame: truth, logits, object logits and hints."""

    truth: Tensor
    logits: Tensor
    object_logits: Tensor
    hints: Tensor


class MemoryCourse(Course[MemoryTrainingConfig]):
    """`train memory`.

    Parameters
    ----------
    config : MemoryTrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    start : dict of str to Tensor, optional
        Weights to start from instead of random ones.
    """

    command = "train memory"
    weights_file = "memory.safetensors"

    def __init__(self, config: MemoryTrainingConfig, data: list[Path], start: dict[str, Tensor] | None = None) -> None:
        super().__init__(config, data)
        torch.manual_seed(config.seed)
        stills = training_fields(data, scenes=config.scenes, seed=config.seed)
        moving = _moving(data, stills, "train")
        self._passages = PassageDataset(stills, moving, config)
        alike = config.model_copy(update={"plain": 1.0, "damaged": 0.0, "absent": 0.0, "ending": 0.0, "weights": {}})
        held_out = _moving(data, stills, "val")
        self.held_out = {name: PassageDataset({}, {name: one}, alike, first=1) for name, one in held_out.items()}
        self.memory = WindowMemory()
        if start is not None:
            self.memory.load_state_dict(start)

    @property
    def trained(self) -> WindowMemory:
        """The window memory."""
        return self.memory

    @property
    def crops(self) -> PassageDataset:
        """Passages of sequences and stills."""
        return self._passages

    def about(self) -> list[str]:
        """Name the sets."""
        stills = {} if self._passages.stills is None else self._passages.stills.sets
        return [f"still images: {counted(stills)}", f"sequences: {counted(self._passages.moving)}"]

    def forward(self, samples: list[Passage], moment: Moment) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step and figures for the log."""
        rng = np.random.default_rng([self.config.seed, 2, moment.step, moment.rank])
        earlier, rolled = rng.random() < 0.8, rng.random() < self.config.rolled
        steps = self._find(samples, earlier=earlier, rolled=rolled)
        loss = torch.stack([self._loss(step) for step in steps]).mean()
        last = steps[-1]
        known = last.truth.sum((1, 2)) > 0
        with torch.no_grad():
            found, copied = (
                mask_iou(one[known], last.truth[known] > 0.5).mean().item() for one in (last.logits, last.hints - 0.5)
            )
            right = ((last.object_logits > 0) == known).float().mean().item()
        return loss, {"loss": loss.item(), "iou_found": found, "iou_copied": copied, "there": right}

    def _loss(self, step: _Step) -> Tensor:
        """Of masks, and of whether the objects are there."""
        there = (step.truth.sum((1, 2)) > 0).float()
        missed = F.binary_cross_entropy_with_logits(step.object_logits, there)
        return mask_loss(step.logits, step.truth).mean() + self.config.there_weight * missed

    def _find(self, samples: Sequence[Passage], *, earlier: bool, rolled: bool) -> list[_Step]:
        """Find the objects; with or without the earlier frame; `rolled` is from the frame before the one before."""
        device = self.memory.sharpness.device
        pixels, masks, shift = (
            torch.stack([getattr(s, name) for s in samples], axis).to(device)
            for name, axis in (("pixels", 1), ("masks", 1), ("shift", 0))
        )
        used = [0, 1, 2, 3, 4] if rolled else [0, 3, 4]
        seen = self.memory.encode(pixels[used].flatten(0, 1))
        apart = [maps.unflatten(0, (len(used), -1)) for maps in seen]
        first, *pairs = (Seen(*(maps[t] for maps in apart)) for t in range(len(used)))
        remembered = self.memory.remember(first, masks[0]) if earlier else None
        hints, steps = masks[used[1]], list[_Step]()
        for place in range(0, len(pairs), 2):
            if steps:  # as in use: what was found a step before is the hint, not the truth
                hints = handed_on(steps[-1].logits.detach(), shift, masks[3])
            found = self.memory.find(pairs[place + 1], pairs[place], hints, remembered)
            truth = masks[used[place + 2]]
            steps.append(_Step(truth, found.logits.float(), found.object_logits.float(), hints))
        return steps

    def validate(self) -> dict[str, float]:
        """Return the IoU of what is found, and of the copied mask, on passages of each held-out set."""
        figures: dict[str, float] = {}
        for name, passages in self.held_out.items():
            values = []
            for start in range(0, HELD_OUT, 16):
                some = [passages[i] for i in range(start, start + 16)]
                (one,) = self._find(some, earlier=True, rolled=False)
                _, two = self._find(some, earlier=True, rolled=True)
                known = one.truth.sum((1, 2)) > 0
                masks = {"found": one.logits, "copied": one.hints - 0.5, "found_twice": two.logits}
                values.append({what: mask_iou(mask[known], one.truth[known] > 0.5) for what, mask in masks.items()})
            for what in values[0]:
                figures[f"{name}_{what}"] = torch.cat([value[what] for value in values]).mean().item()
        if figures:
            for what in ("found", "copied", "found_twice"):
                figures[f"mean_{what}"] = float(np.mean([figures[f"{name}_{what}"] for name in self.held_out]))
        return figures

    def merit(self, figures: dict[str, float]) -> None:
        """The last weights are the best: their rate has fallen to nothing, and they are averaged."""

    def describe(self, figures: dict[str, float]) -> str:
        """Words for a row of the log or of a validation."""
        if "mean_found" in figures:
            return ", ".join(
                f"{name} {figures[f'{name}_found']:.3f} (copied {figures[f'{name}_copied']:.3f}, "
                f"after two steps {figures[f'{name}_found_twice']:.3f})"
                for name in self.held_out
            )
        return f"loss {figures['loss']:.3f}, IoU {figures['iou_found']:.3f} (copied {figures['iou_copied']:.3f})"

    def write(self, path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write a file with the memory."""
        write_weights(path, backbone="any", memory=weights, metadata=metadata)


def handed_on(logits: Tensor, shift: Tensor, given: Tensor) -> Tensor:
    """Return masks (N, W, W) that were found in one window as hints in the next; what is given where none was."""
    theta = torch.zeros(len(shift), 2, 3, device=shift.device)
    theta[:, 0, 0] = theta[:, 1, 1] = shift[:, 2]
    theta[:, 0, 2], theta[:, 1, 2] = shift[:, 1], shift[:, 0]
    grid = F.affine_grid(theta, [len(logits), 1, *logits.shape[1:]], align_corners=False)
    moved = F.grid_sample((logits > 0).float()[:, None], grid, align_corners=False)[:, 0]
    return torch.where(moved.flatten(1).any(1)[:, None, None], moved, given)


def _moving(data: list[Path], sets: Mapping[str, object], split: Split) -> dict[str, Sequence[MovingFields]]:
    """Return the sequences of those sets that may train."""
    moving: dict[str, Sequence[MovingFields]] = {}
    for one in find_sets(data):
        if one.name in sets:
            with suppress(ReadError):  # most are still images
                moving[one.name] = [MovingFields(sequence) for sequence in find_sequences(one.folder, split)]
    return moving
