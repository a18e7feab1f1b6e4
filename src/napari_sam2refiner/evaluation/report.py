"""Tables of measured fields: by set and column, with bootstrap intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.metrics import bootstrap_interval
from napari_sam2refiner.planes.files import written_whole

if TYPE_CHECKING:
    from napari_sam2refiner.evaluation.protocols import FieldScore


@dataclass(frozen=True)
class Cell:
    """One measure of one set: the mean over images of the means over their objects.

    Attributes
    ----------
    mean : float
    low, high : float
        Bootstrap 95 % interval over images.
    boundary : float
        The same mean of the boundary IoU.
    """

    mean: float
    low: float
    high: float
    boundary: float


@dataclass(frozen=True)
class SetScore:
    """All measures of one set."""

    name: str
    images: int
    objects: int
    cells: dict[str, Cell]


def summarise(name: str, fields: list[FieldScore]) -> SetScore:
    """Average over the objects of an image first, then over images."""
    cells = {}
    for column in fields[0].ious:
        means = [float(np.mean(f.ious[column])) for f in fields]
        boundary = float(np.mean([np.mean(f.boundary_ious[column]) for f in fields]))
        cells[column] = Cell(float(np.mean(means)), *bootstrap_interval(means), boundary)
    objects = sum(len(next(iter(f.ious.values()))) for f in fields)
    return SetScore(name, len(fields), objects, cells)


def mean_of_sets(sets: list[SetScore]) -> dict[str, float]:
    """Return the mean of each column over sets."""
    return {column: float(np.mean([s.cells[column].mean for s in sets])) for column in sets[0].cells}


def markdown(sets: list[SetScore]) -> str:
    """Return the table of mean IoU as Markdown, with the interval of the first click, and the mean over sets."""
    columns = list(sets[0].cells)
    lines = ["| set | images | objects | " + " | ".join(columns) + " |", "|---" * (len(columns) + 3) + "|"]
    for item in sets:
        values = []
        for column, cell in item.cells.items():
            interval = f" ({cell.low:.3f}-{cell.high:.3f})" if column == "1 click" else ""
            values.append(f"{cell.mean:.3f}{interval}")
        lines.append(f"| {item.name} | {item.images} | {item.objects} | " + " | ".join(values) + " |")
    if len(sets) > 1:
        means = " | ".join(f"{value:.3f}" for value in mean_of_sets(sets).values())
        lines.append(f"| mean of {len(sets)} sets | | | {means} |")
    return "\n".join(lines)


def save_json(path: Path, sets: list[SetScore], about: Mapping[str, object]) -> None:
    """Write all measures, and what they are about; raise `SaveError` if that cannot be done."""
    save_text(path, json.dumps({"about": dict(about), "sets": [asdict(s) for s in sets]}, indent=2) + "\n")


def save_text(path: Path, text: str) -> None:
    """Write a file; raise `SaveError` if that cannot be done."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def check_place(path: Path | None) -> None:
    """Raise `SaveError` now if a file could not be written to after hours of measuring."""
    if path is not None and not path.parent.is_dir():
        msg = f"{path} cannot be written, there is no folder {path.parent}; make it first."
        raise SaveError(msg)
