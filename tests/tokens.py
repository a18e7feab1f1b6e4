"""Prompts as the networks take them, by the pixels of their maps."""

import torch

from napari_sam2refiner.network.base import PromptBatch


def prompt(*tokens: tuple[float, float, int], mask: torch.Tensor | None = None) -> PromptBatch:
    """Prompts of one object: (row, column) in stride-4 pixels, and what they are."""
    coords = torch.tensor([[((x + 0.5) * 4 - 0.5, (y + 0.5) * 4 - 0.5) for y, x, _ in tokens]])
    labels = torch.tensor([[label for *_, label in tokens]], dtype=torch.int32)
    return PromptBatch(coords, labels, None if mask is None else mask[None, None], torch.tensor([mask is not None]))
