"""What sessions return, and what the viewer and the command line need of one; no torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy.typing as npt

from napari_sam2refiner.planes.region import Part, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from napari_sam2refiner.prompts import Prompts

LocalDetail = Literal["off", "prompted", "on"]


@dataclass(frozen=True, eq=False)
class _Masked:
    """A mask (Y, X) with its logits, and what follows from them."""

    mask: npt.NDArray[np.bool_]
    logits: npt.NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Y and X."""
        return self.mask.shape[0], self.mask.shape[1]

    @cached_property
    def part(self) -> Part:
        """The mask, cut to its object."""
        return Part.of(self.mask)

    def logits_in(self, window: Window) -> npt.NDArray[np.float32]:
        """Return the logits of a window of the plane."""
        return self.logits[window]

    @property
    def nbytes(self) -> int:
        """Bytes of mask and logits."""
        return self.mask.nbytes + self.logits.nbytes


@dataclass(frozen=True, eq=False)
class Candidate(_Masked):
    """One of the masks that a first click may mean.

    Attributes
    ----------
    mask : (Y, X) bool array
    logits : (Y, X) float32 array
        Above zero inside.
    score : float
        The network's estimate of the mask's IoU, 0 to 1.
    memo : object
        What the session needs to take this candidate as `previous`; opaque to callers.
    """

    score: float
    memo: Any = field(repr=False, default=None)


@dataclass(frozen=True, eq=False)
class Prediction(_Masked):
    """The answer to one object's prompts, in plane pixels.

    Attributes
    ----------
    mask : (Y, X) bool array
    logits : (Y, X) float32 array
        Above zero inside.
    score : float
        The network's estimate of the mask's IoU, 0 to 1; NaN where it has made none.
    candidates : tuple of Candidate
        What the prompts may mean, best first; this mask is the first, or the one that `choose` took. One where the
        prompts leave no choice.
    memo : object
        What the session needs to go on from here (`previous=`); opaque to callers.
    """

    score: float
    candidates: tuple[Candidate, ...] = ()
    memo: Any = field(repr=False, default=None)

    def choose(self, index: int) -> Prediction:
        """Return the prediction with candidate `index` as its mask; `previous=` goes on from that one."""
        chosen = self.candidates[index]
        return Prediction(chosen.mask, chosen.logits, chosen.score, self.candidates, chosen.memo)


@dataclass(frozen=True, eq=False)
class Survey:
    """Where objects of a plane are likely.

    Attributes
    ----------
    points : (K, 2) array
        One point (y, x) for each, the likeliest first.
    foreground : (L, Y, X) float32 array or None
        Likelihood of being inside an object, for objects of L sizes, where the network knows of it.
    scale : float
        Pixels of the network's square for each of the plane.
    side : int
        Of that square, in its pixels.
    """

    points: npt.NDArray[np.float64]
    foreground: npt.NDArray[np.float32] | None
    scale: float
    side: int


OnFirst = Callable[[Sequence[Prediction]], None]
"""Gets each object's answer as far as it is known, once or twice, where better ones follow; what it raises ends the
work."""


class PlaneSession(Protocol):
    """One image plane, encoded once, that answers prompts."""

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns of the plane; None before `set_image`."""

    def set_image(
        self,
        image: Any,
        intensity: Literal["percentile", "dtype"] = "percentile",
        *,
        limits: tuple[float, float] | None = None,
    ) -> Self:
        """Take a (Y, X) or (Y, X, C) plane, in memory or lazy; nothing is encoded before the first prediction.

        `limits` are the intensities that become black and white, instead of what `intensity` says.
        """

    def encode_in_parts(self) -> Iterator[float]:
        """Encode the plane part by part, before it is asked for; yields the share that is done."""

    def predict(
        self,
        prompts: Prompts,
        *,
        refine: bool = True,
        local_detail: LocalDetail = "prompted",
        previous: Prediction | None = None,
        on_first: OnFirst | None = None,
        view: tuple[float, float] | None = None,
    ) -> Prediction:
        """Answer one object's prompts; `view` is how much of a large plane the user sees, rows and columns."""

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        *,
        refine: bool = True,
        local_detail: LocalDetail = "prompted",
        previous: Sequence[Prediction | None] | None = None,
        on_first: OnFirst | None = None,
        look_again: bool = True,
    ) -> list[Prediction]:
        """Answer several objects' prompts in one batch."""

    def as_whole(self) -> Self:
        """Return a session that sees the plane as a whole; this one where it does."""

    def survey(self, points: int = 32) -> Survey:
        """Return where objects are likely; of a network that does not know, a grid of `points` x `points`."""

    def within(self, window: tuple[slice, slice]) -> Self:
        """Return a session of a part of the plane."""
