"""`propagate`: objects through a time-lapse or a z-stack, into a stack of labels."""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import TimeRemainingColumn
from rich.table import Table

from napari_sam2refiner.cli.console import DeviceOption, DownloadBar, MemoryOption, ModelOption, err, out, work_bar
from napari_sam2refiner.cli.segment import check_object, check_place, print_files
from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError, InvalidPromptError, SaveError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2refiner.planes.stacks import StackFile
    from napari_sam2refiner.sessions.journal import Journal
    from napari_sam2refiner.sessions.prompts_file import PromptedObject
    from napari_sam2refiner.sessions.stack import StackFrame, StackSession

SHOWN = 20  # objects in the table on screen: those with the lowest scores
INTERRUPTED = 130  # exit code, as shells have it


def propagate(
    stack: Annotated[Path, typer.Argument(help="TIFF or Zarr stack, or a folder with an image for each frame.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="Where the labels go: .tif, or .zarr for a Zarr array."),
    ],
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="JSON", help="Prompts of objects on any frames; see docs/prompts-file.md."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="TIFF", help="Label image of one frame: its objects are carried.")
    ] = None,
    frame: Annotated[int, typer.Option("--frame", metavar="INDEX", help="The frame of --labels.")] = 0,
    direction: Annotated[
        Literal["both", "forward", "backward"], typer.Option(help="Which way from the frames with prompts.")
    ] = "both",
    frames: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="FIRST LAST", help="Frames to go to, both included; all if left out."),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option("--axis", metavar="LETTER", help="Axis that frames follow each other on: T, Z and so on."),
    ] = None,
    plane: Annotated[
        list[int],
        typer.Option("--plane", metavar="INDEX", help="Index into the stack, once for each other axis of it."),
    ] = [],  # noqa: B006 - typer copies it
    channel: Annotated[
        list[int], typer.Option("--channel", metavar="INDEX", help="Channel to look at, up to three; all if left out.")
    ] = [],  # noqa: B006
    early_stop: Annotated[
        bool,
        typer.Option(help="Carry an object no further once it goes, splits, jumps in size or is unsure."),
    ] = False,
    model: ModelOption = "micro",
    memory: MemoryOption = None,
    device: DeviceOption = "auto",
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="FOLDER", help="Where frames that a SAM 2.1 has encoded are kept for next time."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="CSV", help="Where each object's score and size by frame go.")
    ] = None,
) -> None:
    """Carry objects through a stack from the frames where prompts or labels show them.

    Frames are read one at a time. What is done is kept in a folder beside the output until all is done: after an
    interruption the same command goes on from there.
    """
    check_place(output, (".tif", ".tiff", ".zarr"))
    check_place(table, (".csv",))
    _check_zarr(output)
    start = time.perf_counter()
    from napari_sam2refiner.planes.stacks import StackFile
    from napari_sam2refiner.sessions.cache import EmbeddingCache, fingerprint
    from napari_sam2refiner.sessions.journal import Journal
    from napari_sam2refiner.sessions.stack import StackSession
    from napari_sam2refiner.weights.load import load_memory, load_model

    objects = _objects(prompts, labels, frame)
    with StackFile(stack, axis, plane, channel) as pixels:
        wanted = _wanted(frames, len(pixels))
        _check_objects(objects, pixels)
        with DownloadBar(model) as bar:
            network = load_model(model, "none", device=device, progress=bar)
        place = output.with_name(output.name + ".unfinished")
        terms = {
            "stack": f"{len(pixels)} frames like {hashlib.sha256(pixels[0].tobytes()).hexdigest()[:16]}",
            "model": f"{model} {fingerprint(network)}",
            "prompts": _digest(objects),
            "frames": f"{wanted[0]} to {wanted[-1]}",
            "direction": direction,
            "early stop": str(early_stop),
            "memory": memory or "",
        }
        session = StackSession(
            network,
            pixels,
            limits=Journal.limits_in(place),
            cache=None if cache is None else EmbeddingCache(folder=cache),
            memory=None if memory is None else load_memory(memory, device=device),
        )
        journal = Journal(place, terms, session.limits)
        for one in objects:
            session.add(one.object_id, one.frame, one.prompts)
        done = _carry(session, journal, direction, wanted, early_stop)
        _save(session, wanted, output, table)
    journal.remove()
    _print(session, wanted)
    print_files(output, table)
    out.print(f"{model}: {done} frames in {time.perf_counter() - start:.1f} s.", highlight=False)


def _check_zarr(output: Path) -> None:
    """Raise before any work if a Zarr array cannot be written."""
    if output.suffix.lower() != ".zarr":
        return
    if output.exists():
        msg = f"{output} is there already; remove it or choose another name."
        raise SaveError(msg)


