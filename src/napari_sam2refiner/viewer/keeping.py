"""The work on one image, as it is kept, and earlier work on it that was found; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sam2refiner.viewer.autosave import discard, read_prompts
from napari_sam2refiner.viewer.segmenter import Job, Outcome

if TYPE_CHECKING:
    from napari_sam2refiner.labels.backup import Block
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.autosave import Autosave, Found, OriginsByObject, Record, Restored
    from napari_sam2refiner.viewer.canvas import Canvas
    from napari_sam2refiner.viewer.drafts import Draft
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.objects import Names


class Keeping:
    """Has the work on an image kept, and looks for earlier work on it.

    Parameters
    ----------
    canvas : Canvas
    autosave : Autosave, optional
        Nothing is kept without.
    submit : callable
        Takes a job and what to call with its outcome.

    Attributes
    ----------
    found : Found or None
        Earlier work, as long as nobody has said what to do with it.
    """

    def __init__(self, canvas: Canvas, autosave: Autosave | None, submit: Submit) -> None:
        self.found: Found | None = None
        self._canvas, self._autosave, self._submit = canvas, autosave, submit
        self._record: Record | None = None
        self._noted: tuple[Any, ...] = ()

    def begin(self, on_prompts: Callable[[Restored], None], on_found: Callable[[], None]) -> None:
        """Go on with the record of a result that is there already, else look for earlier work.

        Parameters
        ----------
        on_prompts : callable
            Gets the prompts that were kept with that result.
        on_found : callable
            Called when earlier work was found.
        """
        if self._autosave is None or self._record is not None:
            return
        if not self._canvas.has_result:
            self.look(on_found)
            return
        record = self._record_of(self._autosave)
        self.touch(None)
        read = partial(read_prompts, record.folder)
        self._submit(
            Job("restore", lambda _: read()), lambda outcome: None if outcome.error else on_prompts(outcome.value)
        )

    def look(self, on_found: Callable[[], None]) -> None:
        """Look for earlier work that nobody is at."""
        if self._autosave is not None:
            find = partial(self._autosave.find, self._canvas.identity)
            self._submit(Job("restore", lambda _: find()), partial(self._on_looked, on_found))

    def discard(self, on_found: Callable[[], None]) -> None:
        """Throw the earlier work away that was found, and look whether there is more."""
        if self.found is not None:
            folder, self.found = self.found.folder, None
            self._submit(Job("restore", lambda _: discard(folder)), lambda _: self.look(on_found))

    def touch(self, block: Block | None) -> None:
        """The result has changed, in a block of it or anywhere."""
        labels = self._canvas.labels
        if self._autosave is not None and labels is not None and self._canvas.has_result:
            self._record_of(self._autosave).touch(labels, block)

    def note(self, drafts: Mapping[PlaneIndex, Draft], origins: OriginsByObject, names: Names) -> None:
        """Have prompts and names kept where there are others than before: of drafts that have any, and of objects."""
        at_hand = {plane: draft for plane, draft in drafts.items() if draft.marks or draft.reopened}
        now = (*at_hand.values(), *origins.values(), *([names] if names else []))
        is_new = len(now) != len(self._noted) or any(a is not b for a, b in zip(now, self._noted, strict=True))
        if is_new and self._autosave is not None:
            self._noted = now
            self._record_of(self._autosave).note(at_hand, origins, names)

    def close(self) -> None:
        """Keep no more; whoever opens the image again finds it."""
        if self._autosave is not None and self._record is not None:
            self._autosave.end(self._record)
            self._record = None

    def _record_of(self, autosave: Autosave) -> Record:
        if self._record is None:
            self._record = autosave.begin(self._canvas.identity, self._canvas.kept_in)
            self._canvas.kept_in = self._record.folder
        return self._record

    def _on_looked(self, on_found: Callable[[], None], outcome: Outcome) -> None:
        if not outcome.error:
            self.found = outcome.value
            on_found()
