"""`weights`: the models, whether they are on disk, how they get there."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from napari_sam2refiner.cli.console import DownloadBar, err, out

weights_app = typer.Typer(no_args_is_help=True, help="The models: list them, download them, find their files.")


@weights_app.command("list")
def list_weights() -> None:
    """List the models, and whether they are on disk."""
    from napari_sam2refiner.weights import available
    from napari_sam2refiner.weights.store import folder

    table = Table("name", "kind", "MB", "on disk", "note", box=None, pad_edge=False)
    for line in available():
        table.add_row(line.name, line.kind, f"{line.size / 1e6:.0f}", "yes" if line.on_disk else "no", line.note)
    out.print(table)
    out.print(f"Downloads go to {folder()}", highlight=False, soft_wrap=True)


@weights_app.command("fetch")
def fetch_weights(name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `weights list`.")]) -> None:
    """Download a model, or go on with a download that was broken off; check it."""
    from napari_sam2refiner.weights import fetch

    with DownloadBar(name) as bar:
        path = fetch(name, progress=bar)
    out.print(f"{name} is complete: {path}", highlight=False, soft_wrap=True)


@weights_app.command("path")
def path_of_weights(name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `weights list`.")]) -> None:
    """Print where a model's file lies or, for a machine without a network, where to put it."""
    from napari_sam2refiner.weights import find_path

    path = find_path(name)
    out.print(str(path), highlight=False, soft_wrap=True, markup=False)
    if not path.is_file():
        err.print(f"There is no such file yet; run `napari-sam2refiner weights fetch {name}`.", highlight=False)
