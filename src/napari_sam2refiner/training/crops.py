"""Training crops: a piece of a field around some object at a random scale, as a microscope might have shown it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from napari_sam2refiner.errors import InvalidConfigError, ReadError
from napari_sam2refiner.network.micro import SIDE
from napari_sam2refiner.planes.intensity import limits, rescale

if TYPE_CHECKING:
    from napari_sam2refiner.datasets import Field
    from napari_sam2refiner.training.config import CropTrainingConfig

SMALLEST_OBJECT = 20  # pixels of the crop
MOST_TRIES = 1000


@dataclass(frozen=True, eq=False)
class Crop:
    """One training crop.

    Attributes
    ----------
    pixels : (3, S, S) float32 tensor
        0 to 1; NaN where the crop lies outside the image.
    labels : (S, S) int32 tensor
    annotated : (Y, X) int32 tensor
        The same labels at the resolution of the field, where that is not above that of the crop.
    chosen : tuple of int
        Labels to train on, the one that the crop was made for first.
    """

    pixels: Tensor
    labels: Tensor
    annotated: Tensor
    chosen: tuple[int, ...]


class SetMixture:
    """Fields of several sets, drawn by the shares of the sets.

    Parameters
    ----------
    sets : mapping of str to sequence of Field
        Fields by the name of their set.
    shares : dict of str to float
        Sets that it does not name get 0.05.

    Raises
    ------
    InvalidConfigError
        If no set has a share.
    """

    def __init__(self, sets: Mapping[str, Sequence[Field]], shares: Mapping[str, float]) -> None:
        self.sets = sets
        own = np.array([shares.get(name, 0.05) for name in sets])
        if not own.sum() > 0:
            msg = f"none of the sets {', '.join(sets)} has a share in weights; give one of them more than 0."
            raise InvalidConfigError(msg)
        self.shares = own / own.sum()

    def __str__(self) -> str:
        return ", ".join(self.sets)

    def draw(self, rng: np.random.Generator) -> Field:
        """Return a field that has objects; raise `ReadError` if none is found."""
        for _ in range(MOST_TRIES):
            fields = list(self.sets.values())[rng.choice(len(self.shares), p=self.shares)]
            field = fields[int(rng.integers(len(fields)))]
            if field.labels.any():
                return field
        msg = f"{MOST_TRIES} fields of {self} held no object; give sets with annotations."
        raise ReadError(msg)


class CropDataset(Dataset[Crop]):
    """Crop number i of a run; the same settings and number give the same crop.

    Parameters
    ----------
    sets : mapping of str to sequence of Field
        Fields by the name of their set.
    config : CropTrainingConfig
        Its `weights` are the shares of the sets.
    first : int
        Added to the number, so that other runs over the same fields see other crops.
    """

    def __init__(self, sets: Mapping[str, Sequence[Field]], config: CropTrainingConfig, first: int = 0) -> None:
        self.mixture = SetMixture(sets, config.weights)
        self.config = config
        self.first = first

    def __len__(self) -> int:
        """Return how many crops a whole run takes."""
        return self.config.steps * self.config.crops

    def __getitem__(self, index: int) -> Crop:
        """Return crop number `index`; raise `ReadError` where no field holds an object large enough."""
        rng = np.random.default_rng([self.config.seed, self.first, index])
        for _ in range(MOST_TRIES):
            crop = cut(self.mixture.draw(rng), rng, self.config)
            if crop.chosen:
                return crop
        msg = f"{MOST_TRIES} crops of {self.mixture} held no object of {SMALLEST_OBJECT} pixels; give larger objects."
        raise ReadError(msg)


def cut(field: Field, rng: np.random.Generator, config: CropTrainingConfig) -> Crop:
    """Cut a crop around a random object of a field; `chosen` is empty if nothing of use is in it."""
    ids = np.unique(field.labels)
    target = int(rng.choice(ids[ids > 0]))
    rows, columns = np.nonzero(field.labels == target)
    own = max(np.ptp(rows), np.ptp(columns)) + 1
    zoom = _zoom(max(field.labels.shape), int(own), rng, config)
    stretch = math.exp(rng.normal(0, 0.08))
    size = np.maximum(8, np.round(config.crop / zoom * np.array([stretch, 1 / stretch]))).astype(int)
    middle = np.array([rows.mean(), columns.mean()]) + rng.uniform(-0.4, 0.4, 2) * size
    corner = (middle - size / 2).astype(int)
    if rng.random() < 0.85:
        corner = np.clip(corner, np.minimum(0, field.labels.shape - size), np.maximum(0, field.labels.shape - size))
    plain = rng.random() < config.plain
    pixels, labels = picture(field, corner, size, rng, plain=plain)
    crop, drawn = resampled(pixels, labels, config.crop)
    if not plain:
        crop = degraded(crop, rng)
    annotated = torch.from_numpy(labels) if max(labels.shape) <= config.crop else drawn
    return Crop(crop, drawn, annotated, chosen_objects(drawn, target, config.most_objects, rng))


def picture(
    field: Field, corner: npt.NDArray[Any], size: npt.NDArray[Any], rng: np.random.Generator, *, plain: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return a window of a field, turned and mirrored at random; unless `plain`, of another brightness and colour.

    Pixels (Y, X, 3) around 0 to 1, NaN outside the field, and labels (Y, X), 0 there.
    """
    image, labels = _window(field, corner, size)
    pixels = _normalised(field, image, field.limits if plain or rng.random() < 0.75 else None)
    if not plain:
        pixels = _brightness(pixels, rng)
    return _turned(pixels, labels, rng)


