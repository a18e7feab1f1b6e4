"""`evaluate`: a model and its rivals on annotated fields, asked by a simulated user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.table import Table

from napari_sam2refiner.cli.console import (
    DeviceOption,
    DownloadBar,
    LocalDetailOption,
    MemoryOption,
    ModelOption,
    RefinerOption,
    out,
    work_bar,
)
from napari_sam2refiner.errors import InvalidConfigError, ReadError

WINDOWS = 64  # all of a field, since each of its objects is asked many times
FRAMES = 20  # after the first, through which objects are followed
CASES = 3  # of the worst and of the best objects of a set that are drawn


class Asked(StrEnum):
    """What the simulated user does."""

    CLICKS = "clicks"
    BOX = "box"
    HQ_BOX = "hq-box"
    RANDOM_POINTS = "random-points"
    LABELS = "labels"
    VIDEO = "video"
    CTC = "ctc"
    EVERYTHING = "everything"


class Without(StrEnum):
    """Who answers without a network."""

    OTSU = "otsu"
    RANDOM_WALKER = "random-walker"
    GRABCUT = "grabcut"
    NONE = "none"


if TYPE_CHECKING:
    from napari_sam2refiner.datasets import DataSet, Field, Split
    from napari_sam2refiner.evaluation.pictures import Case
    from napari_sam2refiner.evaluation.protocols import Protocol
    from napari_sam2refiner.evaluation.report import Measure, SetScore
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
        list[Asked],
        typer.Option(
            "--protocol",
            help="What is asked; may be repeated. Clicks and boxes if left out. hq-box is HQ-SAM's, for HQSeg-44K; "
            "labels gives labels that were made worse on purpose, to be refined. Alone: video follows the objects of "
            "the first frame through sequences; ctc tracks all objects, each clicked once, and gives SEG and TRA; "
            "everything finds all objects without a click, and gives F1 and AP.",
        ),
    ] = [Asked.CLICKS, Asked.BOX],  # noqa: B006
    clicks: Annotated[
        list[int], typer.Option("--clicks", min=1, metavar="N", help="Measure after N clicks or points; repeatable.")
    ] = [1, 3, 5],  # noqa: B006
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", min=1, help="For video: frames after the first, 20 if left out; for ctc: the first N."
        ),
    ] = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="For video: then correct the worst frame by clicks, and follow again.")
    ] = False,
    targets: Annotated[
        list[float],
        typer.Option("--noc", min=0.01, max=1.0, metavar="IOU", help="Count clicks until this IoU; repeatable."),
    ] = [],  # noqa: B006
    rivals: Annotated[
        list[Without], typer.Option("--rival", help="Who, without a network, is asked the same; may be repeated.")
    ] = [Without.OTSU],  # noqa: B006
    refine: Annotated[bool, typer.Option(help="Whether the refiner, if trained, is asked beside the base.")] = True,
    local_detail: LocalDetailOption = "prompted",
    measure: Annotated[
        Literal["iou", "boundary"], typer.Option(help="What the tables show; the JSON file holds both.")
    ] = "iou",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Where all measures go, with their intervals.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Where the table goes.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Where to draw IoU against clicks.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="PNG", help="Where to draw each set's worst and best masks.")
    ] = None,
    model: ModelOption = "micro",
    refiner: RefinerOption = None,
    memory: MemoryOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure the IoU of a model's masks after clicks and boxes, on every set of the data.

    Averages are over the objects of a field first, then over fields.
    """
    from napari_sam2refiner.evaluation.pictures import draw_cases, draw_clicks
    from napari_sam2refiner.evaluation.protocols import Protocol
    from napari_sam2refiner.evaluation.report import check_place, markdown, save_json, save_text

    files = (json_file, markdown_file, plot, cases)
    for path in files:
        check_place(path)
    if (plot or cases) and Asked.CLICKS not in protocols:
        msg = "--plot and --cases show clicks; ask them by --protocol clicks, or leave these out."
        raise InvalidConfigError(msg)
    sets = _sets(data, names, split)
    moving = next((one for one in (Asked.VIDEO, Asked.CTC) if one in protocols), None)
    if moving is not None:
        tracks = moving == Asked.CTC
        unused = {
            "another protocol": len(protocols) > 1,
            "--markdown": markdown_file is not None,
            "--refiner": refiner is not None,
            "--fields": fields is not None,
            "--noc": bool(targets),
            "--rival": rivals != [Without.OTSU],
            "--objects": tracks and objects is not None,
            "--correct": tracks and correct,
        }
        _check_alone(moving, unused)
        content = _on_sequences(OnSequences(moving, sets, split, frames, objects, correct), model, memory, device)
        _write_figures(json_file, content)
        return
    if Asked.EVERYTHING in protocols:
        unused = {
            "another protocol": len(protocols) > 1,
            "--objects": objects is not None,
            "--markdown": markdown_file is not None,
            "--noc": bool(targets),
            "--rival": rivals != [Without.OTSU],
            "--frames": frames is not None,
            "--correct": correct,
        }
        _check_alone(Asked.EVERYTHING, unused)
        content = _everything(sets, split, fields, model, refiner, device, refine=refine)
        _write_figures(json_file, content)
        return
    if correct:
        msg = "--correct is for objects that are followed; ask for --protocol video, or leave it out."
        raise InvalidConfigError(msg)
    session, is_trained = _open(model, refiner, device)
    numbers = tuple(sorted(set(clicks)))
    protocol = Protocol(
        clicks=numbers if Asked.CLICKS in protocols else (),
        targets=tuple(sorted(set(targets))) if Asked.CLICKS in protocols else (),
        boxes=Asked.BOX in protocols,
        hq_box=Asked.HQ_BOX in protocols,
        random_points=numbers if Asked.RANDOM_POINTS in protocols else (),
        labels=Asked.LABELS in protocols,
        rivals=tuple(rival.value for rival in rivals if rival != Without.NONE),
        refined=refine and is_trained,
        local_detail=local_detail,
        objects=objects,
    )
    scores, shown = _measure(session, sets, split, protocol, fields, CASES if cases else 0)
    out.print(_table(scores, measure))
    about = {
        "model": model,
        "refiner": refiner,
        "refined": protocol.refined,
        "local_detail": local_detail,
        "split": split,
        "objects": objects,
        "fields": fields,
    }
    if json_file is not None:
        save_json(json_file, scores, about)
    if markdown_file is not None:
        save_text(markdown_file, markdown(scores, measure) + "\n")
    if plot is not None:
        draw_clicks(plot, scores, numbers)
    if cases is not None:
        draw_cases(cases, shown)
    for path in files:
        if path is not None:
            out.print(f"wrote {path}", highlight=False, soft_wrap=True, markup=False)


