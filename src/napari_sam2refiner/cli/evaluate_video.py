"""`evaluate --protocol video` and `--protocol ctc`: objects followed through annotated sequences."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from napari_sam2refiner.cli.console import work_bar
from napari_sam2refiner.errors import ReadError

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import DataSet, Split
    from napari_sam2refiner.datasets.sequences import AnnotatedSequence
    from napari_sam2refiner.evaluation.following import Followed
    from napari_sam2refiner.evaluation.tracking import Tracked
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
    from napari_sam2refiner.evaluation.following import RIVALS, Followed, carried_by, correct_worst, follow

    sequences = _sequences(sets, split)
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


def _sequences(
    sets: list[DataSet], split: Split, first: Callable[[Path], list[AnnotatedSequence]] = lambda _: []
) -> dict[str, list[AnnotatedSequence]]:
    """Return the sequences of each set that holds some, those that `first` finds in its folder or else its own."""
    from napari_sam2refiner.datasets.sequences import find_sequences

    sequences = {}
    for one in sets:
        found = first(one.folder)
        with suppress(ReadError):  # still images
            sequences[one.name] = found or find_sequences(one.folder, split)
    if not sequences:
        msg = f"{', '.join(one.name for one in sets)} holds no sequences; give videos or stacks."
        raise ReadError(msg)
    return sequences


def video_table(scores: Scores) -> Table:
    """Mean J and F over all frames, J by distance, how often what is gone was still drawn, what a correction gave.

    Intervals are in the file.
    """
    header = ["set", "objects", "by", "J", "F", *(f"J at {d}" for d in DISTANCES), "gone, still drawn"]
    corrects = any(found.corrected for by in scores.values() for found in by.values())
    if corrects:
        header.append("after the worst frame, corrected")
    table = Table(*header, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, by in scores.items():
        for row, (who, found) in enumerate(by.items()):
            at = (f"{found.j_at(d):.3f}" if d in found.distances else "" for d in DISTANCES)
            about = (name, str(found.objects)) if row == 0 else ("", "")
            gone = f"{found.drawn} of {found.gone}" if found.gone else ""
            then = f"{np.mean(found.uncorrected):.3f}, {np.mean(found.corrected):.3f}" if found.corrected else ""
            table.add_row(*about, who, f"{found.j:.3f}", f"{found.f:.3f}", *at, gone, *([then] if corrects else ()))
    return table


def track_sets(
    model: SAM2Refiner,
    name: str,
    sets: list[DataSet],
    split: Split,
    frames: int | None,
    memory: WindowMemory | None = None,
) -> dict[str, dict[str, list[Tracked]]]:
    """Track all objects of every sequence of the sets, by the model and by its rival; figures by set and by whom.

    Raises
    ------
    ReadError
        If no set holds sequences; one that cannot be measured is named and left out.
    """
    from napari_sam2refiner.datasets.cell_tracking import find_tracked
    from napari_sam2refiner.evaluation.tracking import clicked_once, measure_tracks, otsu_by_overlap

    sequences = _sequences(sets, split, lambda folder: find_tracked(folder, split))
    trackers = {name: clicked_once(model, memory), NAMES["overlap"]: otsu_by_overlap}
    scores: dict[str, dict[str, list[Tracked]]] = {}
    with work_bar(transient=False) as progress:
        for key, ones in sequences.items():
            scores[key] = {who: [] for who in trackers}
            for sequence in progress.track(ones, description=key):
                try:
                    measured = measure_tracks(sequence, trackers, frames)
                except ReadError as error:  # what is done is kept
                    progress.console.print(f"left out: {error}", highlight=False, markup=False)
                    continue
                for who, found in measured.items():
                    scores[key][who].append(found)
    return {key: by for key, by in scores.items() if by[name]}


def tracking_table(scores: dict[str, dict[str, list[Tracked]]]) -> Table:
    """SEG and TRA, means over the sequences of a set."""
    table = Table("set", "frames", "tracks", "by", "SEG", "TRA", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, by in scores.items():
        for row, (who, found) in enumerate(by.items()):
            counts = (sum(one.frames for one in found), sum(one.tracks for one in found))
            about = (name, *map(str, counts)) if row == 0 else ("", "", "")
            table.add_row(*about, who, *(f"{np.mean(values):.3f}" for values in _measures(found)))
    return table


def tracking_content(scores: dict[str, dict[str, list[Tracked]]]) -> dict[str, Any]:
    """Return all figures, by set and by whom."""
    return {name: {who: [one._asdict() for one in found] for who, found in by.items()} for name, by in scores.items()}


def _measures(found: list[Tracked]) -> tuple[list[float], list[float]]:
    return [one.seg for one in found], [one.tra for one in found]


def video_content(scores: Scores) -> dict[str, Any]:
    """Return all figures, by set and by whom."""
    return {
        name: {
            who: {
                "objects": found.objects,
                "j": found.j,
                "j_interval": found.interval,
                "f": found.f,
                "j_by_distance": {str(d): found.j_at(d) for d in found.distances},
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


def _mean(values: list[float]) -> float | None:
    """Return the mean; None of nothing."""
    return float(np.mean(values)) if values else None
