"""Tables of measured fields: by set and column, with bootstrap intervals."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.metrics import bootstrap_interval

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


def markdown(sets: list[SetScore]) -> str:
    """Return the table of mean IoU, with the interval of the first click, as Markdown."""
    columns = list(sets[0].cells)
    lines = ["| set | images | objects | " + " | ".join(columns) + " |", "|---" * (len(columns) + 3) + "|"]
    for item in sets:
        values = []
        for column in columns:
            cell = item.cells[column]
            interval = f" ({cell.low:.3f}-{cell.high:.3f})" if column == "1 click" else ""
            values.append(f"{cell.mean:.3f}{interval}")
        lines.append(f"| {item.name} | {item.images} | {item.objects} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def save_json(path: Path, sets: list[SetScore]) -> None:
    """Write all measures.

    Raises
    ------
    SaveError
        If the file cannot be written.
    """
    try:
        path.write_text(json.dumps([asdict(s) for s in sets], indent=2) + "\n")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}); choose another place."
        raise SaveError(msg) from error
