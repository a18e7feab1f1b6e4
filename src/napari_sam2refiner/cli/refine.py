"""`refine`: better outlines for the objects of a label image, by whatever tool or hand they were made."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_sam2refiner.cli.console import DeviceOption, LocalDetailOption, ModelOption, RefinerOption, out, work_bar
from napari_sam2refiner.cli.segment import check_place, open_session, print_files
from napari_sam2refiner.errors import InvalidLabelsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2refiner.sessions.relabel import Change

SHOWN = 20  # objects in the table on screen: those that changed most


def refine(
    image: Annotated[Path, typer.Argument(help="TIFF, PNG or JPEG.")],
    labels: Annotated[Path, typer.Argument(help="Label image of the same plane, TIFF.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="TIFF", help="Where the refined labels go.")],
    table: Annotated[
        Path | None, typer.Option("--table", metavar="CSV", help="Where the list of all objects' changes goes.")
    ] = None,
    most_change: Annotated[
        float,
        typer.Option(
            "--most-change", min=0.0, max=1.0, help="Objects whose IoU would fall by more are kept as they are."
        ),
    ] = 0.5,
    plane: Annotated[
        list[int], typer.Option("--plane", metavar="INDEX", help="Index into a stack, once for each of its axes.")
    ] = [],  # noqa: B006 - typer copies it
    channel: Annotated[
        list[int], typer.Option("--channel", metavar="INDEX", help="Channel to look at, up to three; all if left out.")
    ] = [],  # noqa: B006
    model: ModelOption = "micro",
    refiner: RefinerOption = None,
    device: DeviceOption = "auto",
    local_detail: LocalDetailOption = "prompted",
) -> None:
    """Give every object of a label image an outline that follows the picture; ids stay.

    Objects that would change too much are kept and marked. Without a refiner this mends outlines that are
    too small, too large or beside the object; outlines that are good already may lose a little.
    """
    check_place(output, (".tif", ".tiff"))
    check_place(table, (".csv",))
    start = time.perf_counter()
    from napari_sam2refiner.labels.io import load_labels, save_labels
    from napari_sam2refiner.planes.files import read_plane
    from napari_sam2refiner.sessions.relabel import refine_labels

    pixels, before = read_plane(image, plane, channel), load_labels(labels)
    if before.shape != pixels.shape[:2]:
        msg = f"{labels} has shape {before.shape} but the plane of {image} has {pixels.shape[:2]}; they must agree."
        raise InvalidLabelsError(msg)
    session = open_session(pixels, model, refiner, device)
    with work_bar() as bar:
        task = bar.add_task("objects")
        after, changes = refine_labels(
            session,
            before,
            most_change=most_change,
            local_detail=local_detail,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    save_labels(output, after)
    if table is not None:
        _write(table, changes)
    _print(changes)
    print_files(output, table)
    out.print(f"{model}: {len(changes)} objects in {time.perf_counter() - start:.1f} s.", highlight=False)


def _print(changes: Sequence[Change]) -> None:
    """Print the objects that changed most, and how many were kept."""
    table = Table("object", "pixels before", "after", "IoU with before", "score", "", box=None, pad_edge=False)
    for change in sorted(changes, key=lambda c: c.iou)[:SHOWN]:
        note = "kept: would change too much" if change.kept else ""
        numbers = (change.object_id, change.pixels_before, change.pixels_after)
        table.add_row(*map(str, numbers), f"{change.iou:.2f}", f"{change.score:.2f}", note)
    if changes:
        out.print(table)
    if len(changes) > SHOWN:
        out.print(f"and {len(changes) - SHOWN} more that changed less.", highlight=False)
    kept = sum(change.kept for change in changes)
    out.print(f"{kept} of {len(changes)} objects were kept as they were.", highlight=False)


def _write(path: Path, changes: Sequence[Change]) -> None:
    """Write all changes as CSV, or nothing."""
    from dataclasses import asdict, fields

    from napari_sam2refiner.planes.files import written_whole
    from napari_sam2refiner.sessions.relabel import Change

    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Change)])
        writer.writeheader()
        writer.writerows(asdict(change) for change in changes)
