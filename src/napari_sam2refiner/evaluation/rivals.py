"""What a biologist has without a network, asked with the same clicks and boxes: the base line of every table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.segmentation import random_walker

from napari_sam2refiner.errors import InvalidConfigError
from napari_sam2refiner.labels.thresholds import otsu_watershed
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.sessions.base import Prediction

if TYPE_CHECKING:
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.base import LocalDetail

Mask = npt.NDArray[np.bool_]

CLICKED = 2.0  # radius in pixels of what a click says is certain


class Rival(ABC):
    """Answers points and boxes on a plane; a session as far as the simulated user needs one.

    All prompts of an object count each time; answers before do not.
    """

    name: ClassVar[str]

    def set_image(
        self,
        image: npt.NDArray[Any],
        intensity: Literal["percentile", "dtype"] = "percentile",  # noqa: ARG002 - as of any session
    ) -> Self:
        """Take a (Y, X) or (Y, X, C) plane, scaled by its percentiles."""
        self._look(rescale(image))
        return self

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        *,
        refine: bool = True,  # noqa: ARG002
        local_detail: LocalDetail = "off",  # noqa: ARG002
        previous: Sequence[Prediction | None] | None = None,  # noqa: ARG002
    ) -> list[Prediction]:
        """Answer several objects, one after the other."""
        masks = [self.mask(one) for one in prompts]
        return [Prediction(mask, np.where(mask, 1, -1).astype(np.float32), 1.0) for mask in masks]

    @abstractmethod
    def _look(self, image: npt.NDArray[np.float32]) -> None:
        """Take a (Y, X, 3) plane in [0, 1]."""

    @abstractmethod
    def mask(self, prompts: Prompts) -> Mask:
        """Return the mask (Y, X) that an object's points and boxes mean."""


class OtsuWatershed(Rival):
    """Otsu's threshold, split by a watershed: a click takes the part under it, a box those that lie in it."""

    name = "otsu"

    def _look(self, image: npt.NDArray[np.float32]) -> None:
        self._parts = otsu_watershed(image)

    def mask(self, prompts: Prompts) -> Mask:
        """Return the parts that are meant, without those under negative points."""
        under = self._parts[tuple(prompts.points.round().astype(int).T)]
        meant = set(under[prompts.labels].tolist())
        sizes = np.bincount(self._parts.ravel())
        for box in prompts.boxes:
            inside = np.bincount(self._parts[_slices(box)].ravel(), minlength=len(sizes))
            meant |= set(np.flatnonzero(2 * inside > sizes).tolist())
        return np.isin(self._parts, list(meant - set(under[~prompts.labels].tolist()) - {0}))


class RandomWalker(Rival):
    """Grady's random walker: from where would one reach a positive click first? (doi:10.1109/TPAMI.2006.233)."""

    name = "random-walker"

    def _look(self, image: npt.NDArray[np.float32]) -> None:
        self._image = image.mean(-1)

    def mask(self, prompts: Prompts) -> Mask:
        """Return what is nearer to the positive points; the frame and what is outside a box are ground."""
        inside, outside = _seeds(prompts, self._image.shape)
        frame = np.ones_like(outside)
        frame[1:-1, 1:-1] = False
        seeds = np.where(inside, 1, np.where(outside | frame, 2, 0))
        if np.ptp(self._image) == 0 or not (seeds == 1).any() or not (seeds == 2).any():
            return inside
        nearer: Mask = random_walker(self._image, seeds, beta=500, mode="cg_j", prob_tol=np.inf) == 1
        return nearer


class GrabCut(Rival):
    """OpenCV's GrabCut (doi:10.1145/1015706.1015720): colours of inside and outside, and a shortest outline between."""

    name = "grabcut"
    rounds = 3
    reach = 0.04  # of the plane's longer side, that may be inside around a click

    def _look(self, image: npt.NDArray[np.float32]) -> None:
        self._image = np.ascontiguousarray((255 * image).round().astype(np.uint8))

    def mask(self, prompts: Prompts) -> Mask:
        """Return what looks like the surroundings of the positive points or the inside of the boxes."""
        try:
            import cv2
        except ImportError as error:
            msg = "GrabCut needs OpenCV, which is not installed; run: pip install 'napari-sam2refiner[evaluate]'"
            raise InvalidConfigError(msg) from error
        shape = self._image.shape[:2]
        inside, outside = _seeds(prompts, shape)
        near = ndi.distance_transform_edt(~inside) <= self.reach * max(shape) if inside.any() else inside
        for box in prompts.boxes:
            near[_slices(box)] = True
        trimap = np.where(near, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        trimap[inside] = cv2.GC_FGD
        trimap[outside] = cv2.GC_BGD
        is_ground = np.isin(trimap, (cv2.GC_BGD, cv2.GC_PR_BGD))
        if is_ground.all() or not is_ground.any():
            return ~is_ground
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(self._image, trimap, (0, 0, 1, 1), *models, self.rounds, cv2.GC_INIT_WITH_MASK)
        return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))


RIVALS: dict[str, type[Rival]] = {rival.name: rival for rival in (OtsuWatershed, RandomWalker, GrabCut)}


def _slices(box: npt.NDArray[np.float64]) -> tuple[slice, slice]:
    """Pixels of a plane whose centres a box holds."""
    y0, x0, y1, x1 = np.maximum(np.ceil(box), 0).astype(int)
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def _allowed(prompts: Prompts, shape: tuple[int, ...]) -> Mask:
    """Where the object may be: in the boxes, anywhere without one."""
    allowed = np.full(shape, not len(prompts.boxes))
    for box in prompts.boxes:
        allowed[_slices(box)] = True
    return allowed


def _seeds(prompts: Prompts, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """What is certainly inside, and certainly outside: around points, in the middle of boxes, and beyond them."""
    inside, outside = np.zeros(shape, bool), ~_allowed(prompts, shape)
    middles = [(box[:2] + box[2:]) / 2 for box in prompts.boxes] if not prompts.labels.any() else []
    signs = [*prompts.labels.tolist(), *[True] * len(middles)]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for (y, x), positive in zip([*prompts.points, *middles], signs, strict=True):
        around = np.hypot(rows - y, columns - x) <= CLICKED
        (inside if positive else outside)[around] = True
    return inside & ~outside, outside
