"""The masks that a first click may mean, as the dock names them; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_sam2refiner.sessions.base import Prediction

NAMES = {  # by area, from the smallest
    2: ("part", "whole"),
    3: ("part", "whole", "larger"),
    4: ("small", "medium", "large", "largest"),
}


@dataclass(frozen=True, slots=True)
class Guess:
    """A mask that the prompts may mean.

    Attributes
    ----------
    rank : int
        How many of the others are smaller.
    name : str
        Among the others.
    score : float or None
        The model's estimate of its IoU, if it made one.
    """

    rank: int
    name: str
    score: float | None

    @property
    def text(self) -> str:
        """Name and score in one line."""
        return self.name if self.score is None else f"{self.name} {100 * min(max(self.score, 0.0), 1.0):.0f} %"


class Guesses:
    """Names the candidates of a prediction by their areas; those of the latest are remembered."""

    def __init__(self) -> None:
        self._latest: tuple[Prediction, tuple[Guess, ...]] | None = None

    def of(self, prediction: Prediction) -> tuple[Guess, ...]:
        """Return what the candidates are, in their order; nothing where there is no choice."""
        if self._latest is None or self._latest[0].candidates is not prediction.candidates:
            self._latest = (prediction, _named(prediction))
        return self._latest[1]


def _named(prediction: Prediction) -> tuple[Guess, ...]:
    candidates = prediction.candidates
    if len(candidates) < 2:
        return ()
    names = NAMES.get(len(candidates), tuple(f"size {rank + 1}" for rank in range(len(candidates))))
    ranks = np.argsort(np.argsort([one.part.area for one in candidates], kind="stable"), kind="stable")
    scores = (None if isnan(one.score) else float(one.score) for one in candidates)
    return tuple(Guess(rank, names[rank], score) for rank, score in zip(ranks.tolist(), scores, strict=True))
