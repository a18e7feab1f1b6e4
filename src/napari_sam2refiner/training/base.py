"""The course of a base: `micro` learns to answer prompts as SAM was taught, by a prompt and clicks where it was wrong.

Every step takes crops from annotated fields and synthetic scenes, encodes them at three scales, and lets a simulated
user talk to all scales at once: what they agree on is what the user sees and corrects. Some steps can end
before the decoder, with many objects. Read top to bottom: `BaseCourse`, `level_targets`, `outline_loss`, `masks_loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.network.micro import SCALES, Level, MicroBase, at_scale
from napari_sam2refiner.training.config import BaseTrainingConfig
from napari_sam2refiner.training.crop_course import CropCourse, in_words
from napari_sam2refiner.training.losses import mask_loss, outline_targets, scores_loss
from napari_sam2refiner.training.rounds import Batch, Conversation, CropBatch, Round, collate, converse
from napari_sam2refiner.weights.format import write_weights

if TYPE_CHECKING:
    from napari_sam2refiner.training.crops import Crop
    from napari_sam2refiner.training.loop import Moment

NOT_TRAINED = ("memory_", "maskmem_", "obj_ptr", "no_obj", "mask_downsample", "no_mem_pos")


class BaseCourse(CropCourse[BaseTrainingConfig]):
    """`train base`.

    Parameters
    ----------
    config : BaseTrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    start : dict of str to Tensor, optional
        Weights to start from instead of random ones.
    """

    command = "train base"

    def __init__(self, config: BaseTrainingConfig, data: list[Path], start: dict[str, Tensor] | None = None) -> None:
        super().__init__(config, data)
        self.network = MicroBase()
        if start is not None:
            self.network.load_state_dict(start)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(NOT_TRAINED))

    @property
    def trained(self) -> MicroBase:
        """The network; its memory is not trained here."""
        return self.network

    def forward(self, samples: list[Crop], moment: Moment) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step and figures for the log."""
        config, device = self.config, next(self.network.parameters()).device
        rng = np.random.default_rng([config.seed, 2, moment.step, moment.rank])
        if self.guesses_only(moment.step):
            return self.guess_loss(collate(samples, self.network, config.guess_objects, device), rng)
        full_steps = moment.step - int(moment.step * config.guess_steps)
        rounds = self.rounds(full_steps, moment.progress)
        objects = max(1, config.objects * min(rounds, config.rounds) // rounds)
        return self.loss(collate(samples, self.network, objects, device), rounds, rng)

    def guesses_only(self, step: int) -> bool:
        """Whether a step ends before the decoder; spread evenly, and the same in every process."""
        share = self.config.guess_steps
        return int((step + 1) * share) > int(step * share)

    def rounds(self, step: int, progress: float) -> int:
        """How many prompts each object gets, after so many steps with the decoder."""
        if step % 8 == 7:
            return self.config.long_rounds
        return 1 if progress < self.config.opening else self.config.rounds

    def guess_loss(self, batch: CropBatch, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of what comes before the decoder, and figures for the log."""
        config = self.config
        prompts = Conversation(batch, config.first_prompts, rng).prompts()
        levels = self.network.encode(batch.pixels).levels
        targets, trust = level_targets(batch)
        loss = config.outline_weight * outline_loss(levels, batch)
        for index, (level, scale) in enumerate(zip(levels, SCALES, strict=True)):
            guess, fused = self.network.guess_level(level, batch.image, at_scale(prompts, scale))
            per_object = mask_loss(fused.float(), targets[index]) + config.guess_weight * mask_loss(
                guess.float(), targets[index]
            )
            loss = loss + (per_object * trust[:, index]).sum() / trust.sum()
        return loss, {"loss_guess": loss.item()}

    def loss(self, batch: CropBatch, rounds: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch and figures for the log."""
        config = self.config
        talk = Conversation(batch, config.first_prompts, rng)
        levels = self.network.encode(batch.pixels).levels
        targets, trust = level_targets(batch)
        loss = config.outline_weight * outline_loss(levels, batch)
        history = list(converse(self.network, levels, batch, talk, rounds, explore=0.25, anywhere=True))
        for turn in history:
            scores = scores_loss(turn.score_logits.float(), turn.ious, config.score_weight, config.choice_weight)
            loss = loss + (masks_loss(turn, targets, trust, config) + scores) / rounds
        first, last = history[0], history[-1]
        shown = [turn.chosen_iou().mean().item() for turn in (first, last)]
        error = (first.score_logits.sigmoid() - first.ious).abs().mean().item()
        best = first.ious.amax((1, 2)).mean().item()
        figures = {"loss": loss.item(), "iou_1": shown[0], "iou_last": shown[1], "iou_best": best, "score_error": error}
        return loss, figures

    def validate(self, crops: int = 96) -> dict[str, float]:
        """Return IoU after one and three clicks on crops of each held-out set."""
        return self.after_clicks(self.network, crops)

    def describe(self, figures: dict[str, float]) -> str:
        """Words for a row of the log or of a validation."""
        if "mean_1" in figures:
            return in_words(figures)
        first, last = figures["iou_1"], figures["iou_last"]
        return f"loss {figures['loss']:.3f}, IoU {first:.3f} after the first prompt, {last:.3f} after the last"

    def write(self, path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write a file with the base."""
        write_weights(path, backbone="micro", base=weights, metadata=metadata)


def level_targets(batch: Batch) -> tuple[list[Tensor], Tensor]:
    """Targets (N, h, w) of each level, and how much each level can be asked, (N, L).

    An object of less than eight pixels of a level is hardly to be seen there.
    """
    truth = batch.truth[:, None].float()
    targets = [F.avg_pool2d(truth, 4 * scale)[:, 0] for scale in SCALES]
    extent = torch.maximum(truth.amax(3).sum(2), truth.amax(2).sum(2))[:, 0]
    trust = torch.stack([(extent / scale / 8.0).clamp(0.05, 1.0) ** 2 for scale in SCALES], 1)
    return targets, trust


def outline_loss(levels: Sequence[Level], batch: CropBatch) -> Tensor:
    """Loss of foreground and boundary on every level: a help to the features, and to the score."""
    foreground, boundary = outline_targets(batch.labels)
    total = foreground.new_zeros(())
    for level, scale in zip(levels, SCALES, strict=True):
        for logits, truth in ((level.instances.foreground, foreground), (level.instances.boundary, boundary)):
            target = F.avg_pool2d(truth[:, None], 4 * scale)[:, 0]
            total = total + F.binary_cross_entropy_with_logits(logits.float(), target) / len(SCALES)
    return total


def masks_loss(turn: Round, targets: list[Tensor], trust: Tensor, config: BaseTrainingConfig) -> Tensor:
    """Loss of one round's masks on all levels."""
    total = trust.new_zeros(())
    for index, (answer, target) in enumerate(zip(turn.answers, targets, strict=True)):
        parts = ((answer.logits, 1.0), (answer.fused, config.fused_weight), (answer.guess, config.guess_weight))
        per_object = sum(weight * mask_loss(logits.float(), target) for logits, weight in parts)
        total = total + (per_object * trust[:, index]).sum() / trust.sum()
        total = total + 0.01 * F.softplus(-answer.object_logits.float()).mean()  # whoever is asked for is there
    return total
