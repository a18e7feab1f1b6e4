"""`train`: weights from data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2refiner.cli.console import DeviceOption, out

train_app = typer.Typer(no_args_is_help=True, help="Train weights on annotated images and synthetic scenes.")


@train_app.callback()
def train() -> None:
    """Keep `base` a command of its own."""


@train_app.command("base")
def train_base(
    data: Annotated[
        list[Path], typer.Option("--data", metavar="DIR", help="A data set, or a folder of them; may be repeated.")
    ],
    folder: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FOLDER", help="Where log, checkpoint and weights go; made if needed."),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", metavar="JSON", help="Settings; what it leaves out keeps its default.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Stop after this time, instead of the settings'.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Stop after so many steps, instead of the settings'.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", metavar="FILE", help="Weights to start from, instead of random ones.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a `micro` base; the same command on a CPU and on a GPU."""
    from napari_sam2refiner.training.base_loop import train as train_network
    from napari_sam2refiner.training.config import load_config
    from napari_sam2refiner.weights.format import read_weights
    from napari_sam2refiner.weights.load import find_device

    settings = load_config(config, minutes=minutes, steps=steps)
    weights = None if start is None else read_weights(start).base
    path = train_network(settings, data, folder, device=str(find_device(device)), resume=resume, start=weights)
    out.print(f"wrote {path}", highlight=False, soft_wrap=True)
