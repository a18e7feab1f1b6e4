"""What is in hand on one image, and changes of it that can be undone; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.drafts import Draft
from napari_sam2refiner.viewer.history import Act, History
from napari_sam2refiner.viewer.objects import Origin, Origins

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.autosave import Prompted, Restored
    from napari_sam2refiner.viewer.canvas import Canvas, Written
    from napari_sam2refiner.viewer.keeping import Keeping
    from napari_sam2refiner.viewer.several import Found
    from napari_sam2refiner.viewer.state import Overlap

Drafts = dict[PlaneIndex, Draft]


@dataclass(slots=True, eq=False)
class Work:
    """What is in hand on one image: the draft of each plane, how objects came about, and what can be undone."""

    canvas: Canvas
    keeping: Keeping
    drafts: Drafts = field(default_factory=dict)
    history: History = field(default_factory=History)
    origins: Origins = field(default_factory=Origins)

    def draft(self, plane: PlaneIndex) -> Draft:
        """Return the draft of a plane; an empty one where nothing is marked."""
        return self.drafts.setdefault(plane, Draft())

    def restore(self, drafts: Drafts) -> None:
        """Put drafts back."""
        self.drafts.update(drafts)
        self._clear_previews(drafts)
        for plane, draft in drafts.items():
            self.canvas.write_marks(plane, draft.marks, draft.object_id or self.canvas.next_id())

    def change_drafts(self, what: str, before: Drafts, after: Drafts) -> None:
        """Take new drafts, undoably."""
        self.drafts.update(after)
        self._clear_previews(after)
        self.history.add(Act(what, partial(self._revisit, before), partial(self._revisit, after)))

    def change_result(self, what: str, written: Written, object_id: int, origin: Origin | None, draft: Draft) -> None:
        """Go on, undoably, from a change of an object on the plane that is shown, with its origin and a new draft."""
        self._change_objects(what, written, {object_id: origin}, draft)

    def keep_several(self, found: Sequence[Found], picture: npt.NDArray[Any], overlap: Overlap) -> str:
        """Write several objects into the result as new ones, undoably; return what there is to say.

        Parameters
        ----------
        found : sequence of Found
        picture : (Y, X) integer array
            Where they are, numbered from 1 in their order.
        overlap : "keep" or "overwrite"
            Whose a pixel is that already belongs to an object.
        """
        first = self.canvas.next_id()
        ids = np.where(picture > 0, picture + np.uint32(first - 1), np.uint32(0))
        written = self.canvas.write_objects(self.canvas.plane, ids, overlap)
        origins = {first + n: Origin(one.marks, None if isnan(one.score) else one.score) for n, one in enumerate(found)}
        kept: dict[int, Origin | None] = {n: origin for n, origin in origins.items() if n in written.areas}
        if not kept:
            written.undo()
            return "Nothing was kept: every pixel of these masks belongs to other objects (see Overlap)."
        self._change_objects(f"{len(kept)} objects", written, kept, Draft())
        left = f" {len(found) - len(kept)} had no pixels left." if len(kept) < len(found) else ""
        return f"{len(kept)} objects kept: {sum(written.areas.values()):,} pixels.{left}"

    def _change_objects(self, what: str, written: Written, origins: Mapping[int, Origin | None], draft: Draft) -> None:
        """Go on, undoably, from a change of objects on the plane that is shown, by id."""
        plane = self.canvas.plane
        before = self.draft(plane)
        earlier = {object_id: self.origins.note(plane, object_id, origin) for object_id, origin in origins.items()}

        def put(change: Callable[[], None], origins: Mapping[int, Origin | None], draft: Draft) -> None:
            for object_id, origin in origins.items():
                self.origins.note(plane, object_id, origin)
            change()
            self._revisit({plane: draft})

        self.restore({plane: draft})
        undo, redo = partial(put, written.undo, earlier, before), partial(put, written.redo, origins, draft)
        self.history.add(Act(what, undo, redo))

    def bring_back(self, restored: Restored, written: Written) -> None:
        """Go on, undoably, from earlier work whose labels were written."""
        self.note_origins(restored)
        before, after = self._taken_up(restored)

        def undo() -> None:
            written.undo()
            for plane, object_id in restored.origins:
                self.origins.note(plane, object_id, None)
            self.restore(before)

        def redo() -> None:
            self.note_origins(restored)
            written.redo()
            self.restore(after)

        self.restore(after)
        self.history.add(Act("bringing back earlier work", undo, redo))

    def take_up(self, restored: Restored) -> bool:
        """Take up earlier work whose labels are there; return whether anything of it is at hand now."""
        self.note_origins(restored)
        _, after = self._taken_up(restored)
        self.restore(after)
        return bool(after)

    def note_origins(self, restored: Restored) -> None:
        """Take up how objects came about."""
        for (plane, object_id), origin in restored.origins.items():
            self.origins.note(plane, object_id, origin)

    def _taken_up(self, restored: Restored) -> tuple[Drafts, Drafts]:
        """Return the drafts of planes where nothing is at hand, and what was at hand there earlier."""
        before = {plane: self.draft(plane) for plane in restored.at_hand}
        before = {plane: draft for plane, draft in before.items() if not (draft.marks or draft.reopened)}
        return before, {plane: self._drafted(plane, restored.at_hand[plane]) for plane in before}

    def _drafted(self, plane: PlaneIndex, prompted: Prompted) -> Draft:
        """Return an object that was at hand earlier."""
        labels = self.canvas.labels_on(plane)
        reopened = None
        if prompted.object_id is not None and labels is not None:
            reopened = self.origins.reopen(plane, prompted.object_id, labels)
        first = None if reopened is None else Draft(reopened.marks, reopened=reopened)
        return Draft(prompted.marks, prompted.choice, first, reopened)

    def _revisit(self, drafts: Drafts) -> None:
        """Put drafts back, and go where one can be seen."""
        self.restore(drafts)
        shown = self.canvas.plane
        self.canvas.go_to(shown if shown in drafts else next(iter(drafts)))

    def _clear_previews(self, drafts: Drafts) -> None:
        """Take away previews of planes that are not shown and have no marks any more; across them they can be seen."""
        for plane, draft in drafts.items():
            if plane != self.canvas.plane and not draft.marks.count:
                self.canvas.show_preview(plane, None)
