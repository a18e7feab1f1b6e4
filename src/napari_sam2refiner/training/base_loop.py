"""`train base`: teaches `micro` to answer prompts, as SAM was taught: a prompt, then clicks where it was wrong.

Every step takes crops from annotated fields and synthetic scenes, encodes them at three scales, and lets a simulated
user talk to all scales at once: the mask with the best score is what the user sees and corrects. Read top to bottom:
`train`, `fit`, `step_loss`, `validate`, checkpoints.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler

from napari_sam2refiner.datasets import read_set, set_folders
from napari_sam2refiner.errors import InvalidConfigError, ReadError, SaveError
from napari_sam2refiner.network.micro import SCALES, Level, MicroBase
from napari_sam2refiner.training.crops import Crop, CropDataset
from napari_sam2refiner.training.losses import mask_loss, outline_targets, rank_loss, score_loss
from napari_sam2refiner.training.processes import agree, count, rank, run_in_parallel, share_gradients
from napari_sam2refiner.training.readers import training_fields
from napari_sam2refiner.training.rounds import Batch, Conversation, Round, collate, converse, encode_pyramid
from napari_sam2refiner.weights.format import write_weights

if TYPE_CHECKING:
    from napari_sam2refiner.training.config import BaseTrainingConfig

WEIGHTS_FILE = "base.safetensors"
LOG_FILE, VALIDATION_FILE = "log.csv", "validation.csv"
LOG_FIELDS = ("step", "minutes", "rate", "loss", "iou_1", "iou_last", "iou_best", "score_error")


@dataclass
class Run:
    """Everything a run consists of; what is saved and resumed.

    Attributes
    ----------
    averaged : dict of str to Tensor
        Exponential moving average of the network's weights.
    minutes : float
        Time spent so far.
    """

    config: BaseTrainingConfig
    network: MicroBase
    optimizer: torch.optim.Optimizer
    averaged: dict[str, Tensor]
    step: int = 0
    minutes: float = 0.0
    recent: dict[str, float] = field(default_factory=dict)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        by_time = 0.0 if self.config.minutes is None else self.minutes / self.config.minutes
        return min(1.0, max(self.step / self.config.steps, by_time))


def train_in_parallel(processes: int, config: BaseTrainingConfig, data: list[Path], out: Path, **options: Any) -> Path:
    """As `train`, by several processes of one thread each that share their gradients; `say` must be picklable."""
    run_in_parallel(processes, partial(train, config, data, out, **options))
    return out / WEIGHTS_FILE


def train(
    config: BaseTrainingConfig,
    data: list[Path],
    out: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    start: dict[str, Tensor] | None = None,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Train a base and return the path of its averaged weights.

    Parameters
    ----------
    config : BaseTrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    out : Path
        Folder for config.json, log.csv, validation.csv, checkpoint.pt and base.safetensors.
    device : str
        As torch names it; bf16 is used on cuda.
    resume : bool
        Go on from `out`'s checkpoint, if there is one.
    start : dict of str to Tensor, optional
        Weights to start from instead of random ones.
    say : callable, optional
        Told, in one line each, what is done.

    Raises
    ------
    ReadError
        If the data or the checkpoint cannot be read.
    InvalidConfigError
        If no set has a share, or `out` holds a run that is not to be resumed.
    SaveError
        If nothing can be written to `out`.
    """
    say = say if say is not None and rank() == 0 else _say_nothing
    torch.manual_seed(config.seed)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        msg = f"{out} holds a run already; resume it, or choose another folder."
        raise InvalidConfigError(msg)
    sets = training_fields(data, scenes=config.scenes, seed=config.seed)
    held_out = {f.name: read_set(f, "val") for f in set_folders(data) if f.name in sets and (f / "val").exists()}
    say("training fields: " + ", ".join(f"{name} {len(fields)}" for name, fields in sets.items()))
    say("held out: " + (", ".join(f"{name} {len(fields)}" for name, fields in held_out.items()) or "none"))
    if rank() == 0:
        _prepare(out, config)
    network = MicroBase()
    if start is not None:
        network.load_state_dict(start)
    network.to(device, memory_format=torch.channels_last)  # a tenth faster on a CPU
    optimizer = torch.optim.AdamW(_groups(network, config), lr=config.learning_rate, betas=(0.9, 0.99))
    run = Run(config, network, optimizer, {k: v.detach().clone() for k, v in network.state_dict().items()})
    if checkpoint.exists():
        load_checkpoint(run, checkpoint)
        if rank() == 0:
            _forget_after(run.step, out)
        say(f"going on from step {run.step}, after {run.minutes:.1f} minutes")
    fit(run, CropDataset(sets, config), CropDataset(held_out, config, first=1) if held_out else None, out, say)
    return out / WEIGHTS_FILE


