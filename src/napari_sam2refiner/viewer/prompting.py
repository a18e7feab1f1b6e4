"""Other ways to prompts than clicks: scribbles, boxes apart, and what other layers hold; no Qt or napari here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_sam2refiner.errors import SAM2RefinerError
from napari_sam2refiner.viewer.changes import refuse
from napari_sam2refiner.viewer.state import resolve

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.drafts import Draft
    from napari_sam2refiner.viewer.marks import Marks
    from napari_sam2refiner.viewer.state import DockState
    from napari_sam2refiner.viewer.work import Work


class Prompting:
    """Makes prompts in other ways than by clicks.

    Parameters
    ----------
    state : DockState
    at_hand : callable
        Returns the work on the image at hand, None where there is no image.
    show : callable
        Brings everything into line with what was done.
    say, fail : callable
        Take one sentence, about what happened or what is wrong.
    drop_answers, ask : callable
        Let whatever is being worked out be for nothing; have what is at hand answered.
    """

    def __init__(
        self,
        state: DockState,
        at_hand: Callable[[], Work | None],
        *,
        show: Callable[[], None],
        say: Callable[[str], None],
        fail: Callable[[str], None],
        drop_answers: Callable[[], None],
        ask: Callable[[], None],
    ) -> None:
        self._state, self._at_hand = state, at_hand
        self._show, self._say, self._fail = show, say, fail
        self._drop_answers, self._ask = drop_answers, ask

    def start_scribbling(self) -> None:
        """Make the next drag on the image a scribble; where it is one already, go back to clicks."""
        work = self._at_hand()
        if work is None:
            return
        if work.canvas.is_scribbling:
            work.canvas.start_clicking()
        else:
            work.canvas.start_scribbling()
        self._show()

    def set_apart(self, apart: bool) -> None:
        """Choose whether each box is an object of its own; those at hand, too."""
        self._state.apart = apart
        work = self._at_hand()
        if work is None:
            return
        plane = work.canvas.plane
        draft = work.draft(plane)
        marks = draft.marks.parted() if apart and not draft.reopened else draft.marks.joined()
        self._put_marks(work, "one object for each box" if apart else "one object for all boxes", {plane: marks})

    def take_label(self, layer: Any = None) -> None:
        """Take a label of other labels as a rough outline: one that is chosen in a layer, or that under the mouse."""
        work = self._at_hand()
        if work is None or not resolve(self._state).can_click:
            self._say(self._state.obstacle)
            return
        try:
            name, outline = work.canvas.outline_label(layer)
        except SAM2RefinerError as error:
            self._refuse(error)
            return
        plane = work.canvas.plane
        self._put_marks(work, name, {plane: work.draft(plane).marks.with_outline(outline)})

    def take_prompts(self, layers: Sequence[Any]) -> None:
        """Take the prompts in other layers, on all planes where nothing is at hand."""
        work = self._at_hand()
        if work is None or not resolve(self._state).can_click:
            self._say(self._state.obstacle)
            return
        try:
            marks = work.canvas.read_prompts(layers)
        except SAM2RefinerError as error:
            self._refuse(error)
            return
        free = {plane: one for plane, one in marks.items() if not _is_begun(work.draft(plane))}
        if not free:
            key = self._state.keys.after
            self._say(f"Keep the object at hand{key('keep')} or clear it{key('clear')} first.")
        elif self._state.apart:
            self._put_marks(work, "taking prompts", {plane: one.parted() for plane, one in free.items()})
        else:
            self._put_marks(work, "taking prompts", free)

    def _put_marks(self, work: Work, what: str, marks: Mapping[PlaneIndex, Marks]) -> None:
        """Take other marks than those in the layers, undoably, and ask what they mean."""
        before = {plane: work.draft(plane) for plane, new in marks.items() if work.draft(plane).marks != new}
        after = {plane: draft.then(marks[plane]) for plane, draft in before.items()}
        error = refuse(work.canvas, before, after)
        if error:
            self._fail(error)
        elif after:
            self._drop_answers()
            work.change_drafts(what, before, after)
            work.restore(after)
            self._ask()
        self._say(error)

    def _refuse(self, error: SAM2RefinerError) -> None:
        self._fail(str(error))
        self._show()


def _is_begun(draft: Draft) -> bool:
    return bool(draft.marks or draft.reopened)
