"""`evaluate --protocol everything`: every object of annotated fields found without a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from napari_sam2refiner.cli.console import work_bar

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.evaluation.everything import EverythingScore
    from napari_sam2refiner.sessions.base import PlaneSession
    from napari_sam2refiner.sessions.everything import Filters

SHOWN = (0.5, 0.75)  # IoUs of the AP in the table

Scores = dict[str, dict[str, "EverythingScore"]]


def everything_on_sets(
    session: PlaneSession, name: str, sets: Mapping[str, Sequence[Field]], filters: Filters, *, refine: bool
) -> Scores:
    """Segment every field of the sets by the model and by its rival; figures by set and by whom."""
    from napari_sam2refiner.evaluation.everything import measure_everything

    scores: Scores = {}
    with work_bar(transient=False) as progress:
        for key, items in sets.items():
            scores[key] = {}
            for item in progress.track(items, description=key):
                measure_everything(session, name, item, filters, scores[key], refine=refine)
    return scores


def everything_table(scores: Scores) -> Table:
    """Means over the fields of a set: F1, and AP, also over IoUs from 0.5 to 0.95; intervals are in the file."""
    from napari_sam2refiner.metrics import THRESHOLDS

    header = ["set", "fields", "objects", "by", "F1 at 0.5", "AP", *(f"AP at {t}" for t in SHOWN), "seconds"]
    table = Table(*header, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for key, by in scores.items():
        for row, (who, score) in enumerate(by.items()):
            about = (key, str(len(score.fields)), str(score.objects)) if row == 0 else ("", "", "")
            precisions = (score.mean_precision, *(score.precision(THRESHOLDS.index(t)) for t in SHOWN))
            figures = (score.mean_f1, *precisions)
            table.add_row(*about, who, *(f"{figure:.3f}" for figure in figures), f"{score.mean_seconds:.2f}")
    return table


def everything_content(scores: Scores) -> dict[str, Any]:
    """Return all figures, by set and by whom."""
    from napari_sam2refiner.metrics import THRESHOLDS

    return {
        key: {
            who: {
                "objects": score.objects,
                "f1": score.mean_f1,
                "f1_interval": score.interval,
                "ap": score.mean_precision,
                "ap_by_iou": {str(t): score.precision(place) for place, t in enumerate(THRESHOLDS)},
                "seconds": score.mean_seconds,
                "fields": [
                    {"name": name, "f1": f1, "objects": counts[0].right + counts[0].missed, "seconds": seconds}
                    for name, f1, counts, seconds in zip(
                        score.fields, score.f1(), score.counts, score.seconds, strict=True
                    )
                ],
            }
            for who, score in by.items()
        }
        for key, by in scores.items()
    }
