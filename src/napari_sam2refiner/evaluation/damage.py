"""Labels made worse on purpose, as other tools and hurried hands leave them: what `refine` has to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from napari_sam2refiner.labels.thresholds import otsu_watershed, part_over
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.simulated_user import WAYS, rough_mask, tight_box

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.sessions.base import PlaneSession

OTSU = "Otsu + watershed"
KINDS = (*WAYS, OTSU)
AT_ONCE = 32  # objects whose answers are held
HALF = "base at half size"  # another kind, for which a session is needed


def damaged(item: Field, ids: npt.NDArray[np.int32], kind: str) -> npt.NDArray[np.int32]:
    """Return labels (Y, X) of some of a field's objects, drawn badly.

    Parameters
    ----------
    item : Field
    ids : (N,) int32 array
        Of the objects; the others are not drawn.
    kind : str
        Of `KINDS`. Of Otsu's parts an object gets the one that covers most of it. Where two objects want a pixel, it
        goes to the later one, and an object may lose all of its pixels.
    """
    if kind == OTSU:
        return _by_otsu(item, ids)
    drawn = np.zeros_like(item.labels)
    rng = np.random.default_rng(0)
    for object_id in ids:
        drawn[rough_mask(item.labels == object_id, [kind], rng)] = object_id
    return drawn


def drawn_at_half_size(session: PlaneSession, item: Field, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return labels (Y, X) that a session's base draws of boxed objects where it sees the field at half its size.

    Parameters
    ----------
    session : PlaneSession
        Forgets its image.
    item : Field
    ids : (N,) int32 array
        Of the objects. A pixel that two of them want goes to the surer one; one that is not found is not drawn.
    """
    small = _halved(rescale(item.image))
    session.set_image(small, "dtype")
    scale = np.tile(np.array(small.shape[:2]) / item.labels.shape, 2)
    boxes = [(np.array(tight_box(item.labels == i)) + 0.5) * scale - 0.5 for i in ids]
    drawn, surest = np.zeros_like(item.labels), np.zeros(item.labels.shape, np.float32)
    for start in range(0, len(ids), AT_ONCE):
        prompts = [Prompts(boxes=box[None]) for box in boxes[start : start + AT_ONCE]]
        answers = session.predict_many(prompts, refine=False)
        for object_id, answer in zip(ids[start : start + AT_ONCE], answers, strict=True):
            logits = _enlarged(answer.logits, item.labels.shape)
            drawn[logits > surest] = object_id
            surest = np.maximum(surest, logits)
    return drawn


def _halved(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Resample (Y, X, 3) to half the size."""
    size = [max(1, round(n / 2)) for n in image.shape[:2]]
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    small = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
    return small[0].permute(1, 2, 0).contiguous().numpy()


def _enlarged(logits: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Resample (h, w) to a shape."""
    values = torch.from_numpy(logits)[None, None].float()
    return F.interpolate(values, size=shape, mode="bilinear", align_corners=False)[0, 0].numpy()


def _by_otsu(item: Field, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Labels of the parts that cover more of an object than any other part does."""
    parts = otsu_watershed(rescale(item.image))
    drawn = np.zeros_like(item.labels)
    for object_id in ids:
        part = part_over(parts, item.labels == object_id)
        if part is not None:
            drawn[part] = object_id
    return drawn
