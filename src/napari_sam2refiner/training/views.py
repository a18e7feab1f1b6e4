"""Planes to refine masks on: whole fields and windows of them, at source resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.training.crops import MOST_TRIES, SMALLEST_OBJECT, SetMixture, degraded, picture

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.network.base import InputSpec
    from napari_sam2refiner.training.config import RefinerTrainingConfig

FILLS = 0.9  # of the view, by the target in the smallest window
LEAST_SIDE = 24  # pixels of a window


@dataclass(frozen=True, eq=False)
class View:
    """One plane and the objects to train on.

    Attributes
    ----------
    image : (Y, X, 3) float32 tensor
        0 to 1, at source resolution.
    labels : (Y, X) int32 tensor
    truth : (K, S, S) float32 tensor
        Share of each pixel of the network's square that each object covers.
    frame : Frame
    """

    image: Tensor
    labels: Tensor
    truth: Tensor
    frame: Frame


class ViewDataset(Dataset[View]):
    """View number i of a run; the same settings and number give the same view.

    Parameters
    ----------
    sets : mapping of str to sequence of Field
        Fields by the name of their set.
    config : RefinerTrainingConfig
        Its `weights` are the shares of the sets.
    spec : InputSpec
        Of the base.
    first : int
        Added to the number, so that other runs over the same fields see other views.
    """

    def __init__(
        self, sets: Mapping[str, Sequence[Field]], config: RefinerTrainingConfig, spec: InputSpec, first: int = 0
    ) -> None:
        self.mixture = SetMixture(sets, config.weights)
        self.config = config
        self.spec = spec
        self.first = first

    def __len__(self) -> int:
        """Return how many views a whole run takes."""
        return self.config.steps * self.config.crops

    def __getitem__(self, index: int) -> View:
        """Return view number `index`; raise `ReadError` where no field holds an object large enough."""
        rng = np.random.default_rng([self.config.seed, self.first, index])
        for _ in range(MOST_TRIES):
            view = draw_view(self.mixture.draw(rng), rng, self.config, self.spec)
            if len(view.truth):
                return view
        msg = f"{MOST_TRIES} views of {self.mixture} held no object of {SMALLEST_OBJECT} pixels; give larger objects."
        raise ReadError(msg)


def draw_view(field: Field, rng: np.random.Generator, config: RefinerTrainingConfig, spec: InputSpec) -> View:
    """Look at a field or a window of it; `truth` is empty if nothing of use is in it."""
    shape = np.array(field.labels.shape)
    ids = np.unique(field.labels)
    target = int(rng.choice(ids[ids > 0]))
    corner, size = np.zeros(2, int), shape
    if rng.random() >= config.whole_planes:
        rows, columns = np.nonzero(field.labels == target)
        own = max(np.ptp(rows), np.ptp(columns)) + 1
        # from the whole field to where the target fills the view, each magnification as likely
        side = np.exp(rng.uniform(np.log(max(own / FILLS, LEAST_SIDE)), np.log(max(*shape, own / FILLS, LEAST_SIDE))))
        size = np.minimum(shape, np.ceil(side)).astype(int)
        middle = np.array([rows.mean(), columns.mean()]) + rng.uniform(-0.3, 0.3, 2) * size
        corner = np.clip((middle - size / 2).astype(int), 0, shape - size)
    plain = rng.random() < config.plain
    pixels, drawn = picture(field, corner, size, rng, plain=plain)
    image, labels = torch.from_numpy(pixels), torch.from_numpy(drawn)
    if not plain:
        image = degraded(image.permute(2, 0, 1), rng).permute(1, 2, 0)
    frame = Frame(drawn.shape, spec)
    return View(image.clamp(0, 1), labels, _truth(labels, frame, target, config.objects, rng), frame)


def _truth(labels: Tensor, frame: Frame, target: int, most: int, rng: np.random.Generator) -> Tensor:
    """Objects in the network's square, the target first, then others at random."""
    ids = [int(i) for i in rng.permutation(np.unique(labels.numpy())) if i not in (0, target)]
    found: list[Tensor] = []
    for label in [target, *ids]:
        share = frame.share(labels == label)
        if share.sum() >= SMALLEST_OBJECT:
            found.append(share)
        if len(found) == most:
            break
    return torch.stack(found) if found else torch.zeros(0, frame.spec.side, frame.spec.side)
