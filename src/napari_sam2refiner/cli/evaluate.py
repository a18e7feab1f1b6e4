"""`evaluate`: a model and its rivals on annotated fields, asked by a simulated user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from napari_sam2refiner.cli.console import DeviceOption, DownloadBar, ModelOption, RefinerOption, err, out
from napari_sam2refiner.errors import ReadError


class Asked(StrEnum):
    """What the simulated user does."""

    CLICKS = "clicks"
    BOX = "box"
    RANDOM_POINTS = "random-points"


class Without(StrEnum):
    """Who answers without a network."""

    OTSU = "otsu"
    RANDOM_WALKER = "random-walker"
    GRABCUT = "grabcut"
    NONE = "none"


if TYPE_CHECKING:
    from napari_sam2refiner.datasets import DataSet, Field, Split
    from napari_sam2refiner.evaluation.protocols import FieldScore, Protocol
    from napari_sam2refiner.evaluation.report import SetScore
    from napari_sam2refiner.sessions.base import PlaneSession


def evaluate(
    data: Annotated[
        list[Path], typer.Option("--data", metavar="DIR", help="A data set, or a folder of them; may be repeated.")
    ],
    names: Annotated[
        list[str], typer.Option("--set", metavar="NAME", help="Only this set; may be repeated. All if left out.")
    ] = [],  # noqa: B006 - typer copies it
    split: Annotated[Literal["train", "val"], typer.Option(help="Which fields of each set.")] = "val",
    objects: Annotated[
        int | None, typer.Option("--objects", min=1, help="Objects of a field at most, always the same ones.")
    ] = None,
    fields: Annotated[
        int | None, typer.Option("--fields", min=1, help="Fields of a set at most, spread over all of it.")
    ] = None,
    protocols: Annotated[
        list[Asked], typer.Option("--protocol", help="What is asked; may be repeated. Clicks and boxes if left out.")
    ] = [Asked.CLICKS, Asked.BOX],  # noqa: B006
    clicks: Annotated[
        list[int], typer.Option("--clicks", min=1, metavar="N", help="Measure after N clicks or points; repeatable.")
    ] = [1, 3, 5],  # noqa: B006
    targets: Annotated[
        list[float],
        typer.Option("--noc", min=0.01, max=1.0, metavar="IOU", help="Count clicks until this IoU; repeatable."),
    ] = [],  # noqa: B006
    rivals: Annotated[
        list[Without], typer.Option("--rival", help="Who, without a network, is asked the same; may be repeated.")
    ] = [Without.OTSU],  # noqa: B006
    refine: Annotated[bool, typer.Option(help="Whether the refiner, if trained, is asked beside the base.")] = True,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Where all measures go, with their intervals.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Where the table goes.")
    ] = None,
    model: ModelOption = "micro",
    refiner: RefinerOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure the IoU of a model's masks after clicks and boxes, on every set of the data.

    Averages are over the objects of a field first, then over fields.
    """
    from napari_sam2refiner.evaluation.protocols import Protocol
    from napari_sam2refiner.evaluation.report import check_place, markdown, save_json, save_text

    for path in (json_file, markdown_file):
        check_place(path)
    sets = _sets(data, names, split)
    session, is_trained = _open(model, refiner, device)
    numbers = tuple(sorted(set(clicks)))
    protocol = Protocol(
        clicks=numbers if Asked.CLICKS in protocols else (),
        targets=tuple(sorted(set(targets))) if Asked.CLICKS in protocols else (),
        boxes=Asked.BOX in protocols,
        random_points=numbers if Asked.RANDOM_POINTS in protocols else (),
        rivals=tuple(rival.value for rival in rivals if rival != Without.NONE),
        refined=refine and is_trained,
        objects=objects,
    )
    scores = _measure(session, sets, split, protocol, fields)
    out.print(_table(scores))
    about = {
        "model": model,
        "refiner": refiner,
        "refined": protocol.refined,
        "split": split,
        "objects": objects,
        "fields": fields,
    }
    if json_file is not None:
        save_json(json_file, scores, about)
    if markdown_file is not None:
        save_text(markdown_file, markdown(scores) + "\n")
    for path in (json_file, markdown_file):
        if path is not None:
            out.print(f"wrote {path}", highlight=False, soft_wrap=True, markup=False)


def _sets(data: list[Path], names: list[str], split: Split) -> list[DataSet]:
    """Return the sets meant that have this split."""
    from napari_sam2refiner.datasets import find_sets

    there = [one for one in find_sets(data) if split in one.splits]
    known = [one.name for one in there]
    unknown = [n for n in names if n not in known]
    if unknown or not there:
        what = f"no set {unknown[0]!r}" if unknown else "no set"
        remedy = " or ".join(known) or "another folder"
        msg = f"{', '.join(map(str, data))} holds {what} with a split {split!r}; choose {remedy}."
        raise ReadError(msg)
    return [one for one in there if not names or one.name in names]


def _open(model: str, refiner: str | None, device: str) -> tuple[PlaneSession, bool]:
    """Load a model into a session; whether its refiner is trained."""
    from napari_sam2refiner.sessions.image import ImageSession
    from napari_sam2refiner.weights import load_model

    with DownloadBar(model) as bar:
        loaded = load_model(model, refiner, device=device, progress=bar)
    return ImageSession(loaded), not loaded.is_untrained


def _measure(
    session: PlaneSession, sets: list[DataSet], split: Split, protocol: Protocol, most: int | None
) -> list[SetScore]:
    """Measure set after set, and show how far it is."""
    from napari_sam2refiner.evaluation.protocols import evaluate_field
    from napari_sam2refiner.evaluation.report import summarise

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    scores = []
    with Progress(*columns, console=err) as progress:
        for one in sets:
            items = _Spread(one.read(split), most)
            measured: Iterable[FieldScore] = (evaluate_field(session, item, protocol) for item in items)
            scores.append(summarise(one.name, list(progress.track(measured, len(items), description=one.name))))
    return scores


class _Spread:
    """Fields with objects at equal distances, or all; read one by one."""

    def __init__(self, fields: Sequence[Field], most: int | None) -> None:
        self._fields = fields
        self._count = len(fields) if most is None else min(most, len(fields))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Field]:
        for i in range(self._count):
            field = self._fields[i * len(self._fields) // self._count]
            if field.labels.any():
                yield field


def _table(scores: list[SetScore]) -> Table:
    """The means, best seen at once; intervals and boundaries are in the files."""
    from napari_sam2refiner.evaluation.report import columns_of, rows

    columns = columns_of(scores)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for header in ("set", "fields", "objects", "by", *columns):
        is_number = header in (*columns, "fields", "objects")
        longest = max(len(word) for word in header.split())
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(header, justify=justify, min_width=max(5, longest), overflow="fold")
    before = ""
    for name, fields, objects, who, texts in rows(scores, intervals=False):
        about = ("", "", "") if name == before else (name, fields, objects)
        table.add_row(*about, who, *(texts.get(column, "") for column in columns))
        before = name
    return table
