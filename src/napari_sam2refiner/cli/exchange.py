"""`export` and `import`: labels to the formats that other programs read, and back."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sam2refiner.cli.console import err, is_number, out
from napari_sam2refiner.cli.segment import check_place, print_files
from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError, SaveError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2refiner.labels.exchange.objects import LabelledObjects

LABELS = (".tif", ".tiff", ".zarr", ".npy")  # what `import` writes

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="tiff, ome-zarr, coco, ctc, roi, geff, trackmate, csv or npy; by the file's ending if left out.",
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", metavar="LETTERS", help="YX, TYX, ZYX or TZYX, where the file says otherwise or nothing."),
]
ShapeOption = Annotated[
    str | None,
    typer.Option("--shape", metavar="[T] [Z] Y X", help="Of the image, where the format does not know it (ROIs)."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]


def export_labels(
    labels: Annotated[Path, typer.Argument(help="Labels: TIFF, Zarr or .npy, or any format that can be imported.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where they go: a file or a folder.")],
    format_name: FormatOption = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="IMAGE", help="For intensities in a CSV, and the name in COCO.")
    ] = None,
    objects: Annotated[
        Path | None,
        typer.Option("--objects", metavar="CSV", help="Table with columns object, and name, class, score or parent."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", metavar="[T] [Z] Y X", help="Pixel size along each axis: seconds, micrometres."),
    ] = None,
    axes: AxesOption = None,
    shape: ShapeOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write labels in a format that other programs read.

    Formats and what they keep are in docs/export.md.
    """
    start = time.perf_counter()
    from napari_sam2refiner.labels.exchange.formats import check_place as check_output
    from napari_sam2refiner.labels.exchange.formats import export_objects, find_format, import_objects

    check_output(output, find_format(output, format_name), overwrite=overwrite)
    found = import_objects(labels, shape=_numbers("--shape", shape, int), axes=axes)
    if objects is not None:
        found = _with_known(found, objects)
    if scale is not None:
        found = replace(found, scale=_numbers("--scale", scale, float))
    if image is not None:
        found = replace(found, image=_read_image(image, found.labels.shape), image_name=image.name)
    export_objects(output, found, format_name, overwrite=overwrite)
    _print(found, start, output)


def import_labels(
    source: Annotated[Path, typer.Argument(help="A file or folder in any format that `export` writes but CSV.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="Where the labels go: .tif, .zarr or .npy.")
    ],
    format_name: FormatOption = None,
    shape: ShapeOption = None,
    axes: AxesOption = None,
    objects: Annotated[
        Path | None,
        typer.Option("--objects", metavar="CSV", help="Where names, classes, scores and parents of objects go."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a label image of objects in another program's format."""
    check_place(output, LABELS)
    check_place(objects, (".csv",))
    if objects is not None and objects.exists() and not overwrite:
        msg = f"{objects} is there already; remove it, choose another name, or ask to overwrite it (--overwrite)."
        raise SaveError(msg)
    start = time.perf_counter()
    from napari_sam2refiner.labels.exchange.formats import check_place as check_output
    from napari_sam2refiner.labels.exchange.formats import export_objects, find_format, import_objects
    from napari_sam2refiner.labels.exchange.measures import write_known
    from napari_sam2refiner.planes.files import written_whole

    check_output(output, find_format(output), overwrite=overwrite)
    found = import_objects(source, format_name, shape=_numbers("--shape", shape, int), axes=axes)
    export_objects(output, found, overwrite=overwrite)
    if objects is not None:
        with written_whole(objects) as partial:
            write_known(partial, found)
    _print(found, start, output, objects)


def _numbers(option: str, text: str | None, kind: Any) -> tuple[Any, ...] | None:
    """Return the numbers of an option, as `NumbersCommand` joins them."""
    if text is None:
        return None
    parts = text.split(",")
    if not 2 <= len(parts) <= 4 or not all(is_number(part) and kind(float(part)) > 0 for part in parts):
        msg = f"{option} {text.replace(',', ' ')} is not two to four positive numbers; give {option} Y X, T Y X or so."
        raise InvalidConfigError(msg)
    return tuple(kind(float(part)) for part in parts)


def _with_known(found: LabelledObjects, table: Path) -> LabelledObjects:
    """Return objects with what a table says of them, beside what was known."""
    from napari_sam2refiner.labels.exchange.measures import read_known

    known = read_known(table)
    return replace(
        found,
        classes={**found.classes, **known.classes},
        scores={**found.scores, **known.scores},
        parents={**found.parents, **known.parents},
        names={**found.names, **known.names},
    )


def _read_image(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return all planes of an image that labels of this shape are for, channels behind."""
    import numpy as np

    from napari_sam2refiner.planes.image_file import ImageFile

    with ImageFile(path) as file:
        sizes = tuple(size for _, size in file.steps.values())
        if sizes != tuple(size for size in shape[:-2] if size > 1):
            names = ", ".join(f"{name} ({size})" for name, size in file.steps.values()) or "none"
            msg = f"the labels have shape {shape}, but {path} has these stacked axes: {names}; they must agree."
            raise InvalidLabelsError(msg)
        planes = [file.read(steps) for steps in itertools.product(*map(range, sizes))]
    return np.stack(planes).reshape(*shape[:-2], *planes[0].shape)


def _print(found: LabelledObjects, start: float, *files: Path | None) -> None:
    """Print what was written."""
    from napari_sam2refiner.labels.write import ids_in

    if found.note:
        err.print(f"[bold yellow]Warning:[/] {found.note}", highlight=False, soft_wrap=True)
    print_files(*files)
    count = len(ids_in(found.labels))
    objects = f"{count} object{'' if count == 1 else 's'}"
    out.print(f"{objects} in {time.perf_counter() - start:.1f} s.", highlight=False)
