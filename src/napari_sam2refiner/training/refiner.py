"""The course of a refiner: fine detail on a frozen base, and never worse than it.

Every step looks at whole fields or windows of them. A simulated user prompts objects, sees the refined mask (at times
the base's) and corrects it; after the last prompt, and after a few before it, the refined masks are compared with the
truth at S/4, S/2 and S. Quadrants are left out at random, so that each setting of `local_detail` is learned. Read top
to bottom.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.errors import InvalidConfigError
from napari_sam2refiner.network.base import BOX_START, Decoded, Features, PromptBatch
from napari_sam2refiner.training.config import RefinerTrainingConfig
from napari_sam2refiner.training.loop import Course, Moment
from napari_sam2refiner.training.losses import (
    mask_iou,
    mask_loss,
    outline_targets,
    point_loss,
    redrawn,
    sample,
    soft_iou,
    uncertain_points,
)
from napari_sam2refiner.training.readers import counted, held_out_fields, training_fields
from napari_sam2refiner.training.rounds import SEEN, Batch, Conversation, as_seen
from napari_sam2refiner.training.views import View, ViewDataset
from napari_sam2refiner.weights.format import write_weights
from napari_sam2refiner.weights.load import NO_REFINER, load_model

if TYPE_CHECKING:
    from napari_sam2refiner.network.localization import LocalFeatures
    from napari_sam2refiner.network.refiner import Refined, SAM2Refiner

MODULES = ("pixel_look", "localization", "retargeting", "refinement", "refined_score")
VALIDATED = (1, 3)  # clicks
MARGIN = 8.0  # pixels of the square around an object in which points are compared
EXPLORE = 0.25  # share of objects whose user sees the base's mask
GRADED = 3  # answers of a step with a gradient, at most: asking costs more than learning from the answer


class Turn(NamedTuple):
    """An answer: the base's and the refined one."""

    decoded: Decoded
    refined: Refined


