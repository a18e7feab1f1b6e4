"""What is in hand on one image, and changes of it that can be undone; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.drafts import Draft
from napari_sam2refiner.viewer.frame_counts import FrameCounts
from napari_sam2refiner.viewer.history import Act, History
from napari_sam2refiner.viewer.objects import Described, Named, Origin, Origins

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Picture
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
    frames: FrameCounts = field(default_factory=FrameCounts)

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
        undo, redo = partial(self._revisit, before), partial(self._revisit, after)
        self.history.add(Act(what, undo, redo, _size_of(before, after)))

    def keep_several(self, found: Sequence[Found], picture: Picture, overlap: Overlap) -> str:
        """Write several objects into the result as new ones, undoably; return what there is to say.

        Parameters
        ----------
        found : sequence of Found
        picture : Picture
            Where they are, numbered from 1 in their order.
        overlap : "keep" or "overwrite"
            Whose a pixel is that already belongs to an object.
        """
        first = self.canvas.next_id()
        numbers = picture.pixels
        ids = picture._replace(pixels=np.where(numbers > 0, numbers + np.uint32(first - 1), np.uint32(0)))
        written = self.canvas.write_objects(self.canvas.plane, ids, overlap)
        origins = {first + n: Origin(one.marks, None if isnan(one.score) else one.score) for n, one in enumerate(found)}
        kept: dict[int, Origin | None] = {n: origin for n, origin in origins.items() if n in written.areas}
        if not kept:
            written.undo()
            return "Nothing was kept: each pixel of these masks is another object's (see Tidy masks and overlap)."
        names = dict.fromkeys(kept, Named())  # what had these ids before is not there any more
        self.change_result(f"{len(kept)} objects", written, kept, Draft(), names)
        left = f" {len(found) - len(kept)} had no pixels left." if len(kept) < len(found) else ""
        return f"{len(kept)} objects kept: {sum(written.areas.values()):,} pixels.{left}"

    def change_result(
        self,
        what: str,
        written: Written,
        origins: Mapping[int, Origin | None],
        draft: Draft,
        names: Mapping[int, Named] | None = None,
        plane: PlaneIndex | None = None,
    ) -> None:
        """Go on, undoably, from a change of objects on a plane.

        Parameters
        ----------
        what : str
            Name of the act.
        written : Written
            The change.
        origins : mapping of int to Origin or None
            How objects came about after it, by id.
        draft : Draft
            What is at hand after it.
        names : mapping of int to Named, optional
            Names and classes that it changes, by id.
        plane : PlaneIndex, optional
            The one that is shown by default.
        """
        plane = plane or self.canvas.plane
        before = self.draft(plane)
        earlier = {object_id: self.origins.known.get((plane, object_id)) for object_id in origins}
        rename = self._renaming(names or {})

        def put(
            change: Callable[[], None], origins: Mapping[int, Origin | None], draft: Draft, rename: Callable[[], None]
        ) -> None:
            self._note(plane, origins)
            change()
            rename()
            self._describe(origins)
            self._revisit({plane: draft})

        self._note(plane, origins)
        rename.redo()
        self._describe(origins)
        self.restore({plane: draft})
        undo = partial(put, written.undo, earlier, before, rename.undo)
        redo = partial(put, written.redo, origins, draft, rename.redo)
        self.history.add(Act(what, undo, redo, written.size))

    def change_names(self, what: str, names: Mapping[int, Named]) -> None:
        """Give objects other names and classes, undoably."""
        rename = self._renaming(names)
        rename.redo()
        self.history.add(Act(what, rename.undo, rename.redo))

    def rename(self, changes: Mapping[int, tuple[Named, Named]]) -> None:
        """Give objects other names, by what they are called now; what somebody called them since stays."""
        now = self.canvas.names
        names = {one: after for one, (before, after) in changes.items() if now.get(one, Named()) == before}
        self._describe(names, names)

    def bring_back(self, restored: Restored, written: Written) -> None:
        """Go on, undoably, from earlier work whose labels were written."""
        self.note_origins(restored)
        before, after = self._taken_up(restored)
        rename, ids = self._renaming(restored.names), {object_id for _, object_id in restored.origins}

        def undo() -> None:
            written.undo()
            for plane, object_id in restored.origins:
                self.origins.note(plane, object_id, None)
            rename.undo()
            self._describe(ids)
            self.restore(before)

        def redo() -> None:
            self.note_origins(restored)
            written.redo()
            rename.redo()
            self._describe(ids)
            self.restore(after)

        rename.redo()
        self._describe(ids)
        self.restore(after)
        self.history.add(Act("bringing back earlier work", undo, redo, written.size))

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

    def _note(self, plane: PlaneIndex, origins: Mapping[int, Origin | None]) -> None:
        """Note how objects of a plane came about."""
        for object_id, origin in origins.items():
            self.origins.note(plane, object_id, origin)

    def _describe(self, ids: Collection[int], names: Mapping[int, Named] | None = None) -> None:
        """Have the result say what is known of objects; with other names, or those that they have."""
        known = {**self.canvas.names, **(names or {})}
        scores = self.origins.lowest_scores(ids)
        described = {one: Described(known.get(one, Named()), scores.get(one)) for one in ids}
        if described:
            self.canvas.describe(described)

    def _renaming(self, names: Mapping[int, Named]) -> _Renaming:
        before = {object_id: self.canvas.names.get(object_id, Named()) for object_id in names}
        changes = {one: (before[one], named) for one, named in names.items() if named != before[one]}
        return _Renaming(self, changes)

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


@dataclass(frozen=True, slots=True)
class _Renaming:
    """Other names and classes of objects, before and after, by id."""

    work: Work
    changes: Mapping[int, tuple[Named, Named]]

    def redo(self) -> None:
        self.work.rename(self.changes)

    def undo(self) -> None:
        self.work.rename({one: (after, before) for one, (before, after) in self.changes.items()})


def _size_of(*drafts: Drafts) -> int:
    """Return the bytes of the objects that drafts were opened with."""
    opened = {draft.reopened for some in drafts for draft in some.values() if draft.reopened is not None}
    return sum(one.part.pixels.nbytes for one in opened)
