"""Results of the docks that are open; whoever else writes into one tells its dock, as napari does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

import numpy.typing as npt

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.planes.region import Window


class OpenResult(Protocol):
    """A result that a dock looks after."""

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """All of its labels; None where there are none."""

    def on_plane_written(self, plane: PlaneIndex, window: Window) -> None:
        """Somebody else has written into a window of a plane of them."""


_open: WeakSet[OpenResult] = WeakSet()


def add(result: OpenResult) -> None:
    """A dock looks after a result from now on."""
    _open.add(result)


def remove(result: OpenResult) -> None:
    """A dock looks after a result no more."""
    _open.discard(result)


def results_in(labels: npt.NDArray[Any]) -> list[OpenResult]:
    """Return the results whose labels these are: several where docks share a layer, none where they are no result."""
    return [result for result in _open if result.labels is labels]