class RefinerCourse(Course[RefinerTrainingConfig]):
    """`train refiner`.

    Parameters
    ----------
    config : RefinerTrainingConfig
    data : list of Path
        Folders of data sets, or folders that hold them.
    base : str or Path
        Name or file of the base, which stays as it is.
    start : str or Path, optional
        Refiner to start from instead of a fresh one.
    """

    command = "train refiner"
    weights_file = "refiner.safetensors"

    def __init__(
        self, config: RefinerTrainingConfig, data: list[Path], base: str | Path, start: str | Path | None = None
    ) -> None:
        super().__init__(config, data)
        torch.manual_seed(config.seed)
        self.model: SAM2Refiner = load_model(base, start or NO_REFINER, device="cpu", dtype="float32")
        if self.model.second is not None:
            msg = f"{start} is a network of its own, no refiner to start from; give a refiner trained on {base}."
            raise InvalidConfigError(msg)
        sets = training_fields(data, scenes=config.scenes, thin_scenes=config.thin_scenes, seed=config.seed)
        self._crops = ViewDataset(sets, config, self.model.base.input)
        self.held_out = held_out_fields(data, sets)
        self._trained = nn.ModuleDict({name: getattr(self.model, name) for name in MODULES})

    @property
    def trained(self) -> nn.ModuleDict:
        """The refiner's modules; their names are those of its weight files."""
        return self._trained

    @property
    def crops(self) -> ViewDataset:
        """Views of annotated fields and of scenes."""
        return self._crops

    def about(self) -> list[str]:
        """Name the base and the sets."""
        sets = self._crops.mixture.sets
        return [
            f"base {self.model.name} ({self.model.backbone}), frozen",
            f"training fields: {counted(sets)}",
            f"held out: {counted(self.held_out)}",
        ]

    def forward(self, samples: list[View], moment: Moment) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a step and figures for the log."""
        config = self.config
        if moment.progress < config.opening:
            return self._open(samples)
        rng = np.random.default_rng([config.seed, 2, moment.step, moment.rank])
        # What a step costs is drawn alike in all processes: each waits for the slowest.
        alike = np.random.default_rng([config.seed, 3, moment.step])
        rounds = 1 if alike.random() < config.single else int(alike.integers(2, config.rounds + 1))
        scene = Scene(self.model, samples, _quadrants(samples, alike, config.without_detail))
        kinds = list(config.first_prompts)
        shares = np.array(list(config.first_prompts.values()))
        kind = str(rng.choice(kinds, p=shares / shares.sum()))
        talk = Conversation(scene.batch, {kind: 1.0}, rng)
        graded = {rounds - 1, *rng.permutation(rounds - 1)[: GRADED - 1].tolist()}
        losses = []
        seen = look_loss(scene.look.seen, samples)
        for number, turn in enumerate(scene.converse(talk, rounds, explore=EXPLORE, graded=graded)):
            if number in graded:
                # A mask that was given is to be mended where it was drawn too far in or out too.
                given = "mask" in kind
                truth = scene.truth if given else redrawn(scene.truth, turn.decoded.chosen_logits)
                loss, ious = refiner_loss(turn, scene.batch, truth, config, rng)
                losses.append(loss)
        loss = torch.stack(losses).mean() + config.look_weight * seen
        base, refined = ious[0].mean().item(), ious[1].mean().item()
        harmed = (ious[1] < ious[0] - 0.02).float().mean().item()
        return loss, {"loss": loss.item(), "iou_base": base, "iou_refined": refined, "harmed": harmed}

    def _open(self, samples: list[View]) -> tuple[Tensor, dict[str, float]]:
        """Learn what is seen in the pixels, and nothing else."""
        pixels = torch.cat([view.frame.pixels(view.image.to(next(self.model.parameters()).device)) for view in samples])
        look = self.model.look(self.model.encode(pixels), pixels)
        loss = look_loss(look.seen, samples)
        return loss, {"loss": loss.item(), "iou_base": math.nan, "iou_refined": math.nan, "harmed": math.nan}

    def validate(self) -> dict[str, float]:
        """Return IoU of base and refiner after clicks on views of each held-out set, all quadrants looked up."""
        config = self.config.model_copy(update={"plain": 1.0, "weights": {}})
        figures: dict[str, float] = {}
        for name, fields in self.held_out.items():
            only = ViewDataset({name: fields}, config, self.model.base.input, first=1)
            found: dict[str, list[Tensor]] = {}
            for number in range(self.config.validation_views):
                view = only[number]
                scene = Scene(self.model, [view], [(0, place) for place in view.frame.places()])
                for who in ("base", "refined"):
                    talk = Conversation(scene.batch, {"click": 1.0}, np.random.default_rng(number))
                    turns = list(scene.converse(talk, max(VALIDATED), explore=float(who == "base")))
                    for clicks in VALIDATED:
                        both = _ious(turns[clicks - 1], scene.batch)
                        found.setdefault(f"{name}_{who}_{clicks}", []).append(both[int(who == "refined")])
            figures.update({column: torch.cat(ious).mean().item() for column, ious in found.items()})
        if figures:
            for who in ("base", "refined"):
                for clicks in VALIDATED:
                    column = [figures[f"{name}_{who}_{clicks}"] for name in self.held_out]
                    figures[f"mean_{who}_{clicks}"] = float(np.mean(column))
        return figures

    def merit(self, figures: dict[str, float]) -> float:
        """What the worst set gains: a mean would hide a set that is harmed."""
        return min(
            float(np.mean([figures[f"{name}_refined_{n}"] - figures[f"{name}_base_{n}"] for n in VALIDATED]))
            for name in self.held_out
        )

    def describe(self, figures: dict[str, float]) -> str:
        """Words for a row of the log or of a validation."""
        if "mean_base_1" in figures:
            pairs = (f"{figures[f'mean_base_{n}']:.3f} to {figures[f'mean_refined_{n}']:.3f}" for n in VALIDATED)
            return (
                f"held-out IoU {' after 1 click, '.join(pairs)} after {VALIDATED[-1]}, worst {self.merit(figures):+.3f}"
            )
        before, after, harmed = (figures[name] for name in ("iou_base", "iou_refined", "harmed"))
        if math.isnan(before):
            return f"loss {figures['loss']:.3f}"
        return f"loss {figures['loss']:.3f}, IoU {before:.3f} to {after:.3f}, {harmed:.0%} harmed"

    def write(self, path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Write a file with the refiner alone."""
        assert self.model.backbone is not None, "load_model sets it"
        about = {**metadata, "base": str(self.model.name)}
        write_weights(path, backbone=self.model.backbone, refiner=weights, metadata=about)


