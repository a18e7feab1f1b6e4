"""Labels that are no dock's result, kept once something has written into them; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_sam2refiner.labels.backup import Block
    from napari_sam2refiner.viewer.autosave import Autosave, Identity, Record

OnPainted = Callable[[npt.NDArray[Any], "Block | None"], None]


class Watch(Protocol):
    """Looks out for what users paint."""

    def close(self) -> None:
        """Look out no more."""


@dataclass(frozen=True, slots=True, eq=False)
class WrittenLabels:
    """Labels that a run has written into.

    Attributes
    ----------
    key : hashable
        Another value for other labels, or another image.
    identity : Identity
        Of the image that they are of.
    labels : (..., Y, X) integer array
        All of them.
    kept_in : Path or None
        Where a dock has kept them that is closed by now.
    watch : callable
        Takes what to call with all labels when users paint into them, and the block (None: anywhere); and what to call
        when they are removed.
    """

    key: Hashable
    identity: Identity
    labels: npt.NDArray[Any]
    kept_in: Path | None
    watch: Callable[[OnPainted, Callable[[], None]], Watch]


class LabelsKeeping:
    """Has labels kept, each in a record of its own.

    Parameters
    ----------
    make_autosave : callable, optional
        Makes what keeps them, when there is something to keep; nothing is kept without.
    """

    def __init__(self, make_autosave: Callable[[], Autosave] | None) -> None:
        self._make_autosave = make_autosave
        self._autosave: Autosave | None = None
        self._kept: dict[Hashable, tuple[Record, Watch]] = {}

    def touch(self, written: WrittenLabels, block: Block) -> None:
        """A block of labels was written; the first time all are kept, and from then on what users paint there."""
        if self._make_autosave is None or _is_in_file(written.labels):
            return
        self._autosave = self._autosave or self._make_autosave()
        if written.key not in self._kept:
            record = self._autosave.begin(written.identity)
            if written.kept_in is not None:
                record.copy_contents(written.kept_in)
            watch = written.watch(record.touch, partial(self._end, written.key, self._autosave))
            self._kept[written.key] = (record, watch)
        record, _ = self._kept[written.key]
        record.touch(written.labels, block)

    def close(self) -> None:
        """Keep no more; whoever opens the images again finds it. May be called again."""
        self._make_autosave = None
        if self._autosave is not None:
            for key in list(self._kept):
                self._end(key, self._autosave)
            self._autosave.close()

    def _end(self, key: Hashable, autosave: Autosave) -> None:
        """Keep labels no more, and let go of them."""
        record, watch = self._kept.pop(key)
        watch.close()
        autosave.end(record)


def _is_in_file(labels: npt.NDArray[Any]) -> bool:
    """Return whether labels are those of a file, where what is written outlives a crash anyway."""
    return isinstance(labels, np.memmap) and labels.mode != "c"
