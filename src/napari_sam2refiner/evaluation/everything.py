"""How well everything on annotated fields is segmented without a click, by a model and by Otsu with a watershed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2refiner.labels.thresholds import otsu_watershed
from napari_sam2refiner.metrics import THRESHOLDS, bootstrap_interval, count_found
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.sessions.everything import segment_everything

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.metrics import Found
    from napari_sam2refiner.sessions.base import PlaneSession
    from napari_sam2refiner.sessions.everything import Filters

OTSU = "Otsu + watershed"
LEAST_AREA = 15  # pixels of a part of Otsu's, as of the model's objects


@dataclass
class EverythingScore:
    """Figures of one way to segment everything, one entry for each field.

    Attributes
    ----------
    fields : list of str
    counts : list of tuple of Found
        At each of `metrics.THRESHOLDS`.
    seconds : list of float
        From the pixels to the labels.
    """

    fields: list[str] = field(default_factory=list)
    counts: list[tuple[Found, ...]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, name: str, labels: npt.NDArray[Any], truth: npt.NDArray[Any], seconds: float) -> None:
        """Measure labels of a field."""
        self.fields.append(name)
        self.counts.append(count_found(labels, truth))
        self.seconds.append(seconds)

    @property
    def objects(self) -> int:
        """How many there are."""
        return sum(counts[0].right + counts[0].missed for counts in self.counts)

    def f1(self, threshold: int = 0) -> list[float]:
        """F1 of each field at one of `metrics.THRESHOLDS`, given by its place."""
        return [counts[threshold].f1 for counts in self.counts]

    @property
    def mean_f1(self) -> float:
        """F1 at IoU 0.5, mean over fields."""
        return float(np.mean(self.f1()))

    @property
    def interval(self) -> tuple[float, float]:
        """Bootstrap 95 % interval of F1 at IoU 0.5, over fields."""
        return bootstrap_interval(self.f1())

    def precision(self, threshold: int) -> float:
        """AP at one of `metrics.THRESHOLDS`, given by its place, mean over fields."""
        return float(np.mean([counts[threshold].precision for counts in self.counts]))

    @property
    def mean_precision(self) -> float:
        """AP, mean over IoUs from 0.5 to 0.95 and fields."""
        return float(np.mean([self.precision(place) for place in range(len(THRESHOLDS))]))

    @property
    def mean_seconds(self) -> float:
        """Seconds for a field."""
        return float(np.mean(self.seconds))


def measure_everything(
    session: PlaneSession, who: str, item: Field, filters: Filters, scores: dict[str, EverythingScore], *, refine: bool
) -> None:
    """Segment a field by a session, called `who`, and by Otsu with a watershed; add to the scores, by who."""
    start = time.perf_counter()
    labels, _ = segment_everything(session.set_image(item.image), filters=filters, refine=refine)
    scores.setdefault(who, EverythingScore()).add(item.name, labels, item.labels, time.perf_counter() - start)
    start = time.perf_counter()
    parts = otsu_watershed(rescale(item.image))
    parts[np.bincount(parts.ravel())[parts] < LEAST_AREA] = 0
    scores.setdefault(OTSU, EverythingScore()).add(item.name, parts, item.labels, time.perf_counter() - start)