def _say_nothing(_line: str) -> None:
    """Train in silence."""


def _prepare(out: Path, config: BaseTrainingConfig) -> None:
    """Make the folder of a run and write its settings there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(config.model_dump_json(indent=2) + "\n")
        if not (out / "checkpoint.pt").exists():
            for name in (LOG_FILE, VALIDATION_FILE):  # of a run that ended before its first checkpoint
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        msg = f"{out} cannot be written ({error.strerror}); choose another folder."
        raise SaveError(msg) from error


def _groups(network: MicroBase, config: BaseTrainingConfig) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only; the memory is not trained here."""
    memory = ("memory_", "maskmem_", "obj_ptr", "no_obj", "mask_downsample", "no_mem_pos")
    trained = [p for name, p in network.named_parameters() if not name.startswith(memory)]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


class _StepSampler(Sampler[list[int]]):
    """The crop numbers of each step from `step` on."""

    def __init__(self, step: int, config: BaseTrainingConfig) -> None:
        self.steps = range(step, config.steps)
        self.crops = config.crops

    def __iter__(self) -> Iterator[list[int]]:
        numbers = (step * count() + rank() for step in self.steps)
        return (list(range(n * self.crops, (n + 1) * self.crops)) for n in numbers)

    def __len__(self) -> int:
        return len(self.steps)


def _same(crops: list[Crop]) -> list[Crop]:
    return crops


def fit(
    run: Run,
    crops: CropDataset,
    held_out: CropDataset | None,
    out: Path,
    say: Callable[[str], object] = _say_nothing,
) -> None:
    """Train until steps or minutes are used up; `out` gets log, validation, checkpoints and weights."""
    config, network = run.config, run.network
    device = next(network.parameters()).device
    loader = DataLoader(
        crops, batch_sampler=_StepSampler(run.step, config), collate_fn=_same, num_workers=config.workers
    )
    last, saved = time.monotonic(), time.monotonic()
    network.train()
    for samples in loader:
        _set_rate(run)
        rounds = _rounds(run)
        objects = max(1, config.objects * min(rounds, config.rounds) // rounds)
        batch = collate(samples, network, objects, device)
        loss, figures = step_loss(run, batch, rounds)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        share_gradients(network)
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        if torch.isfinite(norm):  # a step into nowhere would end the run
            run.optimizer.step()
        run.step += 1
        _average(run)
        now = time.monotonic()
        run.minutes, last = agree(run.minutes + (now - last) / 60), now
        finished = run.progress >= 1.0
        if rank() == 0:
            _log(run, figures, out, say)
            if held_out is not None and (finished or run.step % config.validate_every == 0):
                _report_validation(run, validate(run, held_out), out, say)
            if finished or now - saved > 60 * config.checkpoint_minutes:
                save_checkpoint(run, out / "checkpoint.pt")
                save_weights(run, out)
                saved = now
        if finished:
            break


def _rounds(run: Run) -> int:
    """How many prompts each object of this step gets."""
    if run.step % 8 == 7:
        return run.config.long_rounds
    return 1 if run.progress < run.config.opening else run.config.rounds


def _set_rate(run: Run) -> None:
    """Warm up, hold, then fall as a cosine to a hundredth."""
    config = run.config
    fall = max(0.0, (run.progress - (1.0 - config.cooldown)) / config.cooldown) if config.cooldown else 0.0
    factor = min(1.0, (run.step + 1) / max(config.warmup, 1)) * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * fall)))
    for group in run.optimizer.param_groups:
        group["lr"] = float(config.learning_rate * factor)  # a numpy number would not load as weights only