def _zoom(side: int, own: int, rng: np.random.Generator, config: CropTrainingConfig) -> float:
    """Pixels of the crop in one of the field, whose longer side and target are `side` and `own` pixels long.

    Some crops are as large as the whole plane would be shown to the network, give or take; the others show their
    target at any size, as planes of other magnifications would.
    """
    whole = SIDE / side
    if rng.random() < config.whole_planes:
        return float(np.clip(whole * math.exp(rng.normal(0, config.spread)), 0.85 * config.crop / side, 8.0))
    low, high = np.log(config.extent)
    # planes are shown whole or in part, hardly ever much smaller than the view or enlarged beyond recognition
    return float(np.clip(math.exp(rng.uniform(low, high)) / own, 0.85 * config.crop / side, max(4.0, whole)))


def _window(
    field: Field, corner: npt.NDArray[Any], size: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Return image (as float, NaN outside) and labels (0 outside) of a window that may leave the field."""
    shape = np.array(field.labels.shape)
    low, high = np.clip(corner, 0, shape), np.clip(corner + size, 0, shape)
    inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    margins = [(a - c, c + s - b) for a, b, c, s in zip(low, high, corner, size, strict=True)]
    image = np.atleast_3d(field.image[inside]).astype(np.float32)
    return (
        np.pad(image, [*margins, (0, 0)], constant_values=np.nan),
        np.pad(field.labels[inside], margins),
    )


def _normalised(field: Field, image: npt.NDArray[Any], ends: tuple[float, float] | None) -> npt.NDArray[np.float32]:
    """Return three channels in 0 to 1 by the limits given, or by those of the window; NaN outside the field."""
    inside = ~np.isnan(image[..., 0])
    values = np.where(inside[..., None], image, image[inside].min() if inside.any() else 0.0)
    if ends is None:
        ends = limits(values) if inside.mean() > 0.5 else field.limits
    pixels = rescale(values[..., :3], limits=ends)
    pixels[~inside] = np.nan
    return pixels


def _brightness(pixels: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Change gain, offset, gamma, contrast sign, colour, sharpness and noise."""
    if rng.random() < 0.15:
        pixels = 1.0 - pixels
    if rng.random() < 0.5:
        pixels = pixels ** np.float32(math.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.2:  # colour where there was none, or another one
        tint = rng.uniform(0.4, 1.0, 3).astype(np.float32)
        pixels = 1.0 - (1.0 - pixels) * tint if rng.random() < 0.5 else pixels * tint
    if rng.random() < 0.15:
        pixels = np.repeat(pixels @ rng.dirichlet((1.0, 1.0, 1.0)).astype(np.float32)[:, None], 3, axis=2)
    pixels = pixels * np.float32(math.exp(rng.normal(0, 0.2))) + np.float32(rng.normal(0, 0.06))
    if rng.random() < 0.2:  # uneven light
        y, x = np.ogrid[-1 : 1 : pixels.shape[0] * 1j, -1 : 1 : pixels.shape[1] * 1j]
        slope = rng.normal(0, 0.2, 2)
        pixels = pixels * (1.0 + slope[0] * y + slope[1] * x).astype(np.float32)[..., None]
    return pixels.astype(np.float32)


def _turned(
    pixels: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Turn by a multiple of 90 degrees and mirror."""
    quarter = int(rng.integers(4))
    pixels, labels = np.rot90(pixels, quarter), np.rot90(labels, quarter)
    if rng.random() < 0.5:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(labels)


def resampled(pixels: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], side: int) -> tuple[Tensor, Tensor]:
    """Resample to (3, side, side) pixels, NaN outside the field, and (side, side) labels."""
    missing = np.isnan(pixels[..., :1])
    stack = torch.from_numpy(np.concatenate([np.nan_to_num(pixels, nan=0.3), missing], 2)).permute(2, 0, 1)[None]
    stack = F.interpolate(stack.float(), size=(side, side), mode="bilinear", align_corners=False, antialias=True)[0]
    drawn = F.interpolate(torch.from_numpy(labels)[None, None].float(), size=(side, side), mode="nearest-exact")
    return torch.where(stack[3:] > 0.5, torch.nan, stack[:3]), drawn[0, 0].int()


def degraded(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur and add noise at the resolution of the crop."""
    outside = pixels.isnan()
    image = pixels.nan_to_num(0.3)
    if rng.random() < 0.15:
        width = rng.uniform(0.4, 1.5)
        image = torch.from_numpy(np.stack([ndi.gaussian_filter(c, width) for c in image.numpy()]))
    if rng.random() < 0.35:
        noise = rng.standard_normal((3 if rng.random() < 0.3 else 1, *image.shape[1:])).astype(np.float32)
        image = image + torch.from_numpy(noise) * rng.uniform(0, 0.12)
    return torch.where(outside, torch.nan, image)


def chosen_objects(labels: Tensor, target: int, most: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Return labels of objects that are large enough, the target first."""
    areas = torch.bincount(labels.flatten().long())
    usable = [i for i in torch.nonzero(areas >= SMALLEST_OBJECT)[:, 0].tolist() if i > 0]
    others = [i for i in usable if i != target]
    order = rng.permutation(others)[: most - 1].tolist() if others else []
    chosen = ([target] if target in usable else []) + order
    return tuple(int(i) for i in chosen)
