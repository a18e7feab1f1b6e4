"""Labels of planes that are too large to be drawn whole: a pyramid of views of one array; napari draws a part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_DRAWN = 2**25  # pixels of a plane that napari draws again within some tenths of a second
COARSEST = 1024  # pixels along the coarsest level, at most


def is_large(shape: Sequence[int]) -> bool:
    """Return whether planes of an array of this shape are too large to be drawn whole."""
    return math.prod(shape[-2:]) > LARGEST_DRAWN


def empty_labels(shape: Sequence[int], dtype: npt.DTypeLike, **options: Any) -> Labels:
    """Return a layer of empty labels.

    Large ones are a pyramid. Its coarser levels are views of every second, fourth, ... pixel of the finest, so that
    what is written there is seen on all of them; memory is taken for pages of it that were written to.
    """
    labels = np.zeros(shape, dtype)
    if not is_large(shape):
        return Labels(labels, **options)
    steps = [2**n for n in range(1 + math.ceil(math.log2(max(shape[-2:]) / COARSEST)))]
    return Labels([labels[..., ::step, ::step] for step in steps], multiscale=True, **options)