def _average(run: Run) -> None:
    """Move the averaged weights towards the present ones, faster at first."""
    decay = min(run.config.ema, (1.0 + run.step) / (10.0 + run.step))
    with torch.no_grad():
        for name, value in run.network.state_dict().items():
            run.averaged[name].lerp_(value, 1.0 - decay)


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def step_loss(run: Run, batch: Batch, rounds: int) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a batch and figures for the log."""
    config = run.config
    rng = np.random.default_rng([config.seed, 2, run.step, rank()])
    talk = Conversation(batch, config.first_prompts, rng)
    with _precision(batch.pixels.device):
        levels = encode_pyramid(run.network, batch.pixels)
        targets, trust = level_targets(batch)
        loss = config.outline_weight * outline_loss(levels, batch)
        history = list(converse(run.network, levels, batch, talk, rounds, explore=0.25, anywhere=True))
        for turn in history:
            loss = loss + round_loss(turn, targets, trust, config) / rounds
    first, last = history[0], history[-1]
    shown = [t.ious.gather(1, t.score_logits.argmax(1, keepdim=True)).mean().item() for t in (first, last)]
    error = (first.score_logits.sigmoid() - first.ious).abs().mean().item()
    best = first.ious.amax(1).mean().item()
    return loss, dict(zip(LOG_FIELDS[3:], (loss.item(), *shown, best, error), strict=True))


def level_targets(batch: Batch) -> tuple[list[Tensor], Tensor]:
    """Targets (N, h, w) of each level, and how much each level can be asked, (N, L).

    An object of less than eight pixels of a level is hardly to be seen there.
    """
    truth = batch.truth[:, None].float()
    targets = [F.avg_pool2d(truth, 4 * scale)[:, 0] for scale in SCALES]
    extent = torch.maximum(truth.amax(3).sum(2), truth.amax(2).sum(2))[:, 0]
    trust = torch.stack([(extent / scale / 8.0).clamp(0.05, 1.0) ** 2 for scale in SCALES], 1)
    return targets, trust


def outline_loss(levels: list[Level], batch: Batch) -> Tensor:
    """Loss of foreground and boundary on every level: a help to the features, and to the score."""
    foreground, boundary = outline_targets(batch.labels)
    total = foreground.new_zeros(())
    for level, scale in zip(levels, SCALES, strict=True):
        for logits, truth in ((level.instances.foreground, foreground), (level.instances.boundary, boundary)):
            target = F.avg_pool2d(truth[:, None], 4 * scale)[:, 0]
            total = total + F.binary_cross_entropy_with_logits(logits.float(), target) / len(SCALES)
    return total


def round_loss(turn: Round, targets: list[Tensor], trust: Tensor, config: BaseTrainingConfig) -> Tensor:
    """Loss of one round on all levels."""
    scores = turn.score_logits.float()
    total = config.score_weight * score_loss(scores, turn.ious) + config.rank_weight * rank_loss(scores, turn.ious)
    for index, (answer, target) in enumerate(zip(turn.answers, targets, strict=True)):
        parts = ((answer.logits, 1.0), (answer.fused, config.fused_weight), (answer.guess, config.guess_weight))
        per_object = sum(weight * mask_loss(logits.float(), target) for logits, weight in parts)
        total = total + (per_object * trust[:, index]).sum() / trust.sum()
        total = total + 0.01 * F.softplus(-answer.object_logits.float()).mean()  # whoever is asked for is there
    return total


@torch.no_grad()
def validate(run: Run, held_out: CropDataset, crops: int = 96) -> dict[str, float]:
    """Return IoU after one and three clicks on crops of each held-out set, by the averaged weights."""
    network = MicroBase().to(next(run.network.parameters()).device).eval()
    network.load_state_dict(run.averaged)
    device = next(network.parameters()).device
    figures: dict[str, float] = {}
    for name, fields in held_out.sets.items():
        only = CropDataset({name: fields}, run.config, first=held_out.first)
        samples = [only[i] for i in range(max(4, crops // len(held_out.sets)))]
        batch = collate(samples, network, run.config.objects, device)
        talk = Conversation(batch, {"click": 1.0}, np.random.default_rng(0))
        levels = encode_pyramid(network, batch.pixels)
        turns = list(converse(network, levels, batch, talk, 3, explore=0.0, anywhere=False))
        for clicks in (1, 3):
            turn = turns[clicks - 1]
            figures[f"{name}_{clicks}"] = turn.ious.gather(1, turn.shown[:, None]).mean().item()
    for clicks in (1, 3):
        figures[f"mean_{clicks}"] = float(np.mean([figures[f"{name}_{clicks}"] for name in held_out.sets]))
    return figures


def _log(run: Run, figures: dict[str, float], out: Path, say: Callable[[str], object]) -> None:
    """Keep running means; write a row every 20 steps."""
    for name, value in figures.items():
        run.recent[name] = 0.98 * run.recent.get(name, value) + 0.02 * value
    if run.step % 20 == 0:
        rate = run.optimizer.param_groups[0]["lr"]
        _append(out / LOG_FILE, {"step": run.step, "minutes": run.minutes, "rate": rate, **run.recent})
        first, last = run.recent["iou_1"], run.recent["iou_last"]
        say(
            f"step {run.step}, {run.minutes:.1f} min ({run.progress:.0%}): loss {run.recent['loss']:.3f}, "
            f"IoU {first:.3f} after the first prompt, {last:.3f} after the last"
        )


def _report_validation(run: Run, figures: dict[str, float], out: Path, say: Callable[[str], object]) -> None:
    """Write a row of validation, and say it."""
    _append(out / VALIDATION_FILE, {"step": run.step, "minutes": run.minutes, **figures})
    say(f"step {run.step}: held-out IoU {figures['mean_1']:.3f} after 1 click, {figures['mean_3']:.3f} after 3")


def _append(path: Path, row: dict[str, float]) -> None:
    """Append a row, after a header if the file is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(row)
        writer.writerow([f"{v:.6g}" for v in row.values()])


