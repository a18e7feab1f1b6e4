"""`train`: weights from data, and the curves of a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sam2refiner.cli.console import DeviceOption, DownloadBar, out
from napari_sam2refiner.errors import InvalidConfigError, SAM2RefinerError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam2refiner.training.config import TrainingConfig
    from napari_sam2refiner.training.launch import Machines
    from napari_sam2refiner.training.loop import Course

train_app = typer.Typer(no_args_is_help=True, help="Train weights on annotated images and synthetic scenes.")


DataOption = Annotated[
    list[Path], typer.Option("--data", metavar="DIR", help="A data set, or a folder of them; may be repeated.")
]
FolderOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where log, checkpoint and weights go; made if needed.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="JSON", help="Settings; what it leaves out keeps its default.")
]
MinutesOption = Annotated[
    float | None, typer.Option("--minutes", help="Stop after this time, instead of the settings'.")
]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Stop after so many steps, instead of the settings'.")]
ResumeOption = Annotated[bool, typer.Option(help="Go on from the checkpoint in the output folder, if there is one.")]
DevicesOption = Annotated[
    int, typer.Option("--devices", min=1, metavar="N", help="GPUs, or on a CPU processes that share its cores.")
]
NodesOption = Annotated[
    int, typer.Option("--num-nodes", min=1, metavar="N", help="Machines; start it on each by torchrun or SLURM.")
]
Bf16Option = Annotated[
    bool, typer.Option("--bf16", help="bfloat16 on a CPU too: faster where it has instructions for it (avx512_bf16).")
]


@train_app.command("base")
def train_base(
    data: DataOption,
    folder: FolderOption,
    config: ConfigOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="NAME", help="Weights to start from, micro or a file, not random ones."),
    ] = None,
    resume: ResumeOption = True,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    nodes: NodesOption = 1,
    bf16: Bf16Option = False,
) -> None:
    """Train a `micro` base; the same command on a CPU and on GPUs, and to go on after a stop."""
    from napari_sam2refiner.training.base import BaseCourse
    from napari_sam2refiner.training.config import BaseTrainingConfig, load_config

    settings = load_config(config, BaseTrainingConfig, minutes=minutes, steps=steps)
    machines = _machines(device, devices, nodes, bf16)
    weights = None if start is None else _starting_weights(start)
    say(f"training micro on {_words(machines)}, {_limit(settings)}, into {folder}")
    path = _run(partial(BaseCourse, settings, data, weights), folder, machines, resume)
    _say_how_to_measure(str(path), data)


@train_app.command("scores")
def train_scores(
    data: DataOption,
    folder: FolderOption,
    start: Annotated[str, typer.Option("--start", metavar="NAME", help="The base, micro or a file.")] = "micro",
    config: ConfigOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    resume: ResumeOption = True,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    nodes: NodesOption = 1,
    bf16: Bf16Option = False,
) -> None:
    """Train what chooses among the masks of a `micro` base, and nothing else of it; ten minutes are enough."""
    from napari_sam2refiner.training.config import ScoreTrainingConfig, load_config
    from napari_sam2refiner.training.scores import ScoresCourse

    settings = load_config(config, ScoreTrainingConfig, minutes=minutes, steps=steps)
    machines = _machines(device, devices, nodes, bf16)
    weights = _starting_weights(start)
    say(f"training the scores of {start} on {_words(machines)}, {_limit(settings)}, into {folder}")
    path = _run(partial(ScoresCourse, settings, data, weights), folder, machines, resume)
    _say_how_to_measure(str(path), data)


@train_app.command("refiner")
def train_refiner(
    data: DataOption,
    folder: FolderOption,
    backbone: Annotated[
        str, typer.Option("--backbone", metavar="NAME", help="The base, by name or file; it stays as it is.")
    ] = "micro",
    config: ConfigOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="NAME", help="Refiner to start from, by name or file.")
    ] = None,
    resume: ResumeOption = True,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    nodes: NodesOption = 1,
    bf16: Bf16Option = False,
) -> None:
    """Train a refiner on a frozen base: `micro`, a SAM 2.1, or a file."""
    from napari_sam2refiner.training.config import RefinerTrainingConfig, load_config
    from napari_sam2refiner.training.refiner import RefinerCourse
    from napari_sam2refiner.weights.load import load_model

    settings = load_config(config, RefinerTrainingConfig, minutes=minutes, steps=steps)
    machines = _machines(device, devices, nodes, bf16)
    with DownloadBar(backbone) as bar:  # before the processes start, which all need it
        load_model(backbone, start, device="cpu", progress=bar)
    say(f"training a refiner for {backbone} on {_words(machines)}, {_limit(settings)}, into {folder}")
    path = _run(partial(RefinerCourse, settings, data, backbone, start), folder, machines, resume)
    _say_how_to_measure(f"{backbone} --refiner {path}", data)


@train_app.command("memory")
def train_memory(
    data: DataOption,
    folder: FolderOption,
    config: ConfigOption = None,
    minutes: MinutesOption = None,
    steps: StepsOption = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="NAME", help="Weights to start from, window_memory or a file.")
    ] = None,
    resume: ResumeOption = True,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    nodes: NodesOption = 1,
    bf16: Bf16Option = False,
) -> None:
    """Train the window memory, which carries objects through stacks; no base is needed for it, and none changes."""
    from napari_sam2refiner.training.config import MemoryTrainingConfig, load_config
    from napari_sam2refiner.training.memory import MemoryCourse
    from napari_sam2refiner.weights.load import load_memory

    settings = load_config(config, MemoryTrainingConfig, minutes=minutes, steps=steps)
    machines = _machines(device, devices, nodes, bf16)
    weights = None if start is None else load_memory(start, device="cpu").state_dict()
    say(f"training a window memory on {_words(machines)}, {_limit(settings)}, into {folder}")
    path = _run(partial(MemoryCourse, settings, data, weights), folder, machines, resume)
    say(f"use it: napari-sam2refiner propagate STACK --memory {path}")


def _machines(device: str, devices: int, nodes: int, bf16: bool) -> Machines:
    """Return what to compute on; raise if it is not there."""
    from napari_sam2refiner.training.launch import Machines
    from napari_sam2refiner.weights.load import find_device

    return Machines(find_device(device).type, devices, nodes, bf16)


def _words(machines: Machines) -> str:
    """Name what computes."""
    many = {"cpu": f"{machines.devices} processes of the CPU"}.get(machines.device, f"{machines.devices} devices")
    words = machines.device if machines.devices == 1 else many
    return words if machines.nodes == 1 else f"{words} of each of {machines.nodes} machines"


def _limit(settings: TrainingConfig) -> str:
    """Say where a run ends."""
    return f"at most {settings.steps} steps" + (f" or {settings.minutes:g} minutes" if settings.minutes else "")


def _run(make_course: Callable[[], Course[Any]], folder: Path, machines: Machines, resume: bool) -> Path:
    """Train, draw the curve, and return the path of the weights."""
    from napari_sam2refiner.training.loop import train

    path = train(make_course, folder, machines=machines, resume=resume, say=say)
    say(f"wrote {path}")
    try:
        plot(folder)
    except SAM2RefinerError as error:  # the weights are there, that is what counts
        say(f"no curve: {error}")
    return path


def _say_how_to_measure(model: str, data: list[Path]) -> None:
    """Name the command that measures what was trained."""
    say(f"measure it: napari-sam2refiner evaluate --model {model}" + "".join(f" --data {d}" for d in data))


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
