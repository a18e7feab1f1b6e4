"""What a table does not show: IoU against clicks, and the worst and the best masks; needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidConfigError
from napari_sam2refiner.evaluation.protocols import BASE, REFINED, clicked, clicks_column
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.planes.region import bounding_window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.evaluation.protocols import Answering, FieldScore, Protocol
    from napari_sam2refiner.evaluation.report import SetScore

Mask = npt.NDArray[np.bool_]

COLOURS = {BASE: "tab:orange", REFINED: "tab:blue"}
MARGIN = 0.4  # of an object's extent, shown around it


@dataclass(frozen=True)
class Case:
    """One object and what was answered, cut out.

    Attributes
    ----------
    title : str
    image : (H, W, 3) float32 array
        In [0, 1].
    truth : (H, W) bool array
    masks : dict of str to (H, W) bool array
        By who answered.
    ious : dict of str to float
        Of the whole masks.
    """

    title: str
    image: npt.NDArray[np.float32]
    truth: Mask
    masks: dict[str, Mask]
    ious: dict[str, float]


def find_cases(
    session: Answering, name: str, fields: Sequence[Field], scores: Sequence[FieldScore], protocol: Protocol, count: int
) -> list[Case]:
    """Return the worst and the best objects of a set after its last click, so many of each, worst first.

    Parameters
    ----------
    session : ImageSession
    name : str
        Of the set.
    fields : sequence of Field
        As many as scores, and in their order; only some are read.
    scores : sequence of FieldScore
        Of these fields, by this protocol, with clicks.
    protocol : Protocol
    count : int
        Objects of each end.
    """
    who = REFINED if protocol.refined else BASE
    column = clicks_column(max(protocol.clicks))
    ranked = sorted(
        (value, number, score.ids[n])
        for number, score in enumerate(scores)
        if score.ids
        for n, value in enumerate(score.ious[who][column])
    )
    chosen = ranked if len(ranked) <= 2 * count else [*ranked[:count], *ranked[-count:]]
    return [_case(session, name, fields[number], object_id, protocol) for _, number, object_id in chosen]


def _case(session: Answering, name: str, item: Field, object_id: int, protocol: Protocol) -> Case:
    """Ask for one object again, and cut it out."""
    session.set_image(item.image)
    truth = item.labels == object_id
    masks: dict[str, Mask] = {}
    for who in (BASE, REFINED) if protocol.refined else (BASE,):
        detail = protocol.local_detail
        for (answer,) in clicked(session, [truth], max(protocol.clicks), refine=who == REFINED, local_detail=detail):
            masks[who] = answer.mask
    window = _around(truth)
    return Case(
        f"{name}\n{item.name}, object {object_id}",
        rescale(item.image)[window],
        truth[window],
        {who: mask[window] for who, mask in masks.items()},
        {who: iou(mask, truth) for who, mask in masks.items()},
    )


def _around(truth: Mask) -> tuple[slice, slice]:
    """Return the object's window with a margin."""
    box = bounding_window(truth)
    assert box is not None, "objects have pixels"
    margin = max(4, round(MARGIN * max(s.stop - s.start for s in box)))
    rows, columns = (
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, truth.shape, strict=True)
    )
    return rows, columns


def draw_cases(path: Path, cases: Sequence[Case], columns: int = 6) -> None:
    """Draw cases side by side: the truth filled, outlines of what was answered; raise `SaveError` if that fails."""
    height = -(-len(cases) // columns)
    figure = _figure((2.2 * min(columns, len(cases)), 2.7 * height))
    for number, case in enumerate(cases, 1):
        axes = figure.add_subplot(height, min(columns, len(cases)), number)
        axes.imshow(case.image, interpolation="nearest")
        axes.imshow(np.where(case.truth, 1.0, np.nan), cmap="Greens", vmin=0, vmax=1.5, alpha=0.35)
        for who, mask in case.masks.items():
            if mask.any() and not mask.all():
                axes.contour(mask, [0.5], colors=COLOURS[who], linewidths=1.2)
        ious = ", ".join(f"{who} {value:.2f}" for who, value in case.ious.items())
        axes.set_title(f"{case.title}\n{ious}", fontsize=6)
        axes.set_axis_off()
    _save(figure, path)


def draw_clicks(path: Path, sets: Sequence[SetScore], numbers: Sequence[int]) -> None:
    """Draw mean IoU against clicks, a panel for each set; raise `SaveError` if that fails."""
    columns = min(4, len(sets))
    height = -(-len(sets) // columns)
    figure = _figure((2.8 * columns, 2.2 * height))
    for number, item in enumerate(sets, 1):
        axes = figure.add_subplot(height, columns, number)
        for who, cells in item.cells.items():
            known = [n for n in numbers if clicks_column(n) in cells]
            means = [cells[clicks_column(n)].mean for n in known]
            axes.plot(known, means, ".-", color=COLOURS.get(who), label=who)
        axes.set(title=item.name, xlabel="clicks", ylabel="IoU", ylim=(0, 1), xticks=list(numbers))
        axes.title.set_fontsize(8)
        axes.grid(alpha=0.3)
        if number == 1:
            axes.legend(fontsize=7)
    _save(figure, path)


def _figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure; `InvalidConfigError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "pictures need matplotlib, which is not installed; run: pip install 'napari-sam2refiner[evaluate]'"
        raise InvalidConfigError(msg) from error
    return Figure(figsize=size, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
