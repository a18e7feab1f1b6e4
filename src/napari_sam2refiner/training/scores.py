"""The course of the scores: `micro`'s predicted IoU, by which its level and its cut are chosen, as sessions need it.

All else is frozen, so each answer of the network is described once and remembered, and a step learns from hundreds of
them: the few numbers that the score sees take many small steps, and no gradient through the network. Read top to
bottom: `ScoresCourse`, `Quality`, `Answers`.

Letters: N answers, L levels, C cuts, F numbers that describe a mask.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from napari_sam2refiner.network.backbones import freeze
from napari_sam2refiner.network.micro import SCALES, MaskQuality, MicroBase, at_scale
from napari_sam2refiner.training.config import ScoreTrainingConfig
from napari_sam2refiner.training.crop_course import CropCourse, in_words
from napari_sam2refiner.training.crops import Crop, CropDataset
from napari_sam2refiner.training.losses import scores_loss
from napari_sam2refiner.training.rounds import Conversation, collate, converse
from napari_sam2refiner.weights.format import write_weights

if TYPE_CHECKING:
    from napari_sam2refiner.training.loop import Moment

FIRST_CROPS = 24  # that say how the numbers are spread
LEAST_SPREAD = 0.1  # of a number; one that hardly ever differs must not weigh most where it does


class ScoresCourse(CropCourse[ScoreTrainingConfig]):
    """`train scores`.

    Parameters
    ----------
    config : ScoreTrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    start : dict of str to Tensor
        Weights of the base whose scores are trained.
    """

    command = "train scores"

    def __init__(self, config: ScoreTrainingConfig, data: list[Path], start: dict[str, Tensor]) -> None:
        super().__init__(config, data)
        self.network = MicroBase()
        self.network.load_state_dict(start)
        freeze(self.network)
        examples = CropDataset(self.crops.mixture.sets, config, first=2)
        rng = np.random.default_rng([config.seed, 3])
        self.answers = Answers.none()
        for number in range(FIRST_CROPS):
            self._ask([examples[number]], self._rounds(number), rng)
        self.quality = Quality(self.network.mask_quality, self.answers.seen.flatten(0, 1))

    @property
    def trained(self) -> Quality:
        """What the score makes of a mask's description."""
        return self.quality

    def forward(self, samples: list[Crop], moment: Moment) -> tuple[Tensor, dict[str, float]]:
        """Remember what is answered on crops, and learn from some of all that is remembered."""
        config = self.config
        rng = np.random.default_rng([config.seed, 2, moment.step, moment.rank])
        self._ask(samples, self._rounds(moment.step), rng)
        return self.learn(rng)

    def learn(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of some answers that are remembered, and figures for the log."""
        config = self.config
        some = self.answers.drawn(config.batch, rng)
        scores = (some.before + self.quality(some.seen)).float()
        loss = scores_loss(scores, some.ious, config.score_weight, config.choice_weight)
        chosen = some.ious.flatten(1).gather(1, scores.flatten(1).argmax(1, keepdim=True))
        error = (scores.sigmoid() - some.ious).abs().mean()
        best = some.ious.amax((1, 2)).mean()
        return loss, {
            "loss": loss.item(),
            "iou_chosen": chosen.mean().item(),
            "iou_possible": best.item(),
            "score_error": error.item(),
        }

    def _rounds(self, number: int) -> int:
        """How many prompts the objects of a step get."""
        return self.config.long_rounds if number % 8 == 7 else self.config.rounds

    @torch.no_grad()
    def _ask(self, samples: list[Crop], rounds: int, rng: np.random.Generator) -> None:
        """Ask the network about crops, and remember what it answers."""
        network = self.network
        objects = max(1, self.config.objects * self.config.rounds // max(rounds, self.config.rounds))
        batch = collate(samples, network, objects, next(network.parameters()).device)
        talk = Conversation(batch, self.config.first_prompts, rng)
        levels = network.encode(batch.pixels).levels
        for turn in converse(network, levels, batch, talk, rounds, explore=0.25, anywhere=False):
            seen = [
                network.mask_quality.describe(
                    level.instances, batch.image, answer.logits, at_scale(turn.prompts, scale)
                )
                for level, answer, scale in zip(levels, turn.answers, SCALES, strict=True)
            ]
            before = [
                answer.score_logits.float() - network.mask_quality.layers(one).float()
                for answer, one in zip(turn.answers, seen, strict=True)
            ]
            new = Answers(torch.stack(seen, 1), torch.stack(before, 1), turn.ious)
            self.answers = self.answers.and_then(new, self.config.remembered)

    def validate(self, crops: int = 96) -> dict[str, float]:
        """Return IoU after one and three clicks on crops of each held-out set."""
        network = copy.deepcopy(self.network)
        network.mask_quality.load_state_dict(self.quality.folded())
        return self.after_clicks(network, crops)

    def describe(self, figures: dict[str, float]) -> str:
        """Words for a row of the log or of a validation."""
        if "mean_1" in figures:
            return in_words(figures)
        chosen, best = figures["iou_chosen"], figures["iou_possible"]
        return f"loss {figures['loss']:.3f}, IoU {chosen:.3f} of the chosen masks, {best:.3f} of the best"

    def write(self, path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write a file with the base, its scores renewed."""
        quality = copy.deepcopy(self.quality)
        quality.load_state_dict(weights)
        base = self.network.state_dict() | {f"mask_quality.{k}": v for k, v in quality.folded().items()}
        write_weights(path, backbone="micro", base=base, metadata=metadata)


class Quality(nn.Module):
    """The layers of a `MaskQuality` behind its numbers brought to mean zero and spread one, at first to the same end.

    Parameters
    ----------
    like : MaskQuality
    seen : (N, F)
        Numbers that say what their means and spreads are.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, like: MaskQuality, seen: Tensor) -> None:
        super().__init__()
        self.register_buffer("center", seen.mean(0))
        self.register_buffer("spread", seen.std(0).clamp(min=LEAST_SPREAD))
        self.layers = copy.deepcopy(like.layers).requires_grad_()
        first = self._first()
        with torch.no_grad():
            first.bias.add_(first.weight @ self.center)
            first.weight.mul_(self.spread)

    def _first(self) -> nn.Linear:
        """Return the first layer."""
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear), "as a MaskQuality has it"
        return layer

    def forward(self, seen: Tensor) -> Tensor:
        """Return corrections (..., C) from numbers (..., F)."""
        corrections: Tensor = self.layers((seen - self.center) / self.spread)
        return corrections

    def folded(self) -> dict[str, Tensor]:
        """State dict of a `MaskQuality` that does the same."""
        state = {f"layers.{k}": v.detach().clone() for k, v in self.layers.state_dict().items()}
        weight = state["layers.0.weight"] / self.spread
        state["layers.0.bias"] -= weight @ self.center
        return state | {"layers.0.weight": weight}


class Answers(NamedTuple):
    """Answers of the network, without their masks.

    Attributes
    ----------
    seen : (N, L, F)
        What the score sees of each level's mask.
    before : (N, L, C)
        Score logits without what a `Quality` adds.
    ious : (N, L, C)
    """

    seen: Tensor
    before: Tensor
    ious: Tensor

    @classmethod
    def none(cls) -> Answers:
        """Return none."""
        return cls(torch.empty(0), torch.empty(0), torch.empty(0))

    def and_then(self, later: Answers, most: int) -> Answers:
        """Return these and later ones, of them the latest."""
        if not len(self.seen):
            return later
        return Answers(*(torch.cat([old.to(new.device), new])[-most:] for old, new in zip(self, later, strict=True)))

    def drawn(self, count: int, rng: np.random.Generator) -> Answers:
        """Return so many of them, drawn at random."""
        rows = torch.from_numpy(rng.integers(0, len(self.seen), count)).to(self.seen.device)
        return Answers(*(values[rows] for values in self))