class OnSequences(NamedTuple):
    """What is asked of sequences.

    Attributes
    ----------
    protocol : Asked
        VIDEO or CTC.
    sets : list of DataSet
    split : Split
    frames, objects : int or None
        At most; None is the protocol's own number.
    correct : bool
        Whether the worst frame is corrected, and what comes after it followed again.
    """

    protocol: Asked
    sets: list[DataSet]
    split: Split
    frames: int | None
    objects: int | None
    correct: bool


def _check_alone(protocol: Asked, unused: dict[str, bool]) -> None:
    """Raise if something is asked for that a protocol has no use for."""
    for what, asked in unused.items():
        if asked:
            msg = f"--protocol {protocol} goes without {what}; leave that out."
            raise InvalidConfigError(msg)


def _on_sequences(asked: OnSequences, model: str, memory: str | None, device: str) -> dict[str, Any]:
    """Follow or track objects through sequences, show how well, and return what was asked and all figures."""
    from napari_sam2refiner.cli import evaluate_video as video
    from napari_sam2refiner.weights.load import load_memory, load_model

    with DownloadBar(model) as bar:
        network = load_model(model, "none", device=device, progress=bar)
    carrier = None if memory is None else load_memory(memory, device=device)
    name = Path(model).name
    if asked.protocol == Asked.CTC:
        tracked = video.track_sets(network, name, asked.sets, asked.split, asked.frames, carrier)
        out.print(video.tracking_table(tracked))
        figures = video.tracking_content(tracked)
    else:
        frames = asked.frames or FRAMES
        asked = asked._replace(frames=frames)
        followed = video.follow_sets(
            network, name, asked.sets, asked.split, frames, asked.objects, carrier, correct=asked.correct
        )
        out.print(video.video_table(followed))
        figures = video.video_content(followed)
    about = {"protocol": asked.protocol.value, "model": model, "memory": memory, "split": asked.split}
    return {**about, "frames": asked.frames, "objects": asked.objects, "correct": asked.correct, "sets": figures}


def _everything(
    sets: list[DataSet], split: Split, most: int | None, model: str, refiner: str | None, device: str, *, refine: bool
) -> dict[str, Any]:
    """Segment everything on fields, show how well, and return what was asked and all figures."""
    from napari_sam2refiner.cli import evaluate_everything as everything
    from napari_sam2refiner.sessions.everything import Filters

    session, is_trained = _open(model, refiner, device)
    fields = {one.name: _Spread(one.read(split), most) for one in sets}
    filters, refined = Filters(), refine and is_trained
    scores = everything.everything_on_sets(session, Path(model).name, fields, filters, refine=refined)
    out.print(everything.everything_table(scores))
    about = {"protocol": Asked.EVERYTHING.value, "model": model, "refiner": refiner, "refined": refined}
    return {**about, "split": split, "filters": asdict(filters), "sets": everything.everything_content(scores)}


def _write_figures(path: Path | None, content: dict[str, Any]) -> None:
    """Write what was asked and all figures, if wanted."""
    from napari_sam2refiner.evaluation.report import save_text

    if path is not None:
        save_text(path, json.dumps(content, indent=1) + "\n")
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
    return ImageSession(loaded, windows=WINDOWS), not loaded.is_untrained


def _measure(
    session: PlaneSession, sets: list[DataSet], split: Split, protocol: Protocol, most: int | None, cases: int
) -> tuple[list[SetScore], list[Case]]:
    """Measure set after set, and show how far it is; so many of the worst and the best objects of each."""
    from napari_sam2refiner.evaluation.pictures import find_cases
    from napari_sam2refiner.evaluation.protocols import evaluate_field
    from napari_sam2refiner.evaluation.report import summarise

    scores: list[SetScore] = []
    shown: list[Case] = []
    with work_bar(transient=False) as progress:
        for one in sets:
            items = _Spread(one.read(split), most)
            fields = [evaluate_field(session, item, protocol) for item in progress.track(items, description=one.name)]
            scores.append(summarise(one.name, fields))
            if cases:
                shown += find_cases(session, one.name, items, fields, protocol, cases)
    return scores, shown


class _Spread(Sequence["Field"]):
    """Fields at equal distances, or all; read when they are looked at."""

    def __init__(self, fields: Sequence[Field], most: int | None) -> None:
        self._fields = fields
        self._count = len(fields) if most is None else min(most, len(fields))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Field:  # type: ignore[override]  # slices are not asked for
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._fields[index * len(self._fields) // self._count]


def _table(scores: list[SetScore], measure: Measure) -> Table:
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
    for name, fields, objects, who, texts in rows(scores, measure=measure, intervals=False):
        about = ("", "", "") if name == before else (name, fields, objects)
        table.add_row(*about, who, *(texts.get(column, "") for column in columns))
        before = name
    return table
