"""Tables of measured fields: by set and column, with bootstrap intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_sam2refiner.errors import ReadError, SaveError
from napari_sam2refiner.evaluation.protocols import BASE, DRAWN, REFINED, clicks_column
from napari_sam2refiner.metrics import bootstrap_interval
from napari_sam2refiner.planes.files import written_whole

if TYPE_CHECKING:
    from napari_sam2refiner.evaluation.protocols import FieldScore

HARM = 0.02  # IoU below the base's that counts as harm
NAMES = {
    BASE: "base",
    REFINED: "refined",
    DRAWN: "as drawn",
    "otsu": "Otsu",
    "random-walker": "random walker",
    "grabcut": "GrabCut",
}
Measure = Literal["iou", "boundary"]


@dataclass(frozen=True)
class Harm:
    """What a refiner costs where it does worse than its base.

    Attributes
    ----------
    share : float
        Of the objects, over images, whose IoU is lower by more than `HARM`.
    loss : float
        Mean IoU that these lose; 0 if there are none.
    """

    share: float
    loss: float


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
    harm : Harm, optional
        Of a refined answer, against the base.
    """

    mean: float
    low: float
    high: float
    boundary: float
    harm: Harm | None = None

    def value(self, measure: Measure) -> float:
        """Return the mean of a measure."""
        return self.mean if measure == "iou" else self.boundary


@dataclass(frozen=True)
class SetScore:
    """All measures of one set, by who answered and by column."""

    name: str
    images: int
    objects: int
    cells: dict[str, dict[str, Cell]]
    clicks_needed: dict[str, dict[str, float]]


def summarise(name: str, fields: list[FieldScore]) -> SetScore:
    """Average over the objects of an image first, then over images; those without objects do not count.

    Raises
    ------
    ReadError
        If no field has an object.
    """
    fields = [f for f in fields if f.ids]
    if not fields:
        msg = f"no field of {name} that was asked for has an object; ask for more fields, or leave the set out."
        raise ReadError(msg)
    cells: dict[str, dict[str, Cell]] = {}
    for who, columns in fields[0].ious.items():
        for column in columns:
            means = [float(np.mean(f.ious[who][column])) for f in fields]
            boundary = float(np.mean([np.mean(f.boundary_ious[who][column]) for f in fields]))
            before = _before(fields[0], who, column)
            harm = None if before is None else _harm(fields, who, before, column)
            cells.setdefault(who, {})[column] = Cell(float(np.mean(means)), *bootstrap_interval(means), boundary, harm)
    objects = sum(len(f.ids) for f in fields)
    needed = {
        who: {column: float(np.mean([np.mean(f.clicks_needed[who][column]) for f in fields])) for column in columns}
        for who, columns in fields[0].clicks_needed.items()
    }
    return SetScore(name, len(fields), objects, cells, needed)


def _before(field: FieldScore, who: str, column: str) -> str | None:
    """Whose masks somebody must not make worse: labels that were given, or the base's, if any."""
    if who in (BASE, REFINED) and column in field.ious.get(DRAWN, {}):
        return DRAWN
    return BASE if who == REFINED else None


def _harm(fields: list[FieldScore], who: str, before: str, column: str) -> Harm:
    """Compare masks with those before, object by object."""
    change = [np.subtract(f.ious[who][column], f.ious[before][column]) for f in fields]
    lost = np.concatenate([c[c < -HARM] for c in change])
    return Harm(float(np.mean([np.mean(c < -HARM) for c in change])), -float(lost.mean()) if lost.size else 0.0)


def columns_of(sets: Sequence[SetScore]) -> list[str]:
    """Return every column, in the order in which they were measured."""
    first = sets[0]
    return list(
        dict.fromkeys(c for by in (first.cells, first.clicks_needed) for columns in by.values() for c in columns)
    )


def mean_of_sets(sets: Sequence[SetScore], measure: Measure = "iou") -> dict[str, dict[str, float]]:
    """Return the mean over sets, by who answered and by column."""
    return {
        who: {column: float(np.mean([s.cells[who][column].value(measure) for s in sets])) for column in columns}
        for who, columns in sets[0].cells.items()
    }


def rows(
    sets: Sequence[SetScore], *, measure: Measure = "iou", intervals: bool = True
) -> Iterator[tuple[str, str, str, str, dict[str, str]]]:
    """Return the rows of the table of a measure's means: set, images, objects, who, and a text for each column.

    The IoU of the first click has its interval, if wanted, and a refined mask the share of harmed objects.
    """
    for item in sets:
        for who, cells in item.cells.items():
            texts = {c: _text(c, cells[c], measure, intervals) for c in cells}
            texts |= {c: f"{value:.1f}" for c, value in item.clicks_needed.get(who, {}).items()}
            yield item.name, str(item.images), str(item.objects), NAMES[who], texts
    if len(sets) > 1:
        for who, means in mean_of_sets(sets, measure).items():
            yield f"mean of {len(sets)} sets", "", "", NAMES[who], {c: f"{value:.3f}" for c, value in means.items()}


def _text(column: str, cell: Cell, measure: Measure, intervals: bool) -> str:
    has_interval = intervals and measure == "iou" and column == clicks_column(1)
    interval = f" ({cell.low:.3f}-{cell.high:.3f})" if has_interval else ""
    harm = f", {cell.harm.share:.1%} harmed" if cell.harm is not None else ""
    return f"{cell.value(measure):.3f}{interval}{harm}"


def markdown(sets: Sequence[SetScore], measure: Measure = "iou") -> str:
    """Return the table of a measure's means as Markdown."""
    columns = columns_of(sets)
    lines = ["| set | images | objects | by | " + " | ".join(columns) + " |", "|---" * (len(columns) + 4) + "|"]
    for *about, texts in rows(sets, measure=measure):
        lines.append("| " + " | ".join([*about, *(texts.get(column, "") for column in columns)]) + " |")
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
