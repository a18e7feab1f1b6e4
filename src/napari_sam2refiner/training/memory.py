"""The course of the window memory: objects on frames of sequences, and on stills that are made to move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.datasets import Split, find_sets
from napari_sam2refiner.datasets.sequences import find_sequences
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.network.window_memory import WindowMemory
from napari_sam2refiner.training.config import MemoryTrainingConfig
from napari_sam2refiner.training.loop import Course, Moment
from napari_sam2refiner.training.losses import mask_iou, mask_loss
from napari_sam2refiner.training.passages import MovingFields, Passage, PassageDataset
from napari_sam2refiner.training.readers import training_fields
from napari_sam2refiner.weights.format import write_weights

HELD_OUT = 48  # passages of each held-out set in a validation


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
        return [
            "still images: " + (", ".join(f"{name} {len(fields)}" for name, fields in stills.items()) or "none"),
            "sequences: " + (", ".join(f"{name} {len(one)}" for name, one in self._passages.moving.items()) or "none"),
        ]

    def forward(self, samples: list[Passage], moment: Moment) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step and figures for the log."""
        rng = np.random.default_rng([self.config.seed, 2, moment.step, moment.rank])
        truth, found, object_logits, hints = self._find(samples, earlier=rng.random() < 0.8)
        there = (truth.sum((1, 2)) > 0).float()
        loss = mask_loss(found, truth).mean()
        loss = loss + self.config.there_weight * F.binary_cross_entropy_with_logits(object_logits, there)
        known = there > 0
        with torch.no_grad():
            ious, copied = (mask_iou(one[known], truth[known] > 0.5).mean().item() for one in (found, hints - 0.5))
            right = ((object_logits > 0) == known).float().mean().item()
        return loss, {"loss": loss.item(), "iou_found": ious, "iou_copied": copied, "there": right}

    def _find(self, samples: Sequence[Passage], *, earlier: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return truth, logits, object logits and hints of passages; with or without the earlier frame."""
        device = self.memory.sharpness.device
        pixels, masks = (torch.stack([getattr(s, name) for s in samples], 1).to(device) for name in ("pixels", "masks"))
        seen = self.memory.encode(pixels.flatten(0, 1))
        first, before, now = (type(seen)(*(maps.unflatten(0, (3, -1))[t] for maps in seen)) for t in range(3))
        remembered = self.memory.remember(first, masks[0]) if earlier else None
        found = self.memory.find(now, before, masks[1], remembered)
        return masks[2], found.logits.float(), found.object_logits.float(), masks[1]

    def validate(self) -> dict[str, float]:
        """Return the IoU of what is found, and of the copied mask, on passages of each held-out set."""
        figures: dict[str, float] = {}
        for name, passages in self.held_out.items():
            values = []
            for start in range(0, HELD_OUT, 16):
                truth, found, _, hints = self._find([passages[i] for i in range(start, start + 16)], earlier=True)
                known = truth.sum((1, 2)) > 0
                values += [[mask_iou(one[known], truth[known] > 0.5)] for one in (found, hints - 0.5)]
            figures[f"{name}_found"] = torch.cat([v[0] for v in values[::2]]).mean().item()
            figures[f"{name}_copied"] = torch.cat([v[0] for v in values[1::2]]).mean().item()
        if figures:
            for what in ("found", "copied"):
                figures[f"mean_{what}"] = float(np.mean([figures[f"{name}_{what}"] for name in self.held_out]))
        return figures

    def merit(self, figures: dict[str, float]) -> None:
        """The last weights are the best: their rate has fallen to nothing, and they are averaged."""

    def describe(self, figures: dict[str, float]) -> str:
        """Words for a row of the log or of a validation."""
        if "mean_found" in figures:
            return ", ".join(
                f"{name} {figures[f'{name}_found']:.3f} (copied {figures[f'{name}_copied']:.3f})"
                for name in self.held_out
            )
        return f"loss {figures['loss']:.3f}, IoU {figures['iou_found']:.3f} (copied {figures['iou_copied']:.3f})"

    def write(self, path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write a file with the memory."""
        write_weights(path, backbone="any", memory=weights, metadata=metadata)


def _moving(data: list[Path], sets: Mapping[str, object], split: Split) -> dict[str, Sequence[MovingFields]]:
    """Return the sequences of those sets that may train."""
    moving: dict[str, Sequence[MovingFields]] = {}
    for one in find_sets(data):
        if one.name in sets:
            with suppress(ReadError):  # most are still images
                moving[one.name] = [MovingFields(sequence) for sequence in find_sequences(one.folder, split)]
    return moving
