"""The training loop, the same for every course: crops, a step, averages, log, validation, checkpoints.

A course says what is trained, what a step costs and how it is validated. Read top to bottom: `Course`, `train`, `fit`,
checkpoints.
"""

from __future__ import annotations

import csv
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from napari_sam2refiner.errors import InvalidConfigError, ReadError, SaveError
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.training.launch import Machines, launch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from napari_sam2refiner.training.config import TrainingConfig

C = TypeVar("C", bound="TrainingConfig")

LOG_FILE, VALIDATION_FILE, CHECKPOINT_FILE = "log.csv", "validation.csv", "checkpoint.pt"
MAY_CHANGE = ("steps", "minutes", "validate_every", "checkpoint_minutes", "workers")  # between parts of a run


class Moment(NamedTuple):
    """When and where a step is: its number, the process, and the share of the run that is done."""

    step: int
    rank: int
    progress: float


class Course(nn.Module, ABC, Generic[C]):
    """What is trained and how; the loop calls nothing else.

    Parameters
    ----------
    config : TrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    """

    command: ClassVar[str]
    """That runs it, for the header of its weights."""
    weights_file: ClassVar[str]
    """Name of the file that it leaves."""

    def __init__(self, config: C, data: list[Path]) -> None:
        super().__init__()
        self.config = config
        self.data = data

    @property
    @abstractmethod
    def trained(self) -> nn.ModuleDict | nn.Module:
        """What is trained, averaged and saved; what in it needs no gradient is not trained."""

    @property
    @abstractmethod
    def crops(self) -> Dataset[Any]:
        """Samples by number; `config.crops` of them make a step."""

    @abstractmethod
    def forward(self, samples: Any, moment: Moment) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step and figures for the log; gradients are shared between processes after this."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Measure the weights as they are on held-out crops; empty if there are none."""

    @abstractmethod
    def merit(self, figures: dict[str, float]) -> float | None:
        """How good a validation is: the best one's weights are kept. None keeps the last."""

    @abstractmethod
    def write(self, path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write a weight file from the state dict of `trained`."""

    @abstractmethod
    def about(self) -> list[str]:
        """Lines that say what it trains on."""

    @abstractmethod
    def describe(self, figures: dict[str, float]) -> str:
        """Words for a row of the log or of a validation."""


@dataclass
class Run:
    """Everything a run consists of; what is saved and resumed.

    Attributes
    ----------
    averaged : dict of str to Tensor
        Exponential moving average of the trained weights.
    minutes : float
        Time spent so far.
    recent : dict of str to float
        Running means of the figures.
    best : float or None
        Merit of the weights that are kept.
    """

    config: TrainingConfig
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    averaged: dict[str, Tensor]
    step: int = 0
    minutes: float = 0.0
    recent: dict[str, float] = field(default_factory=dict)
    best: float | None = None

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        by_time = 0.0 if self.config.minutes is None else self.minutes / self.config.minutes
        return min(1.0, max(self.step / self.config.steps, by_time))


def train(
    make_course: Callable[[], Course[Any]],
    out: Path,
    *,
    machines: Machines | None = None,
    resume: bool = False,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Train a course and return the path of the weights it leaves.

    Parameters
    ----------
    make_course : callable
        Called in every process; together with `say` it can be pickled if there is more than one.
    out : Path
        Folder for config.json, log.csv, validation.csv, checkpoint.pt and the weights.
    machines : Machines, optional
        One process on the CPU if left out.
    resume : bool
        Go on from `out`'s checkpoint, if there is one.
    say : callable, optional
        Told, in one line each, what is done.

    Raises
    ------
    ReadError
        If the data or the checkpoint cannot be read.
    InvalidConfigError
        If no set has a share, `out` holds a run that is not to be resumed, or the machines are not there.
    SaveError
        If nothing can be written to `out`.
    """
    if (out / CHECKPOINT_FILE).exists() and not resume:
        msg = f"{out} holds a run already; resume it, or choose another folder."
        raise InvalidConfigError(msg)
    return launch(machines or Machines(), partial(_train, make_course, out, say or _say_nothing))


def _say_nothing(_line: str) -> None:
    """Train in silence."""


def _train(make_course: Callable[[], Course[Any]], out: Path, say: Callable[[str], object], fabric: Fabric) -> Path:
    """Train in this process."""
    if not fabric.is_global_zero:
        say = _say_nothing
    course = make_course()
    for line in course.about():
        say(line)
    course.to(memory_format=torch.channels_last)  # a tenth faster on a CPU
    module = fabric.setup_module(course)
    plain = torch.optim.AdamW(groups(course.trained, course.config), lr=course.config.learning_rate, betas=(0.9, 0.99))
    optimizer: Any = fabric.setup_optimizers(plain)
    averaged = {k: v.detach().clone() for k, v in course.trained.state_dict().items()}
    run = Run(course.config, course.trained, optimizer, averaged)
    if (out / CHECKPOINT_FILE).exists():
        load_checkpoint(run, out / CHECKPOINT_FILE)
        say(f"going on from step {run.step}, after {run.minutes:.1f} minutes")
    if fabric.is_global_zero:
        _prepare(out, run)
    fit(run, course, module, fabric, out, say)
    return out / course.weights_file


def _prepare(out: Path, run: Run) -> None:
    """Make the folder of a run, write its settings, and drop rows that a stop left behind a checkpoint."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(run.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for path in (out / LOG_FILE, out / VALIDATION_FILE):
            if path.exists() and run.step == 0:
                path.unlink()
            elif path.exists():
                header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
                kept = (row for row in rows if int(row.partition(",")[0]) <= run.step)
                path.write_text("".join([header, *kept]), encoding="utf-8")
    except OSError as error:
        msg = f"{out} cannot be written ({error.strerror}); choose another folder."
        raise SaveError(msg) from error


def groups(trained: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only."""
    parameters = [p for p in trained.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


class _StepSampler(Sampler[list[int]]):
    """The sample numbers of each step from `step` on, for one of several processes."""

    def __init__(self, step: int, config: TrainingConfig, rank: int, processes: int) -> None:
        self.steps = range(step, config.steps)
        self.crops = config.crops
        self.rank, self.processes = rank, processes

    def __iter__(self) -> Iterator[list[int]]:
        numbers = (step * self.processes + self.rank for step in self.steps)
        return (list(range(n * self.crops, (n + 1) * self.crops)) for n in numbers)

    def __len__(self) -> int:
        return len(self.steps)


def _same(samples: list[Any]) -> list[Any]:
    return samples


def fit(
    run: Run, course: Course[Any], module: nn.Module, fabric: Fabric, out: Path, say: Callable[[str], object]
) -> None:
    """Train until steps or minutes are used up; `out` gets log, validation, checkpoints and weights.

    `module` is the course as Fabric wraps it.
    """
    config = run.config
    sampler = _StepSampler(run.step, config, fabric.global_rank, fabric.world_size)
    loader = DataLoader(course.crops, batch_sampler=sampler, collate_fn=_same, num_workers=config.workers)
    last, saved = time.monotonic(), time.monotonic()
    course.train()
    for samples in loader:
        set_rate(run)
        loss, figures = module(samples, Moment(run.step, fabric.global_rank, run.progress))
        run.optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        norm = fabric.clip_gradients(module, run.optimizer, max_norm=config.clip, error_if_nonfinite=False)
        if norm is None or torch.isfinite(norm):  # a step into nowhere would end the run
            run.optimizer.step()
        run.step += 1
        average(run)
        now = time.monotonic()
        run.minutes, last = run.minutes + (now - last) / 60, now
        if fabric.world_size > 1:
            run.minutes = fabric.broadcast(run.minutes)  # all follow one clock, so that their rates stay the same
        finished = run.progress >= 1.0
        if fabric.is_global_zero:
            _log(run, course, figures, out, say)
            if (
                finished or now - saved > 60 * config.checkpoint_minutes
            ):  # a validation, which may be stopped, comes after
                save_checkpoint(run, out / CHECKPOINT_FILE)
                if run.best is None:
                    save_weights(run, course, out)
                saved = now
            if finished or run.step % config.validate_every == 0:
                _validate(run, course, out, say)
        if finished:
            break
    fabric.barrier()


def set_rate(run: Run) -> None:
    """Warm up, hold, then fall as a cosine to a hundredth."""
    config = run.config
    fall = max(0.0, (run.progress - (1.0 - config.cooldown)) / config.cooldown) if config.cooldown else 0.0
    factor = min(1.0, (run.step + 1) / max(config.warmup, 1)) * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * fall)))
    for group in run.optimizer.param_groups:
        group["lr"] = float(config.learning_rate * factor)  # a numpy number would not load as weights only


