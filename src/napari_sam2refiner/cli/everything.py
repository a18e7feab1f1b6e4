"""`everything`: every object of an image, or of all images of folders, into label images."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from napari_sam2refiner.cli.console import DeviceOption, DownloadBar, ModelOption, RefinerOption, err, out, work_bar
from napari_sam2refiner.cli.segment import check_place
from napari_sam2refiner.errors import InvalidConfigError, ReadError, SAM2RefinerError, SaveError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_sam2refiner.sessions.base import PlaneSession
    from napari_sam2refiner.sessions.everything import Filters

TABLE = "objects.csv"
COLUMNS = ("file", "objects", "seconds")
PICTURES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".lsm", ".stk", ".zarr")
TIFF = (".tif", ".tiff")


def everything(
    images: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, or folders of them.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PLACE", help="A folder for label images; of a single image, a TIFF."),
    ],
    model: ModelOption = "micro",
    refiner: RefinerOption = None,
    device: DeviceOption = "auto",
    min_score: Annotated[
        float | None, typer.Option("--min-score", min=0.0, max=1.0, help="Leave out objects that are less sure.")
    ] = None,
    min_stability: Annotated[
        float | None, typer.Option("--min-stability", min=0.0, max=1.0, help="Leave out masks that a cut changes more.")
    ] = None,
    min_area: Annotated[int | None, typer.Option("--min-area", min=1, help="Leave out fewer pixels than this.")] = None,
    most_overlap: Annotated[
        float | None, typer.Option("--most-overlap", min=0.0, max=1.0, help="Share that surer objects may have of one.")
    ] = None,
    points: Annotated[
        int, typer.Option("--points", min=1, help="Points along each side of the grid that SAM 2.1 is asked on.")
    ] = 32,
    channel: Annotated[
        list[int], typer.Option("--channel", metavar="INDEX", help="Channel to look at, up to three; all if left out.")
    ] = [],  # noqa: B006 - typer copies it
    again: Annotated[bool, typer.Option("--again", help="Segment images whose labels are there already, too.")] = False,
) -> None:
    """Segment everything, without prompts; each plane of a stack by itself.

    Of several images, those whose labels are there already are left out, so that the same command goes on where it
    stopped.
    """
    single = output.suffix.lower() in TIFF
    jobs = _jobs(images, output, single=single)
    from napari_sam2refiner.sessions.everything import Filters

    given = {"score": min_score, "stability": min_stability, "area": min_area, "overlap": most_overlap}
    filters = Filters(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    filters.check()
    waiting = [job for job in jobs if single or again or not job.labels.exists()]
    if len(waiting) < len(jobs):
        there = len(jobs) - len(waiting)
        out.print(f"{there} of {len(jobs)} images have their labels already; --again would make them anew.")
    if not waiting:
        return
    work = _Work(_open(model, refiner, device), filters, points, tuple(channel))
    table = None if single else output / TABLE
    failures = _run(work, waiting, table)
    if len(failures) < len(waiting):
        out.print(f"wrote {output}", highlight=False, soft_wrap=True, markup=False)
    if failures:
        for failure in failures:
            err.print(failure, highlight=False, soft_wrap=True, markup=False)
        which = f"{len(failures)} of {len(waiting)} images"
        msg = f"{which} could not be segmented; mend or remove them, then run this again."
        raise ReadError(msg)


@dataclass(frozen=True)
class _Job:
    """An image, and where its labels go."""

    image: Path
    labels: Path


@dataclass(frozen=True)
class _Work:
    """What is done to every image."""

    session: PlaneSession
    filters: Filters
    points: int
    channels: tuple[int, ...]


def _jobs(paths: Sequence[Path], output: Path, *, single: bool) -> list[_Job]:
    """Return what is to be done; raise if something is not there or two labels would have one name."""
    images = [image for path in paths for image in _images(path)]
    if single:
        if len(images) != 1:
            msg = f"{output} is one file, but there are {len(images)} images; give a folder for their labels."
            raise InvalidConfigError(msg)
        check_place(output, TIFF)
        return [_Job(images[0], output)]
    jobs: dict[Path, _Job] = {}
    for image in images:
        job = _Job(image, output / f"{image.stem}.tif")
        before = jobs.setdefault(job.labels, job)
        if before is not job:
            msg = f"the labels of {before.image} and {image} would both be {job.labels}; rename one of them."
            raise InvalidConfigError(msg)
        if job.labels.exists() and job.labels.samefile(image):
            msg = f"the labels of {image} would be written over it; choose another folder than {output}."
            raise InvalidConfigError(msg)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{output} cannot be made: {error.strerror or error}; choose another folder."
        raise SaveError(msg) from error
    return list(jobs.values())


def _images(path: Path) -> list[Path]:
    """Return the images that a path is or holds, in order of name."""
    if not path.is_dir() or path.suffix.lower() == ".zarr":
        if not path.exists():
            msg = f"{path} cannot be read: there is no such file or folder; check its name."
            raise ReadError(msg)
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    if not found:
        msg = f"{path} holds no images; give a folder of TIFF, PNG, JPEG or Zarr images."
        raise ReadError(msg)
    return found


def _open(model: str, refiner: str | None, device: str) -> PlaneSession:
    """Load the model."""
    from napari_sam2refiner.sessions.image import ImageSession
    from napari_sam2refiner.weights import load_model

    with DownloadBar(model) as bar:
        return ImageSession(load_model(model, refiner, device=device, progress=bar))


def _run(work: _Work, jobs: Sequence[_Job], table: Path | None) -> list[str]:
    """Segment images one after the other, and note each in the table; return what went wrong with which."""
    from napari_sam2refiner.labels.io import save_labels

    failures = []
    rows = Table("file", "objects", "seconds", box=None, pad_edge=False)
    with work_bar() as bar:
        for job in bar.track(jobs, description="images"):
            start = time.perf_counter()
            try:
                labels, objects = _segmented(work, job.image)
                save_labels(job.labels, labels)
            except SaveError:
                raise  # the next would fail alike
            except SAM2RefinerError as error:
                failures.append(str(error))
                continue
            row = (job.image.name, str(objects), f"{time.perf_counter() - start:.2f}")
            rows.add_row(*row)
            if table is not None:
                _note(table, row)
    if rows.row_count:
        out.print(rows)
    return failures


def _segmented(work: _Work, image: Path) -> tuple[npt.NDArray[np.uint32], int]:
    """Return labels of the shape of an image without its channels, and how many objects it has, counted by plane."""
    import numpy as np

    from napari_sam2refiner.planes.image_file import ImageFile
    from napari_sam2refiner.sessions.everything import segment_everything

    with ImageFile(image) as file:
        sizes = [size for _, size in file.steps.values()]
        planes: list[Any] = []
        count = 0
        for steps in np.ndindex(*sizes):
            session = work.session.set_image(file.read(steps, work.channels))
            labels, objects = segment_everything(session, filters=work.filters, points=work.points)
            planes.append(labels)
            count += len(objects)
    return np.stack(planes).reshape(*sizes, *planes[0].shape), count


def _note(table: Path, row: tuple[str, ...]) -> None:
    """Put the line of an image into the table, instead of an earlier one of that name."""
    from napari_sam2refiner.planes.files import written_whole

    before = [line for line in _noted(table) if line[0] != row[0]]
    with written_whole(table) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *before, row])


def _noted(table: Path) -> Iterator[list[str]]:
    """Yield the lines of a table that is there."""
    with suppress(FileNotFoundError), table.open(newline="", encoding="utf-8") as file:
        yield from (line for line in csv.reader(file) if line and tuple(line) != COLUMNS)
