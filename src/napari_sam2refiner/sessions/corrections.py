"""What a late click may change: the object is nearly done, and a click says where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from napari_sam2refiner.prompts import Prompts

Logits = npt.NDArray[np.float32]


def connected_to_clicks(logits: Logits, before: Logits, prompts: Prompts) -> Logits | None:
    """Return logits (Y, X) in which only what is connected to the clicks that the mask before disobeyed has changed.

    None where all of it is, or every click was obeyed before. Pieces are connected also by their corners.
    """
    mask, known = logits > 0, before > 0
    changed = mask != known
    places = np.clip(np.floor(prompts.points + 0.5).astype(int), 0, np.array(mask.shape) - 1)
    wrong = places[known[tuple(places.T)] != prompts.labels]
    if not len(wrong):
        return None
    pieces, _ = ndimage.label(changed, np.ones((3, 3)))
    meant = np.unique(pieces[tuple(wrong.T)])
    others = changed & ~np.isin(pieces, meant[meant > 0])
    return np.where(others, before, logits) if others.any() else None
