"""Views of an image, the plane or a window of it, and what a network knows of each: found when it is first asked for.

Letters: Y, X rows and columns of a view; S side of the network's square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2refiner.network.base import Decoded, Features, PromptBatch, one_of
from napari_sam2refiner.sessions.batches import Batches, precision
from napari_sam2refiner.sessions.conversion import Places, touched_quadrants

if TYPE_CHECKING:
    from napari_sam2refiner.network.frames import Frame
    from napari_sam2refiner.network.localization import LocalFeatures
    from napari_sam2refiner.network.look import Look
    from napari_sam2refiner.network.refiner import Refined, SAM2Refiner
    from napari_sam2refiner.sessions.base import LocalDetail

COMBINATIONS = 4  # of quadrants that are kept, at most

Recall = Callable[[npt.NDArray[np.float32], Callable[[], Features]], Features]


@dataclass(eq=False)
class View:
    """A plane, or a window of it, and what is known of it so far; made anew for each image.

    Attributes
    ----------
    frame : Frame
    image : (Y, X, 3) float32 tensor
        In 0 to 1.
    recall : callable, optional
        Gives the encoded view from its image and from what encodes it, for whoever keeps those encoded before.
    pixels : (1, 3, S, S), features, look
        None until they are asked for.
    quadrants : dict of int to Features
        By place, of one each.
    local : dict of tuple of int to LocalFeatures
        The latest combinations of quadrants.
    """

    frame: Frame
    image: Tensor
    recall: Recall | None = None
    pixels: Tensor | None = None
    features: Features | None = None
    look: Look | None = None
    quadrants: dict[int, Features] = field(default_factory=dict)
    local: dict[Places, LocalFeatures] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is known."""
        known = (self.pixels, self.features, self.look, *self.quadrants.values(), *self.local.values())
        return self.image.nbytes + sum(map(_nbytes, known))


def _nbytes(value: Any) -> int:
    """Return how many bytes tensors take, in tuples or alone."""
    if isinstance(value, tuple):
        return sum(map(_nbytes, value))
    return value.nbytes if isinstance(value, Tensor) else 0


class Encoder:
    """Encodes views by a model, each once, with what its refiner looks up; and refines what was decoded on one.

    Parameters
    ----------
    model : SAM2Refiner
    in_batches : Batches
        Says how much the network is asked at once.
    """

    def __init__(self, model: SAM2Refiner, in_batches: Batches) -> None:
        self._model = model
        self._in_batches = in_batches

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self._model.parameters()).device

    def encode(self, views: Sequence[View]) -> None:
        """Encode views, which have squares of one size, together; each at the first call."""
        missing = [view for view in dict.fromkeys(views) if view.features is None]
        for view in missing:
            view.pixels = view.frame.pixels(view.image.to(self.device))
        with precision(self._model):
            for view in missing:
                if view.recall is not None:
                    view.features = view.recall(view.image.numpy(), partial(self._alone, view))
            others = [view for view in missing if view.features is None]
            for view, known in zip(others, self._in_batches(others, self._features), strict=True):
                view.features = known

    def _alone(self, view: View) -> Features:
        """Encode one view."""
        return self._in_batches([view], self._features)[0]

    def _features(self, views: Sequence[View]) -> list[Features]:
        """Encode views in one batch."""
        features = self._model.encode(torch.cat([view.pixels for view in views if view.pixels is not None]))
        return [features] if len(views) == 1 else [one_of(features, i) for i in range(len(views))]

    def encoded(self, view: View) -> tuple[Tensor, Features]:
        """Return the network's input and the encoded view."""
        self.encode([view])
        assert view.pixels is not None, "it was encoded from them"
        assert view.features is not None, "it is encoded"
        return view.pixels, view.features

    def looked(self, view: View) -> Look:
        """Return what the refiner sees of the pixels, looked at with the first call."""
        if view.look is None:
            pixels, features = self.encoded(view)
            view.look = self._model.look(features, pixels)
        return view.look

    def local(self, view: View, places: Places) -> LocalFeatures | None:
        """Return detail of these quadrants; each is encoded once."""
        if not places:
            return None
        if places not in view.local:
            missing = [p for p in places if p not in view.quadrants]
            view.quadrants.update(self._in_batches(missing, lambda part: self._quadrants(view, part)))
            _, features = self.encoded(view)
            quadrants = Features(*(torch.cat(maps) for maps in zip(*(view.quadrants[p] for p in places), strict=True)))
            place = torch.tensor(places, device=self.device)
            local = self._model.localize(features, quadrants, torch.zeros_like(place), place)
            while len(view.local) >= COMBINATIONS:
                view.local.pop(next(iter(view.local)))
            view.local[places] = local
        return view.local[places]

    def _quadrants(self, view: View, places: Sequence[int]) -> list[tuple[int, Features]]:
        """Encode quadrants in one batch; place and features of each."""
        features = self._model.encode_local(view.frame.quadrants(view.image.to(self.device), places))
        return [(p, Features(*(maps[i : i + 1] for maps in features))) for i, p in enumerate(places)]

    def refined(
        self, view: View, rows: Sequence[int], batch: PromptBatch, decoded: Decoded, local_detail: LocalDetail
    ) -> dict[int, tuple[Refined, int]]:
        """Refine those of a decoded batch that are on a view: where to find the answer for each.

        Objects that look at the same quadrants go together, so that an answer does not depend on its neighbours.
        """
        _, features = self.encoded(view)
        look = self.looked(view)
        there = view.frame.places()
        together: dict[Places, list[int]] = {}
        for i in rows:
            wanted = {"off": (), "on": there}.get(local_detail)
            places = touched_quadrants(batch, decoded, i, there) if wanted is None else wanted
            together.setdefault(places, []).append(i)
        out: dict[int, tuple[Refined, int]] = {}
        for places, alike in together.items():
            at = torch.tensor(alike, device=self.device)
            masks = None if batch.mask_logits is None else batch.mask_logits[at]
            prompts = PromptBatch(batch.coords[at], batch.labels[at], masks, batch.has_mask[at])
            answers = Decoded(*(values[at] for values in decoded))
            local = self.local(view, places)
            refined = self._model.refine(features, local, torch.zeros_like(at), prompts, answers, look)
            out.update({i: (refined, row) for row, i in enumerate(alike)})
        return out