def _objects(prompts: Path | None, labels: Path | None, frame: int) -> list[PromptedObject]:
    """Return what is asked for: by a prompts file or the objects of a label image."""
    from napari_sam2refiner.labels.io import load_labels
    from napari_sam2refiner.labels.write import ids_in
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.prompts_file import PromptedObject, read_prompts_file

    if (prompts is None) == (labels is None):
        msg = "objects are given by --prompts FILE or by --labels FILE; give one of them."
        raise InvalidPromptError(msg)
    if prompts is not None:
        return read_prompts_file(prompts)
    assert labels is not None, "one of them is given"
    drawn = load_labels(labels)
    if drawn.ndim != 2:
        msg = f"{labels} has shape {drawn.shape}; give the labels (Y, X) of one frame."
        raise InvalidLabelsError(msg)
    numbers = ids_in(drawn)
    if not numbers:
        msg = f"{labels} has no objects; give a label image with at least one."
        raise InvalidLabelsError(msg)
    return [PromptedObject(number, Prompts(mask=drawn == number), frame) for number in numbers]


def _wanted(frames: tuple[int, int] | None, length: int) -> range:
    """Return the frames to go to."""
    first, last = (0, length - 1) if frames is None else frames
    if not 0 <= first <= last < length:
        msg = f"--frames is {first} {last}; choose a first and a last one of 0 to {length - 1}."
        raise InvalidConfigError(msg)
    return range(first, last + 1)


def _check_objects(objects: Sequence[PromptedObject], stack: StackFile) -> None:
    """Raise before the model is loaded if prompts do not fit the stack."""
    shape = stack[0].shape
    for prompted in objects:
        if not 0 <= prompted.frame < len(stack):
            msg = f"object {prompted.object_id} is on frame {prompted.frame}; choose one of 0 to {len(stack) - 1}."
            raise InvalidPromptError(msg)
        check_object(prompted, shape, f"object {prompted.object_id} on frame {prompted.frame}")


def _digest(objects: Sequence[PromptedObject]) -> str:
    """Return what tells these prompts from others."""
    found = hashlib.sha256()
    for one in objects:
        prompts = one.prompts
        mask = b"" if prompts.mask is None else prompts.mask.tobytes()
        arrays = (prompts.points.tobytes(), prompts.labels.tobytes(), prompts.boxes.tobytes(), mask)
        for part in (f"{one.object_id} {one.frame}".encode(), *arrays):
            found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()[:16]


def _carry(session: StackSession, journal: Journal, direction: Any, wanted: range, early_stop: bool) -> int:
    """Propagate, keeping every frame as soon as it is done; return how many were."""
    kept = set(journal.restore(session))
    if kept:
        err.print(f"{len(kept)} frames are done already; going on from there.", highlight=False)
    done: set[int] = set()
    try:
        with work_bar(TimeRemainingColumn()) as bar:
            task = bar.add_task("frames", total=len(wanted))
            for found in session.propagate(direction, wanted, early_stop=early_stop):
                if found.fresh or session.carried(found.index).keys() & found.ended:
                    journal.write(session, found.index)
                    kept.add(found.index)
                done.add(found.index)
                bar.update(task, completed=len(done), total=len({*wanted, *done}))
    except KeyboardInterrupt:
        err.print(
            f"Stopped. {len(kept)} frames are kept in {journal.folder}; the same command goes on.", highlight=False
        )
        raise typer.Exit(INTERRUPTED) from None
    return len(done)


def _known(session: StackSession, wanted: range) -> Iterator[StackFrame]:
    """Give the frames that were wanted, and those with prompts as far as these; nothing is known of others."""
    anchors = session.anchors
    for t in range(len(session)):
        found = session.at(t)
        there = {n: one for n, one in found.objects.items() if t in wanted or t in anchors[n]}
        yield replace(found, objects=there)


def _save(session: StackSession, wanted: range, output: Path, table: Path | None) -> None:
    """Write the labels, and the table if it is wanted."""
    from napari_sam2refiner.labels.io import save_label_frames

    def planes() -> Iterator[npt.NDArray[Any]]:
        return (found.labels for found in _known(session, wanted))

    save_label_frames(output, planes(), (len(session), *session.shape), max(session.objects))
    if table is not None:
        from napari_sam2refiner.planes.files import written_whole

        with written_whole(table) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["frame", "object", "pixels", "score", "object_score"])
            for found in _known(session, wanted):
                for number, one in found.objects.items():
                    scores = (f"{one.score:.4f}", f"{one.object_score:.4f}")
                    writer.writerow([found.index, number, int(one.mask.sum()), *scores])


def _print(session: StackSession, wanted: range) -> None:
    """Print for each object where it is and where it is least sure."""
    scores: dict[int, dict[int, float]] = {number: {} for number in session.objects}
    for found in _known(session, wanted):
        for number, one in found.objects.items():
            if one.object_score > 0.5:
                scores[number][found.index] = one.score
    rows = []
    for number, there in scores.items():
        weakest = min(there, key=there.__getitem__, default=None)
        rows.append((0.0, number, 0, "") if weakest is None else (there[weakest], number, len(there), str(weakest)))
    table = Table("object", "frames", "lowest score", "on frame", box=None, pad_edge=False)
    for score, number, count, place in sorted(rows)[:SHOWN]:
        table.add_row(str(number), str(count), f"{score:.2f}", place)
    out.print(table)
    if len(rows) > SHOWN:
        out.print(f"and {len(rows) - SHOWN} more with higher scores.", highlight=False)