def average(run: Run) -> None:
    """Move the averaged weights towards the present ones, faster at first."""
    decay = min(run.config.ema, (1.0 + run.step) / (10.0 + run.step))
    with torch.no_grad():
        for name, value in run.trained.state_dict().items():
            run.averaged[name].lerp_(value, 1.0 - decay)


@contextmanager
def averaged_weights(run: Run) -> Iterator[None]:
    """Put the averaged weights in place for a while, in evaluation mode."""
    present = {k: v.clone() for k, v in run.trained.state_dict().items()}
    run.trained.load_state_dict(run.averaged)
    run.trained.eval()
    try:
        yield
    finally:
        run.trained.load_state_dict(present)
        run.trained.train()


def _validate(run: Run, course: Course[Any], out: Path, say: Callable[[str], object]) -> None:
    """Write a row of validation, say it, and keep the weights if they are the best so far."""
    with averaged_weights(run), torch.no_grad():
        figures = course.validate()
    if not figures:
        return
    _append(out / VALIDATION_FILE, {"step": run.step, "minutes": run.minutes, **figures})
    say(f"step {run.step}: {course.describe(figures)}")
    merit = course.merit(figures)
    if merit is not None and (run.best is None or merit > run.best):
        run.best = merit
        save_weights(run, course, out)
        save_checkpoint(run, out / CHECKPOINT_FILE)


