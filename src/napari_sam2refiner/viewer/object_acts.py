"""What users do to objects of the result; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam2refiner.viewer.drafts import Draft
from napari_sam2refiner.viewer.state import DockState, resolve

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.work import Work


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)  # Qt holds its slots weakly
class ObjectActs:
    """Reopens, deletes and shows objects of the plane that is shown.

    Attributes
    ----------
    state : DockState
    at_hand : callable
        Returns the work at hand, None where there is none.
    say : callable
        Takes one sentence, and brings everything into line with what was done.
    fail_because : callable
        Takes what has failed, and what was raised.
    drop_answers : callable
        Lets whatever is being worked out be for nothing.
    """

    state: DockState
    at_hand: Callable[[], Work | None]
    say: Callable[[str], None]
    fail_because: Callable[[str, Exception], None]
    drop_answers: Callable[[], None]

    def reopen(self, object_id: int | None = None) -> None:
        """Take an object of the result in hand again, the one under the mouse by default; it stays until it is kept."""
        work, found = self.at_hand(), self._meant(object_id)
        if work is None or found is None:
            return
        plane = work.canvas.plane
        before = work.draft(plane)
        if before.marks or before.reopened:
            self.say("Keep the object at hand (K) or clear it (W) first.")
            return
        labels = work.canvas.labels_on(plane)
        reopened = None if labels is None else work.origins.reopen(plane, found, labels)
        if reopened is None:
            self.say(f"Object {found} is not on this plane.")
            return
        self.drop_answers()
        after = {plane: Draft(reopened.marks, reopened=reopened)}
        work.change_drafts(f"reopening object {found}", {plane: before}, after)
        work.restore(after)
        work.canvas.start_clicking()
        self.say("")

    def delete(self, object_id: int | None = None) -> None:
        """Take an object out of the result on the plane that is shown, the one under the mouse by default."""
        work, found = self.at_hand(), self._meant(object_id)
        if work is None or found is None:
            return
        plane = work.canvas.plane
        before = work.draft(plane)
        after = Draft() if before.object_id == found else before
        try:
            erased = work.canvas.erase(plane, found)
        except Exception as error:  # whatever a layer raises
            self.fail_because("The object cannot be deleted", error)
            return
        work.change_result(f"deleting object {found}", erased, found, None, after)
        self.say(f"Object {found} deleted.")

    def look_at(self, object_id: int) -> None:
        """Show an object of the plane that is shown in the middle of the view."""
        work = self.at_hand()
        if work is not None:
            work.canvas.center_on(work.canvas.plane, object_id)

    def _meant(self, object_id: int | None) -> int | None:
        """Return an object's id, by default of the one under the mouse; None, and say so, where none is meant."""
        work = self.at_hand()
        if work is None or not resolve(self.state).can_change:
            self.say(self.state.obstacle)
            return None
        found = work.canvas.object_under_mouse if object_id is None else object_id
        if not found:
            self.say("Point at an object of the result, or choose one in the list.")
        return found or None
