"""What the courses of `micro` share that ask it about crops: their data, and how they are validated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from napari_sam2refiner.training.config import CropTrainingConfig
from napari_sam2refiner.training.crops import CropDataset
from napari_sam2refiner.training.loop import Course
from napari_sam2refiner.training.readers import counted, held_out_fields, training_fields
from napari_sam2refiner.training.rounds import Conversation, collate, converse, drawn_iou

if TYPE_CHECKING:
    from napari_sam2refiner.network.micro import MicroBase

C = TypeVar("C", bound=CropTrainingConfig)


class CropCourse(Course[C]):
    """A course on crops of annotated fields and of scenes; it leaves a base.

    Parameters
    ----------
    config : CropTrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    """

    weights_file = "base.safetensors"

    def __init__(self, config: C, data: list[Path]) -> None:
        super().__init__(config, data)
        torch.manual_seed(config.seed)
        sets = training_fields(data, scenes=config.scenes, seed=config.seed)
        held_out = held_out_fields(data, sets)
        self._crops = CropDataset(sets, config)
        alike = config.model_copy(update={"weights": {}})  # sets without a share are validated too
        self.held_out = CropDataset(held_out, alike, first=1) if held_out else None

    @property
    def crops(self) -> CropDataset:
        """Crops of annotated fields and of scenes."""
        return self._crops

    def about(self) -> list[str]:
        """Name the sets."""
        held_out = {} if self.held_out is None else self.held_out.mixture.sets
        return [f"training fields: {counted(self._crops.mixture.sets)}", f"held out: {counted(held_out)}"]

    def merit(self, figures: dict[str, float]) -> None:
        """The last weights are the best: their rate has fallen to nothing, and they are averaged."""

    def after_clicks(self, network: MicroBase, crops: int) -> dict[str, float]:
        """Return IoU after one and three clicks on crops of each held-out set, four at least; empty without one."""
        if self.held_out is None:
            return {}
        device = next(network.parameters()).device
        figures: dict[str, float] = {}
        sets = self.held_out.mixture.sets
        for name, fields in sets.items():
            only = CropDataset({name: fields}, self.held_out.config, first=self.held_out.first)
            samples = [only[i] for i in range(max(4, crops // len(sets)))]
            batch = collate(samples, network, self.config.objects, device)
            talk = Conversation(batch, {"click": 1.0}, np.random.default_rng(0))
            levels = network.encode(batch.pixels).levels
            turns = list(converse(network, levels, batch, talk, 3, explore=0.0, anywhere=False))
            for clicks in (1, 3):
                figures[f"{name}_{clicks}"] = drawn_iou(turns[clicks - 1].shown, batch).mean().item()
        for clicks in (1, 3):
            figures[f"mean_{clicks}"] = float(np.mean([figures[f"{name}_{clicks}"] for name in sets]))
        return figures


def in_words(figures: dict[str, float]) -> str:
    """Say a validation's means."""
    return f"held-out IoU {figures['mean_1']:.3f} after 1 click, {figures['mean_3']:.3f} after 3"
