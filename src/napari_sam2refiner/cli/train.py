"""`train`: weights from data, and the curves of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2refiner.cli.console import DeviceOption, out
from napari_sam2refiner.errors import InvalidConfigError, SAM2RefinerError

if TYPE_CHECKING:
    from torch import Tensor

train_app = typer.Typer(no_args_is_help=True, help="Train weights on annotated images and synthetic scenes.")


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
        str | None,
        typer.Option("--start", metavar="NAME", help="Weights to start from, micro or a file, not random ones."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in the output folder, if there is one.")] = (
        True
    ),
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Processes of one thread each, for a CPU; they share gradients.")
    ] = 1,
    device: DeviceOption = "auto",
) -> None:
    """Train a `micro` base; the same command on a CPU and on a GPU, and to go on after a stop."""
    from napari_sam2refiner.training.base_loop import train, train_in_parallel
    from napari_sam2refiner.training.config import load_config
    from napari_sam2refiner.weights.load import find_device

    settings = load_config(config, minutes=minutes, steps=steps)
    target = find_device("cpu" if processes > 1 and device == "auto" else device)
    if processes > 1 and target.type != "cpu":
        msg = f"--processes {processes} is for a CPU; leave it out on {target}."
        raise InvalidConfigError(msg)
    weights = None if start is None else _starting_weights(start)
    limit = f"{settings.steps} steps" + (f" or {settings.minutes:g} minutes" if settings.minutes else "")
    say(f"training micro on {target} in {processes} process{'es' * (processes > 1)}, at most {limit}, into {folder}")
    if processes > 1:
        path = train_in_parallel(processes, settings, data, folder, resume=resume, start=weights, say=say)
    else:
        path = train(settings, data, folder, device=str(target), resume=resume, start=weights, say=say)
    say(f"wrote {path}")
    try:
        plot(folder)
    except SAM2RefinerError as error:  # the weights are there, that is what counts
        say(f"no curve: {error}")
    say(f"measure it: napari-sam2refiner evaluate --model {path}" + "".join(f" --data {d}" for d in data))


@train_app.command("plot")
def plot(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of a run, also one still going.")]) -> None:
    """Draw the curves of a run, into curve.png in its folder."""
    from napari_sam2refiner.training.plots import draw_curves

    say(f"wrote {draw_curves(folder)}")


def say(line: str) -> None:
    """Print a line."""
    out.print(line, highlight=False, soft_wrap=True, markup=False)


def _starting_weights(name_or_path: str) -> dict[str, Tensor]:
    """Return the weights of a micro base by name or path."""
    from napari_sam2refiner.weights.load import load_model

    model = load_model(name_or_path, device="cpu")
    if model.backbone != "micro":
        msg = f"--start {name_or_path} is a {model.backbone}; give weights of a micro."
        raise InvalidConfigError(msg)
    return dict(model.base.state_dict())