def _forget_after(step: int, out: Path) -> None:
    """Drop the rows that a stopped run wrote after its checkpoint: they will be written again."""
    for path in (out / LOG_FILE, out / VALIDATION_FILE):
        if path.exists():
            header, *rows = path.read_text().splitlines(keepends=True)
            path.write_text("".join([header, *(row for row in rows if int(row.partition(",")[0]) <= step)]))


def save_checkpoint(run: Run, path: Path) -> None:
    """Save all that resuming needs; a run that is stopped while saving keeps the checkpoint before."""
    state = {
        "step": run.step,
        "minutes": run.minutes,
        "recent": run.recent,
        "network": run.network.state_dict(),
        "averaged": run.averaged,
        "optimizer": run.optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load_checkpoint(run: Run, path: Path) -> None:
    """Take up a run where its checkpoint left it.

    Raises
    ------
    ReadError
        If the file is not a checkpoint of this network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run.network.load_state_dict(state["network"])
        run.optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # a garbled file makes the unpickler raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not a checkpoint of this network ({reason}); remove it to start anew."
        raise ReadError(msg) from error
    torch.set_rng_state(state["random"])
    device = next(run.network.parameters()).device
    run.step, run.minutes, run.recent = state["step"], state["minutes"], state["recent"]
    run.averaged = {k: v.to(device) for k, v in state["averaged"].items()}


def save_weights(run: Run, out: Path) -> Path:
    """Write the averaged weights in half precision, as they ship, and return their path."""
    metadata = {
        "command": "train base",
        "version": version("napari-sam2refiner"),
        "steps": str(run.step),
        "minutes": f"{run.minutes:.1f}",
    }
    write_weights(out / WEIGHTS_FILE, backbone="micro", base=run.averaged, metadata=metadata)
    return out / WEIGHTS_FILE
