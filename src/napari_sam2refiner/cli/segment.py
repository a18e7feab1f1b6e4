"""`segment`: objects of one image by clicks, boxes and masks, into a label image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from napari_sam2refiner.cli.console import (
    DeviceOption,
    DownloadBar,
    LocalDetailOption,
    ModelOption,
    NumbersCommand,
    RefinerOption,
    is_number,
    out,
)
from napari_sam2refiner.errors import InvalidPromptError, SaveError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_sam2refiner.labels.write import Overlap
    from napari_sam2refiner.planes.lazy import LazyPlane
    from napari_sam2refiner.sessions.base import Prediction
    from napari_sam2refiner.sessions.prompts_file import PromptedObject


def segment(
    image: Annotated[Path, typer.Argument(help="TIFF, PNG or JPEG.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="TIFF", help="Where the label image goes.")],
    point: Annotated[
        list[str], typer.Option("--point", metavar="Y X", help="A click on the object; may be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    negative: Annotated[
        list[str], typer.Option("--negative", metavar="Y X", help="A click beside the object; may be repeated.")
    ] = [],  # noqa: B006
    box: Annotated[
        list[str], typer.Option("--box", metavar="Y0 X0 Y1 X1", help="A box around the object; may be repeated.")
    ] = [],  # noqa: B006
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="JSON", help="Prompts of several objects; see docs/prompts-file.md."),
    ] = None,
    plane: Annotated[
        list[int], typer.Option("--plane", metavar="INDEX", help="Index into a stack, once for each of its axes.")
    ] = [],  # noqa: B006
    channel: Annotated[
        list[int], typer.Option("--channel", metavar="INDEX", help="Channel to look at, up to three; all if left out.")
    ] = [],  # noqa: B006
    model: ModelOption = "micro",
    refiner: RefinerOption = None,
    device: DeviceOption = "auto",
    refine: Annotated[bool, typer.Option(help="Whether the refiner works on the base's masks.")] = True,
    local_detail: LocalDetailOption = "prompted",
    overlap: Annotated[
        Literal["keep", "overwrite"], typer.Option(help="Whether an object keeps its pixels or the next takes them.")
    ] = "keep",
    overlay: Annotated[
        Path | None, typer.Option("--overlay", metavar="PNG", help="Where to draw the masks on the image.")
    ] = None,
) -> None:
    """Segment the object that points and boxes mean, or all objects of a prompts file."""
    check_place(output, (".tif", ".tiff"))
    check_place(overlay, (".png",))
    objects = _objects(point, negative, box, prompts)
    start = time.perf_counter()
    from napari_sam2refiner.planes.image_file import ImageFile

    with ImageFile(image) as file:
        pixels = file.open(plane, channel)
        _check_prompts(objects, pixels.shape)
        session = open_session(pixels, model, refiner, device)
        loaded = time.perf_counter()
        predictions = session.predict_many([o.prompts for o in objects], refine=refine, local_detail=local_detail)
        answered = time.perf_counter()
        labels = label_image(pixels.shape[:2], objects, predictions, overlap)
        save(labels, output, pixels, objects, overlay)
    print_objects(objects, predictions)
    print_files(output, overlay)
    out.print(f"{model}: loaded in {loaded - start:.1f} s, answered in {answered - loaded:.2f} s.", highlight=False)


def _numbers(option: str, texts: Sequence[str]) -> list[tuple[float, ...]]:
    """Return the numbers of a repeated option; each text is as `NumbersCommand` joins them."""
    count = NumbersCommand.counts[option]
    rows = []
    for text in texts:
        parts = text.split(",")
        if len(parts) != count or not all(map(is_number, parts)):
            wanted = "Y X" if count == 2 else "Y0 X0 Y1 X1"
            msg = f"{option} {text.replace(',', ' ')} is not {count} numbers; give {option} {wanted}."
            raise InvalidPromptError(msg)
        rows.append(tuple(map(float, parts)))
    return rows


def _objects(
    point: Sequence[str], negative: Sequence[str], box: Sequence[str], prompts: Path | None
) -> list[PromptedObject]:
    """Return the objects of the options and of the prompts file."""
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.prompts_file import PromptedObject, read_prompts_file

    objects = [] if prompts is None else read_prompts_file(prompts)
    on, beside = _numbers("--point", point), _numbers("--negative", negative)
    if point or negative or box:
        labels = [1] * len(on) + [0] * len(beside)
        free = 1 + max((o.object_id for o in objects), default=0)
        objects.append(PromptedObject(free, Prompts(on + beside, labels, _numbers("--box", box))))
    if not objects:
        msg = "there are no prompts; say where the object is with --point Y X, --box Y0 X0 Y1 X1 or --prompts FILE."
        raise InvalidPromptError(msg)
    return objects


def _check_prompts(objects: Sequence[PromptedObject], shape: tuple[int, ...]) -> None:
    """Raise before the model is loaded if prompts do not fit the plane."""
    for prompted in objects:
        if prompted.frame:
            msg = f"object {prompted.object_id} is on frame {prompted.frame} of a stack; use propagate instead."
            raise InvalidPromptError(msg)
        check_object(prompted, shape, f"object {prompted.object_id}")


def check_object(prompted: PromptedObject, shape: tuple[int, ...], name: str) -> None:
    """Raise, with the name that the object goes by, if its prompts do not fit a plane of that shape."""
    try:
        prompted.prompts.check((shape[0], shape[1]))
    except InvalidPromptError as error:
        msg = f"{name}: {error}"
        raise InvalidPromptError(msg) from error


def check_place(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Raise before any work if a file cannot be written where it is wanted."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        msg = f"{path} cannot be written; end the name in {suffixes[0]}."
        raise SaveError(msg)
    if not path.parent.is_dir():
        msg = f"{path} cannot be written, there is no folder {path.parent}; make it or choose another."
        raise SaveError(msg)


def open_session(pixels: npt.NDArray[Any] | LazyPlane, model: str, refiner: str | None, device: str) -> Any:
    """Return a session with the model and the image."""
    from napari_sam2refiner.sessions.image import ImageSession
    from napari_sam2refiner.weights import load_model

    with DownloadBar(model) as bar:
        network = load_model(model, refiner, device=device, progress=bar)
    return ImageSession(network).set_image(pixels)


def label_image(
    shape: tuple[int, ...], objects: Sequence[PromptedObject], predictions: Sequence[Prediction], overlap: Overlap
) -> npt.NDArray[np.uint32]:
    """Return labels (Y, X) with each object under its id."""
    import numpy as np

    from napari_sam2refiner.labels.write import write

    labels = np.zeros(shape, np.uint32)
    for prompted, prediction in zip(objects, predictions, strict=True):
        write(labels, prediction.part, prompted.object_id, overlap)
    return labels


def save(
    labels: npt.NDArray[Any],
    output: Path,
    pixels: npt.NDArray[Any] | LazyPlane,
    objects: Sequence[PromptedObject],
    overlay: Path | None,
) -> None:
    """Write the label image, and the picture if wanted, for which all of a large plane is read."""
    from napari_sam2refiner.labels.io import save_labels
    from napari_sam2refiner.labels.overlay import draw_overlay, save_picture
    from napari_sam2refiner.planes.intensity import rescale
    from napari_sam2refiner.planes.lazy import LazyPlane

    save_labels(output, labels)
    if overlay is not None:
        prompts = [o.prompts for o in objects]
        points = [(*at, bool(on)) for p in prompts for at, on in zip(p.points.tolist(), p.labels, strict=True)]
        boxes = [tuple(corners) for p in prompts for corners in p.boxes.tolist()]
        whole = pixels.whole() if isinstance(pixels, LazyPlane) else pixels
        save_picture(overlay, draw_overlay(rescale(whole), labels, points, boxes))


def print_objects(objects: Sequence[PromptedObject], predictions: Sequence[Prediction]) -> None:
    """Print a line for each object."""
    table = Table("object", "prompts", "pixels", "score", box=None, pad_edge=False)
    for prompted, prediction in zip(objects, predictions, strict=True):
        pixels = prediction.part.area
        found = str(pixels) if pixels else "nothing found: add prompts"
        table.add_row(str(prompted.object_id), _in_words(prompted), found, f"{prediction.score:.2f}")
    out.print(table)


def _in_words(prompted: PromptedObject) -> str:
    """Return what was said about an object, as in "2 clicks, 1 box"."""
    prompts = prompted.prompts
    positive = int(prompts.labels.sum())
    counts = {
        "click": positive,
        "negative click": len(prompts.labels) - positive,
        "box": len(prompts.boxes),
        "mask": int(prompts.mask is not None),
    }
    plural = {"box": "boxes"}
    return ", ".join(f"{n} {what if n == 1 else plural.get(what, what + 's')}" for what, n in counts.items() if n)


def print_files(*paths: Path | None) -> None:
    """Print which files there are now."""
    for path in paths:
        if path is not None:
            out.print(f"wrote {path}", highlight=False, soft_wrap=True)