class Scene:
    """Views, encoded, with their objects and the detail that was looked up.

    Parameters
    ----------
    model : SAM2Refiner
    views : list of View
    quadrants : list of (int, int)
        View and place of the quadrants to look up.

    Attributes
    ----------
    batch : Batch
        B views and N objects in the network's square.
    truth : (N, S, S) tensor
        Share of each pixel that an object covers.
    """

    def __init__(self, model: SAM2Refiner, views: list[View], quadrants: list[tuple[int, int]]) -> None:
        device = next(model.parameters()).device
        self.model = model
        self.truth = torch.cat([view.truth for view in views]).to(device)
        image = torch.tensor([b for b, view in enumerate(views) for _ in view.truth], device=device)
        pixels = torch.cat([view.frame.pixels(view.image.to(device)) for view in views])
        self.batch = Batch(pixels, image, self.truth >= 0.5, as_seen(self.truth).cpu().numpy())
        self.features = model.encode(pixels)
        self.look = model.look(self.features, pixels)
        self.local = self._look_up(views, quadrants)

    def _look_up(self, views: list[View], quadrants: list[tuple[int, int]]) -> LocalFeatures | None:
        """Encode quadrants and put their detail together."""
        if not quadrants:
            return None
        device = self.batch.pixels.device
        places = [[place for of, place in quadrants if of == b] for b in range(len(views))]  # in their order
        parts = [
            v.frame.quadrants(v.image.to(device), wanted) for v, wanted in zip(views, places, strict=True) if wanted
        ]
        image, place = torch.tensor(quadrants, device=device).unbind(1)
        local: Features = self.model.encode_local(torch.cat(parts))
        return self.model.localize(self.features, local, image, place)

    def converse(
        self, talk: Conversation, rounds: int, *, explore: float, graded: Collection[int] = ()
    ) -> Iterator[Turn]:
        """Ask round after round; answers of the rounds in `graded` have a gradient.

        `explore` is the share of objects whose user sees the base's mask instead of the refined one.
        """
        for number in range(rounds):
            prompts = talk.prompts()
            with torch.set_grad_enabled(number in graded):
                turn = self._answer(prompts, first=number == 0)
            yield turn
            if number + 1 < rounds:
                wander = torch.from_numpy(talk.rng.random(len(self.truth)) < explore).to(self.truth.device)
                shown = torch.where(wander[:, None, None], turn.decoded.chosen_logits, turn.refined.logits)
                talk.correct(talk.kept_elsewhere(shown.detach().float(), self.model.base.input.late_click))

    def _answer(self, prompts: PromptBatch, *, first: bool) -> Turn:
        """Answer by the base, without a gradient, and refine."""
        single = first and not bool(prompts.has_mask.any() or (prompts.labels == BOX_START).any())
        with torch.no_grad():
            decoded = self.model.base.decode(self.features, self.batch.image, prompts, multimask=single)
        image = self.batch.image
        return Turn(decoded, self.model.refine(self.features, self.local, image, prompts, decoded, self.look))


def _quadrants(views: list[View], rng: np.random.Generator, without: float) -> list[tuple[int, int]]:
    """Choose view and place of the quadrants to look up: none, some or all."""
    there = [(b, place) for b, view in enumerate(views) for place in view.frame.places()]
    draw = rng.random()
    if draw < without:
        return []
    share = 1.0 if draw < (1.0 + without) / 2 else rng.uniform(0.2, 0.8)
    return [one for one in there if rng.random() < share]


