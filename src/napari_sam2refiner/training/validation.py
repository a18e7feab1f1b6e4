"""How well a base answers clicks on held-out crops, while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2refiner.training.crops import CropDataset
from napari_sam2refiner.training.rounds import Conversation, collate, converse

if TYPE_CHECKING:
    from napari_sam2refiner.network.micro import MicroBase


def after_clicks(network: MicroBase, held_out: CropDataset, objects: int, crops: int) -> dict[str, float]:
    """Return IoU after one and three clicks on crops of each held-out set, and their means.

    Parameters
    ----------
    network : MicroBase
    held_out : CropDataset
    objects : int
        Of a crop, at most.
    crops : int
        Of all sets together; four of each at least.
    """
    device = next(network.parameters()).device
    figures: dict[str, float] = {}
    sets = held_out.mixture.sets
    for name, fields in sets.items():
        only = CropDataset({name: fields}, held_out.config, first=held_out.first)
        samples = [only[i] for i in range(max(4, crops // len(sets)))]
        batch = collate(samples, network, objects, device)
        talk = Conversation(batch, {"click": 1.0}, np.random.default_rng(0))
        levels = network.encode(batch.pixels).levels
        turns = list(converse(network, levels, batch, talk, 3, explore=0.0, anywhere=False))
        for clicks in (1, 3):
            figures[f"{name}_{clicks}"] = turns[clicks - 1].chosen_iou().mean().item()
    for clicks in (1, 3):
        figures[f"mean_{clicks}"] = float(np.mean([figures[f"{name}_{clicks}"] for name in sets]))
    return figures


def in_words(figures: dict[str, float]) -> str:
    """Say a validation's means."""
    return f"held-out IoU {figures['mean_1']:.3f} after 1 click, {figures['mean_3']:.3f} after 3"