def _log(run: Run, course: Course[Any], figures: dict[str, float], out: Path, say: Callable[[str], object]) -> None:
    """Keep running means of what is known; write a row every 20 steps."""
    for name, value in figures.items():
        before = run.recent.get(name, value)
        run.recent[name] = value if math.isnan(before) else 0.98 * before + 0.02 * value
    if run.step % 20 == 0:
        rate = run.optimizer.param_groups[0]["lr"]
        _append(out / LOG_FILE, {"step": run.step, "minutes": run.minutes, "rate": rate, **run.recent})
        say(f"step {run.step}, {run.minutes:.1f} min ({run.progress:.0%}): {course.describe(run.recent)}")


def _append(path: Path, row: dict[str, float]) -> None:
    """Append a row, after a header if the file is new."""
    new = not path.exists()
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(row)
            writer.writerow([f"{v:.6g}" for v in row.values()])
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}; free some space, and resume."
        raise SaveError(msg) from error


def save_checkpoint(run: Run, path: Path) -> None:
    """Save all that resuming needs; a run that is stopped while saving keeps the checkpoint before.

    Raises
    ------
    SaveError
        If it cannot be written.
    """
    state = {
        "config": run.config.model_dump_json(),
        "step": run.step,
        "minutes": run.minutes,
        "recent": run.recent,
        "best": run.best,
        "trained": run.trained.state_dict(),
        "averaged": run.averaged,
        "optimizer": run.optimizer.state_dict(),
    }
    with written_whole(path) as partial:
        torch.save(state, partial)


def load_checkpoint(run: Run, path: Path) -> None:
    """Take up a run where its checkpoint left it.

    Raises
    ------
    ReadError
        If the file is not a checkpoint of this network.
    InvalidConfigError
        If it is of a run with other settings than how long it goes on and how often it looks up.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        before = json.loads(state["config"])
        run.trained.load_state_dict(state["trained"])
        run.optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # a garbled file makes the unpickler raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not a checkpoint of this network ({reason}); remove it to start anew."
        raise ReadError(msg) from error
    now = json.loads(run.config.model_dump_json())
    changed = sorted(name for name in now if now[name] != before.get(name) and name not in MAY_CHANGE)
    if changed:
        name = changed[0]
        msg = (
            f"{path} is of a run with {name} = {before.get(name)}, not {now[name]}; go on with its config.json, "
            "or choose another folder."
        )
        raise InvalidConfigError(msg)
    device = next(run.trained.parameters()).device
    run.step, run.minutes, run.recent, run.best = state["step"], state["minutes"], state["recent"], state["best"]
    run.averaged = {k: v.to(device) for k, v in state["averaged"].items()}


def save_weights(run: Run, course: Course[Any], out: Path) -> None:
    """Write the averaged weights, as they ship."""
    metadata = {
        "command": course.command,
        "version": version("napari-sam2refiner"),
        "steps": str(run.step),
        "minutes": f"{run.minutes:.1f}",
    }
    course.write(out / course.weights_file, run.averaged, metadata)
