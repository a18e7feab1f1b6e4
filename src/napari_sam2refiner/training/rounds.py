"""Rounds of prompts on a batch of crops, as a user would give them: the heart of training and validation of a base.

Letters: B crops of side S, N objects, L levels of the pyramid, C cuts of the logits, T = S / 2 (the
resolution the user sees the masks at).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.labels.thresholds import otsu_watershed, part_over
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, PromptBatch, pick
from napari_sam2refiner.network.frames import MASK_LOGIT
from napari_sam2refiner.network.micro import CUTS, SCALES, Level, LevelAnswer, MicroBase, at_scale, consensus
from napari_sam2refiner.planes.region import bounding_window
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.corrections import connected_to_clicks
from napari_sam2refiner.simulated_user import deepest_point, next_click, noisy_box, noisy_mask, random_points, tight_box
from napari_sam2refiner.training.losses import mask_iou

if TYPE_CHECKING:
    from napari_sam2refiner.training.crops import Crop

TOOL_IOU = 0.3  # that another tool's label must have with an object to be a label of it
CLICKS = (POSITIVE, NEGATIVE)
SEEN = 2  # pixels of the crop in one pixel of what the simulated user looks at


@dataclass(frozen=True, eq=False)
class Batch:
    """What is shown to the network, and the objects in it.

    Attributes
    ----------
    pixels : (B, 3, S, S)
        Normalised for the network.
    image : (N,) int64
        Crop of each object.
    truth : (N, S, S) bool
    seen : (N, T, T) bool numpy array
        The truth as the simulated user sees it.
    """

    pixels: Tensor
    image: Tensor
    truth: Tensor
    seen: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CropBatch(Batch):
    """Crops and the objects taken from them.

    Attributes
    ----------
    labels : (B, S, S) int32
    annotated_truth : tuple of (K, Y, X) bool
        The truth of each crop's objects as `Crop.annotated` has it.
    """

    labels: Tensor
    annotated_truth: tuple[Tensor, ...]


class Round(NamedTuple):
    """What all levels say after one prompt more.

    Attributes
    ----------
    answers : tuple of LevelAnswer
        One for each level.
    score_logits, ious : (N, L, C)
        Predicted (before the sigmoid) and true IoU of each level's mask at each cut, at the resolution of the field.
    shown : (N, S/4, S/4)
        Logits of the masks that the user saw.
    prompts : PromptBatch
        All so far, in pixels of the crop.
    """

    answers: tuple[LevelAnswer, ...]
    score_logits: Tensor
    ious: Tensor
    shown: Tensor
    prompts: PromptBatch

    def chosen_iou(self) -> Tensor:
        """IoU (N,) of the mask with the best score."""
        return self.ious.flatten(1).gather(1, self.score_logits.flatten(1).argmax(1, keepdim=True))[:, 0]


def collate(crops: list[Crop], network: MicroBase, objects: int, device: torch.device) -> CropBatch:
    """Put crops together; at most `objects` of each."""
    pixels = torch.stack([c.pixels for c in crops]).to(device, memory_format=torch.channels_last)
    mean, std = (pixels.new_tensor(v).reshape(3, 1, 1) for v in (network.input.mean, network.input.std))
    labels = torch.stack([c.labels for c in crops])
    chosen = [torch.tensor(c.chosen[:objects])[:, None, None] for c in crops]
    truth = torch.cat([crop.labels == ids for crop, ids in zip(crops, chosen, strict=True)])
    image = torch.tensor([b for b, ids in enumerate(chosen) for _ in ids])
    return CropBatch(
        # what lies outside the plane is zero after normalisation, as the padding of a letterboxed plane
        pixels=((pixels - mean) / std).nan_to_num(0.0),
        image=image.to(device),
        truth=truth.to(device),
        seen=as_seen(truth).numpy(),
        labels=labels.to(device),
        annotated_truth=tuple((crop.annotated == ids).to(device) for crop, ids in zip(crops, chosen, strict=True)),
    )


def as_seen(truth: Tensor) -> Tensor:
    """Return masks (N, S, S) at the resolution of the simulated user, (N, T, T), as large as they are.

    Of the pixels that are half covered every other one is inside: all of them would make an object half a pixel wider.
    """
    share = F.avg_pool2d(truth[:, None].float(), SEEN)[:, 0]
    rows, columns = (torch.arange(n, device=truth.device) for n in share.shape[1:])
    return (share > 0.5) | ((share == 0.5) & ((rows[:, None] + columns) % 2 == 0))


class Conversation:
    """The prompts given so far for N objects, in pixels of the crop."""

    def __init__(self, batch: Batch, kinds: Mapping[Any, float], rng: np.random.Generator) -> None:
        self.batch = batch
        self.rng = rng
        self.points: list[list[tuple[float, float]]] = [[] for _ in batch.seen]  # (x, y)
        self.labels: list[list[int]] = [[] for _ in batch.seen]
        side = batch.truth.shape[-1] // 4
        self.previous = torch.zeros(len(batch.seen), 1, side, side)
        self.has_previous = torch.zeros(len(batch.seen), dtype=torch.bool)
        self._parts: dict[int, npt.NDArray[np.int32]] = {}  # of each image, by another tool
        shares = np.array(list(kinds.values()))
        for n, kind in enumerate(rng.choice(list(kinds), len(batch.seen), p=shares / shares.sum())):
            self._open(n, str(kind))

    def _open(self, n: int, kind: str) -> None:
        """Give object n its first prompts."""
        seen = self.batch.seen[n]
        if not seen.any() or kind == "click":
            self._click_deepest(n)
        elif kind == "random_click":
            y, x = random_points(seen, 1, self.rng)[0]
            self._click(n, int(y), int(x), POSITIVE)
        elif kind in ("box", "noisy_box", "box_and_click"):
            self._box(n, tight_box(seen) if kind == "box" else noisy_box(seen, self.rng))
            if kind == "box_and_click":
                self._click_deepest(n)
        else:
            found = self._tool_mask(n) if kind == "tool_mask" else None
            drawn = noisy_mask(seen, self.rng) if found is None else found
            rough = torch.from_numpy(drawn)[None, None].float()
            self.previous[n] = MASK_LOGIT * (2.0 * F.avg_pool2d(rough, 4 // SEEN)[0] - 1.0)
            self.has_previous[n] = True
            if kind == "mask_and_click":
                self._correct(n, drawn)

    def _tool_mask(self, n: int) -> npt.NDArray[np.bool_] | None:
        """Label that another tool gives object n, if it is a label of that object at all."""
        image = int(self.batch.image[n])
        if image not in self._parts:
            self._parts[image] = _tool_labels(self.batch.pixels[image])
        part = part_over(self._parts[image], self.batch.seen[n])
        return part if part is not None and iou(part, self.batch.seen[n]) >= TOOL_IOU else None

    def _box(self, n: int, box: tuple[float, float, float, float]) -> None:
        """Draw a box of what is seen."""
        y0, x0, y1, x1 = box
        corners = [((x + 0.5) * SEEN - 0.5, (y + 0.5) * SEEN - 0.5) for y, x in ((y0, x0), (y1, x1))]
        self.points[n] += corners
        self.labels[n] += [BOX_START, BOX_END]

    def _click_deepest(self, n: int) -> None:
        """Click on the middle of object n."""
        point = deepest_point(self.batch.seen[n])
        self._click(n, *(point if point is not None else self._any_pixel(n)), POSITIVE)

    def _correct(self, n: int, mask: npt.NDArray[np.bool_]) -> None:
        """Click where a mask is most wrong, if it is."""
        click = next_click(mask, self.batch.seen[n])
        if click is not None:
            self._click(n, click.y, click.x, POSITIVE if click.positive else NEGATIVE)

    def _any_pixel(self, n: int) -> tuple[int, int]:
        """A pixel of an object too thin to be seen at half resolution."""
        y, x = torch.nonzero(self.batch.truth[n])[0].tolist()
        return y // SEEN, x // SEEN

    def _click(self, n: int, y: int, x: int, label: int) -> None:
        jitter = self.rng.uniform(-0.5, 0.5, 2)
        self.points[n].append(((x + 0.5 + jitter[0]) * SEEN - 0.5, (y + 0.5 + jitter[1]) * SEEN - 0.5))
        self.labels[n].append(label)

    def prompts(self) -> PromptBatch:
        """Return what was said so far, padded to the longest."""
        longest = max(max(map(len, self.labels)), 1)
        coords = np.zeros((len(self.points), longest, 2), np.float32)
        labels = np.full((len(self.points), longest), PADDING, np.int32)
        for n, (points, own) in enumerate(zip(self.points, self.labels, strict=True)):
            coords[n, : len(points)], labels[n, : len(own)] = np.reshape(points, (-1, 2)), own
        device = self.batch.pixels.device
        return PromptBatch(
            torch.from_numpy(coords).to(device),
            torch.from_numpy(labels).to(device),
            self.previous.to(device),
            self.has_previous.to(device),
        )

    def kept_elsewhere(self, logits: Tensor, late: int | None) -> Tensor:
        """Keep what the user saw before wherever a late click does not mean it, as a session does; (N, h, h).

        `late` is the number of clicks from which on one is late; None is never.
        """
        out = logits.clone()
        for n, (points, labels) in enumerate(zip(self.points, self.labels, strict=True)):
            clicks = [(point, label) for point, label in zip(points, labels, strict=True) if label in CLICKS]
            if late is None or len(clicks) < late or not self.has_previous[n]:
                continue
            places = [((y + 0.5) / 4 - 0.5, (x + 0.5) / 4 - 0.5) for (x, y), _ in clicks]
            prompts = Prompts(places, [int(label == POSITIVE) for _, label in clicks])
            kept = connected_to_clicks(logits[n].cpu().numpy(), self.previous[n, 0].numpy(), prompts)
            if kept is not None:
                out[n] = torch.from_numpy(kept).to(out)
        return out

    def correct(self, shown: Tensor) -> None:
        """Look at the masks shown, logits (N, S/4, S/4), and click where each is most wrong."""
        self.previous, self.has_previous = shown[:, None].cpu(), torch.ones_like(self.has_previous)
        masks = F.interpolate(self.previous, scale_factor=4 // SEEN, mode="bilinear", align_corners=False)[:, 0] > 0
        for n, mask in enumerate(masks.numpy()):
            self._correct(n, mask)


def converse(
    network: MicroBase,
    levels: Sequence[Level],
    batch: CropBatch,
    talk: Conversation,
    rounds: int,
    *,
    explore: float,
    anywhere: bool,
) -> Iterator[Round]:
    """Ask the network round after round.

    Parameters
    ----------
    explore : float
        Share of objects whose user sees the mask of a random level instead of what the candidates agree on.
    anywhere : bool
        Whether to move the positional encoding's origin at random, so that every place of the full input is learned.
    """
    rng = talk.rng
    objects = len(batch.truth)
    finest = levels[0].features.stride4.shape[-1]
    origins = []
    for level in levels:
        room = network.image_size // network.backbone_stride - level.features.embedding.shape[-1]
        row, column = rng.integers(0, room + 1, 2).tolist() if anywhere else (0, 0)
        origins.append((row, column))
    for number in range(rounds):
        prompts = talk.prompts()
        answers = tuple(
            network.decode_level(level, batch.image, at_scale(prompts, scale), origin)
            for level, scale, origin in zip(levels, SCALES, origins, strict=True)
        )
        with torch.no_grad():
            ious = torch.stack([drawn_iou(_resize(a.logits, finest), batch, CUTS) for a in answers], 1)
            masks = torch.stack([_resize(a.best()[0], finest) for a in answers], 1)
            random = torch.from_numpy(rng.integers(0, len(SCALES), objects)).to(masks.device)
            wander = torch.from_numpy(rng.random(objects) < explore).to(masks.device)
            agreed = consensus(answers, masks.shape[-2:])
            shown = torch.where(wander[:, None, None], pick(masks, random), agreed)
        yield Round(answers, torch.stack([a.score_logits for a in answers], 1), ious, shown, prompts)
        if number + 1 < rounds:
            talk.correct(shown)


def _tool_labels(pixels: Tensor) -> npt.NDArray[np.int32]:
    """Labels (T, T) that another tool finds in a crop (3, S, S), without the zeros around a plane."""
    seen = F.avg_pool2d(pixels.float(), SEEN).permute(1, 2, 0).cpu().numpy()
    labels = np.zeros(seen.shape[:2], np.int32)
    inside = bounding_window(np.any(seen, axis=2))
    if inside is not None:
        labels[inside] = otsu_watershed(seen[inside])  # the pixels' scale makes no difference
    return labels


def drawn_iou(logits: Tensor, batch: CropBatch, cuts: Sequence[float] = (0.0,)) -> Tensor:
    """IoU (N, C) of masks (N, S/4, S/4) at each cut, as a session draws them: sampled at the pixels of the field.

    Measured where the network sees them, outlines further in are the better ones: an enlarged pixel has corners.
    """
    found = logits.new_empty(len(logits), len(cuts), dtype=torch.float32)
    for index, truth in enumerate(batch.annotated_truth):
        drawn = _resize(logits[batch.image == index], truth.shape[1:])
        found[batch.image == index] = torch.stack([mask_iou(drawn - cut, truth) for cut in cuts], 1)
    return found


def _resize(logits: Tensor, size: int | tuple[int, ...]) -> Tensor:
    """Resample (N, h, h) logits bilinearly to (N, *size), or to a square of side `size`."""
    return F.interpolate(logits[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
