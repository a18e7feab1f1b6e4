"""The command line: parses, calls, prints. Torch and the like are imported by the commands that need them.

What a user got wrong (`SAM2RefinerError`) is one sentence on stderr and exit code 2.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from napari_sam2refiner.cli.console import Commands, NumbersCommand, out
from napari_sam2refiner.cli.demo import demo
from napari_sam2refiner.cli.evaluate import evaluate
from napari_sam2refiner.cli.everything import everything
from napari_sam2refiner.cli.exchange import export_labels, import_labels
from napari_sam2refiner.cli.propagate import propagate
from napari_sam2refiner.cli.refine import refine
from napari_sam2refiner.cli.segment import segment
from napari_sam2refiner.cli.train import train_app
from napari_sam2refiner.cli.weights import weights_app

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    help="Interactive segmentation of microscopy images with SAM 2 and a refiner, without napari.",
)
app.command(cls=NumbersCommand)(segment)
app.command()(propagate)
app.command()(refine)
app.command()(everything)
app.command("export", cls=NumbersCommand)(export_labels)
app.command("import", cls=NumbersCommand)(import_labels)
app.command()(demo)
app.command()(evaluate)
app.add_typer(weights_app, name="weights")
app.add_typer(train_app, name="train")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(version("napari-sam2refiner"), highlight=False)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001 - its callback deals with it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Say what all commands share."""
    # Torch's threads wait for each other in loops that keep a core from whoever else runs: with one of two cores busy
    # a field took twice as long as with short loops, and with none the same. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
