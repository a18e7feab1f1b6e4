"""`evaluate --protocol video`: objects of the first frame followed through annotated sequences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from napari_sam2refiner.cli.console import work_bar
from napari_sam2refiner.errors import ReadError

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import DataSet, Split
    from napari_sam2refiner.evaluation.following import Followed
    from napari_sam2refiner.network.refiner import SAM2Refiner
    from napari_sam2refiner.network.window_memory import WindowMemory

DISTANCES = (1, 2, 5, 10, 20)  # frames after the first, in the table
NAMES = {"copied": "copied", "overlap": "Otsu, by overlap", "centroid": "Otsu, by centroid"}

Scores = dict[str, dict[str, "Followed"]]


def follow_sets(
    model: SAM2Refiner,
    name: str,
    sets: list[DataSet],
    split: Split,
    frames: int,
    objects: int | None,
    memory: WindowMemory | None = None,
    *,
    correct: bool = False,
) -> Scores:
    """Follow the objects of every sequence of the sets, by the model and by its rivals; figures by set and by whom.

    With `correct` the model's worst frame of each is corrected, too.

    Raises
    ------
    ReadError
        If no set holds sequences.
    """
    from napari_sam2refiner.datasets.sequences import find_sequences
    from napari_sam2refiner.evaluation.following import RIVALS, Followed, carried_by, correct_worst, follow

    sequences = {}
    for one in sets:
        try:
            sequences[one.name] = find_sequences(one.folder, split)
        except ReadError:
            continue  # still images
    if not sequences:
        msg = f"{', '.join(one.name for one in sets)} holds no sequences; give videos or stacks."
        raise ReadError(msg)
    followers = {name: carried_by(model, memory), **{NAMES[key]: rival for key, rival in RIVALS.items()}}
    scores: Scores = {}
    with work_bar(transient=False) as progress:
        for key, ones in sequences.items():
            scores[key] = {who: Followed() for who in followers}
            for sequence in progress.track(ones, description=key):
                for who, found in follow(sequence, followers, frames=frames, objects=objects).items():
                    scores[key][who].add(found)
                if correct:
                    scores[key][name].add(correct_worst(sequence, model, memory, frames=frames, objects=objects))
    return scores


def video_table(scores: Scores) -> Table:
    """Mean J over all frames and by distance, how often what is gone was still drawn, and what a correction gave."""
    header = ["set", "objects", "by", "J", *(f"J at {d}" for d in DISTANCES), "gone, still drawn"]
    corrects = any(found.corrected for by in scores.values() for found in by.values())
    if corrects:
        header.append("after the worst frame, corrected")
    table = Table(*header, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, by in scores.items():
        for row, (who, found) in enumerate(by.items()):
            at = (f"{found.j_at(d):.3f}" if d in found.by_distance else "" for d in DISTANCES)
            about = (name, str(found.objects)) if row == 0 else ("", "")
            gone = f"{found.drawn} of {found.gone}" if found.gone else ""
            then = f"{np.mean(found.uncorrected):.3f}, {np.mean(found.corrected):.3f}" if found.corrected else ""
            table.add_row(*about, who, f"{found.j:.3f}", *at, gone, *([then] if corrects else ()))
    return table


def save_video(path: Path, scores: Scores, about: dict[str, Any]) -> None:
    """Write all figures as JSON."""
    from napari_sam2refiner.evaluation.report import save_text

    sets = {
        name: {
            who: {
                "objects": found.objects,
                "j": found.j,
                "j_by_distance": {str(d): found.j_at(d) for d in sorted(found.by_distance)},
                "gone": found.gone,
                "gone_still_drawn": found.drawn,
                "j_after_worst_frame": _mean(found.uncorrected),
                "j_after_worst_frame_corrected": _mean(found.corrected),
                "objects_after_worst_frame": len(found.corrected),
            }
            for who, found in by.items()
        }
        for name, by in scores.items()
    }
    save_text(path, json.dumps({**about, "sets": sets}, indent=1) + "\n")


def _mean(values: list[float]) -> float | None:
    """Return the mean; None of nothing."""
    return float(np.mean(values)) if values else None