def look_loss(seen: Tensor, views: list[View]) -> Tensor:
    """Loss of where any object is seen, and any outline: logits (B, 2, S/2, S/2) against the labels of the views."""
    truth = []
    for view in views:
        labels = view.labels[None, None].to(seen.device, torch.float32)
        rows, columns = view.frame.content
        drawn = F.interpolate(labels, size=(rows, columns), mode="nearest-exact")[:, 0]
        shares = torch.cat(outline_targets(drawn))  # (2, rows, columns)
        side = view.frame.spec.side
        truth.append(F.avg_pool2d(F.pad(shares, (0, side - columns, 0, side - rows)), 2))
    target = torch.stack(truth)
    # Dice too: of a few thin lines in a wide field the cross-entropy hardly tells.
    inside = seen.float().sigmoid()
    both, either = (inside * target).sum((2, 3)), inside.sum((2, 3)) + target.sum((2, 3))
    dice = 1.0 - (2.0 * both + 10.0) / (either + 10.0)
    return F.binary_cross_entropy_with_logits(seen.float(), target) + 0.5 * dice.mean()


def refiner_loss(
    turn: Turn, batch: Batch, truth: Tensor, config: RefinerTrainingConfig, rng: np.random.Generator
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the loss of refined masks, and the IoU (N,) of base and refined masks as the user sees them.

    `truth` (N, S, S) is what the masks are to become; the IoU is that with the truth of the batch. Masks are compared
    everywhere at S/4, and at uncertain points around the object at S/2 and S. What is lost against the base at these
    points costs extra.
    """
    logits, tiles = turn.refined.logits.float(), turn.refined.tiles
    before = turn.decoded.chosen_logits.float()
    coarse = mask_loss(logits, F.avg_pool2d(truth[:, None], 4)[:, 0])
    full, half = tiles.add_to(logits), tiles.add_half_to(logits)
    points = uncertain_points(full, _surroundings(truth, before), config.points, rng)
    target = sample(truth, points)
    fine = point_loss(sample(full, points), target)
    middle = point_loss(sample(half, points), target)
    harm = F.relu(soft_iou(sample(before, points), target) - soft_iou(sample(full, points), target))
    ious = _ious(turn, batch)
    score = (turn.refined.score.float() - ious[1]).square()
    loss = (
        coarse + config.fine_weight * (fine + 0.5 * middle) + config.harm_weight * harm + config.score_weight * score
    ).mean()
    return loss, ious


def _ious(turn: Turn, batch: Batch) -> tuple[Tensor, Tensor]:
    """IoU (N,) of base and refined masks at the resolution that the user sees."""
    seen = torch.from_numpy(batch.seen).to(batch.pixels.device)
    with torch.no_grad():
        logits = turn.refined.logits.float()
        before = F.interpolate(turn.decoded.chosen_logits[:, None].float(), size=seen.shape[1:], mode="bilinear")[:, 0]
        after = F.avg_pool2d(turn.refined.tiles.add_to(logits)[:, None], SEEN)[:, 0]
        return mask_iou(before, seen), mask_iou(after, seen)


def _surroundings(truth: Tensor, logits: Tensor) -> Tensor:
    """Boxes (N, 4), x0 y0 x1 y1, around the truth (N, S, S) and the base's mask (N, h, h), with a margin."""
    side = truth.shape[-1]
    either = (F.max_pool2d(truth[:, None], 4)[:, 0] > 0) | (logits > 0)
    axis = torch.arange(either.shape[-1], device=truth.device, dtype=truth.dtype) * 4.0
    boxes = []
    for sides in (either.any(1), either.any(2)):  # columns, rows
        low = torch.where(sides, axis, float(side)).amin(1)
        high = torch.where(sides, axis + 4.0, 0.0).amax(1)
        boxes.append(((low - MARGIN).clamp(min=0.0), (high + MARGIN).clamp(max=float(side))))
    (x0, x1), (y0, y1) = boxes
    return torch.stack([x0, y0, x1, y1], 1)
