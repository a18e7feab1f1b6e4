"""What users do to objects of the result; no Qt, napari or torch here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2refiner.labels.cut import Cut, cut, merge
from napari_sam2refiner.labels.write import erase
from napari_sam2refiner.planes.region import around
from napari_sam2refiner.viewer.drafts import Draft
from napari_sam2refiner.viewer.objects import Named, Origin
from napari_sam2refiner.viewer.state import DockState, resolve

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2refiner.labels.patch import Patch
    from napari_sam2refiner.viewer.canvas import Written
    from napari_sam2refiner.viewer.work import Work

LARGEST_SEARCHED = 2**24  # labels that are looked through for an object within ten milliseconds
MOST_NAMED = 5  # objects in one sentence


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)  # Qt holds its slots weakly
class ObjectActs:
    """Reopens, deletes, merges, cuts, names and shows objects of the plane that is shown.

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
        work, meant = self.at_hand(), self._meant(() if object_id is None else (object_id,))
        if work is None or not meant:
            return
        plane, found = work.canvas.plane, meant[0]
        before = work.draft(plane)
        if before.marks or before.reopened:
            key = self.state.keys.after
            self.say(f"Keep the object at hand{key('keep')} or clear it{key('clear')} first.")
            return
        labels = work.canvas.labels_on(plane)
        place = work.canvas.place_of(plane, found)
        reopened = None if labels is None else work.origins.reopen(plane, found, labels, place)
        if reopened is None:
            self.say(f"Object {found} is not on this plane.")
            return
        self.drop_answers()
        after = {plane: Draft(reopened.marks, reopened=reopened)}
        work.change_drafts(f"reopening object {found}", {plane: before}, after)
        work.restore(after)
        work.canvas.start_clicking()
        self.say("")

    def delete(self, ids: Sequence[int] = ()) -> None:
        """Take objects out of the result on the plane that is shown, the one under the mouse by default."""
        work, found = self.at_hand(), self._meant(ids)
        if work is None or not found:
            return
        before = work.draft(work.canvas.plane)
        after = Draft() if before.object_id in found else before
        places = [work.canvas.place_of(work.canvas.plane, one) for one in found]
        known = [place for place in places if place is not None]
        within = functools.reduce(around, known) if len(known) == len(found) else None
        written = self._change(work, lambda labels: erase(labels, found, within), f"{_named(found)} cannot be deleted")
        if written is not None:
            origins = dict.fromkeys(found)
            work.change_result(f"deleting {_small(found)}", written, origins, after, _unnamed(work, found))
            self.say(f"{_named(found)} deleted.")

    def merge(self, ids: Sequence[int] = ()) -> None:
        """Make objects one on the plane that is shown: those chosen in the list, and the one under the mouse."""
        work, found = self.at_hand(), self._meant(sorted(ids or self._chosen_and_under_mouse()))
        if work is None or not found or self._is_another_open(work, found):
            return
        if len(found) < 2:
            self.say("Choose two objects in the list (Ctrl-click), or choose one and point at the other.")
            return
        plane, (into, *others) = work.canvas.plane, found
        written = self._change(work, lambda labels: merge(labels, found, into), f"{_named(found)} cannot be merged")
        if written is None:
            return
        origins = {into: work.origins.merged(plane, found), **dict.fromkeys(others)}
        known = [work.canvas.names.get(one, Named()) for one in found]
        name, kind = (
            next((one.name for one in known if one.name), ""),
            next((one.kind for one in known if one.kind), ""),
        )
        names = {into: Named(name, kind), **_unnamed(work, others)}
        work.change_result(f"merging {_small(found)}", written, origins, work.draft(plane), names)
        self.say(f"{_named(found)} merged into {into}.")

    def start_splitting(self) -> None:
        """Make the next drag on the image a line that objects are cut along; again: back to clicks."""
        work = self.at_hand()
        if work is None or not resolve(self.state).can_change:
            self.say(self.state.obstacle)
        elif work.canvas.is_cutting:
            work.canvas.start_clicking()
            self.say("")
        elif not self._is_another_open(work):
            work.canvas.start_cutting()
            self.say("")

    def split(self, line: npt.NDArray[np.float64]) -> None:
        """Cut the objects of the plane that is shown along a line (N, 2); the next click is a point again."""
        work = self.at_hand()
        if work is None:
            return
        work.canvas.start_clicking()
        if self._is_another_open(work):
            return
        first, made = work.canvas.next_id(), list[Cut]()

        def act(labels: npt.NDArray[Any]) -> Patch:
            made.append(cut(labels, line, first))
            return made[0].patch

        written = self._change(work, act, "The object cannot be split")
        if written is None:
            return
        parts = made[0].parts
        if not parts:
            self.say("The line crosses no object from side to side; begin and end outside it.")
            return
        known = work.canvas.names
        names = {new: Named(kind=known.get(one, Named()).kind) for one, news in parts.items() for new in news}
        origins: dict[int, Origin | None] = dict.fromkeys([*parts, *names])
        work.change_result(f"splitting {_small([*parts])}", written, origins, work.draft(work.canvas.plane), names)
        self.say(f"{_named([*parts])} split: {_small([*names])} {'is' if len(names) == 1 else 'are'} new.")

    def call(self, object_id: int, name: str) -> None:
        """Give an object a name; an empty one takes it away."""
        work = self.at_hand()
        if work is not None and resolve(self.state).can_change:
            self._rename(work, f"naming object {object_id}", [object_id], name=name.strip())

    def classify(self, kind: str | None = None, ids: Sequence[int] = ()) -> None:
        """Give objects a class, the one given last by default; an empty one takes it away.

        Those objects are the one under the mouse by default, or else those chosen in the list.
        """
        work = self.at_hand()
        under = 0 if work is None else work.canvas.object_under_mouse
        found = self._meant(ids or ((under,) if under else self.state.selected))
        if work is None or not found:
            return
        kind = self.state.kind if kind is None else kind.strip()
        if not kind and not any(work.canvas.names.get(one, Named()).kind for one in found):
            self.say("Type or choose a class below the list first.")
            return
        self.state.kind = kind or self.state.kind
        self._rename(work, f"class of {_small(found)}", found, kind=kind)

    def choose(self, ids: Sequence[int]) -> None:
        """Take note of which objects are chosen in the list."""
        self.state.selected = tuple(ids)

    def look_at(self, object_id: int) -> None:
        """Show an object of the plane that is shown in the middle of the view."""
        work = self.at_hand()
        if work is not None:
            work.canvas.center_on(work.canvas.plane, object_id)

    def _meant(self, ids: Sequence[int]) -> list[int]:
        """Return ids of objects, by default of the one under the mouse; none, and say so, where none is meant."""
        work = self.at_hand()
        if work is None or not resolve(self.state).can_change:
            self.say(self.state.obstacle)
            return []
        found = [one for one in ids or (work.canvas.object_under_mouse,) if one]
        if not found:
            self.say("Point at an object of the result, or choose one in the list.")
        return found

    def _chosen_and_under_mouse(self) -> set[int]:
        """Return what is to be merged where nobody says more."""
        work, chosen = self.at_hand(), set(self.state.selected)
        if work is None or len(chosen) > 1:
            return chosen
        return chosen | {work.canvas.object_under_mouse} - {0}

    def _is_another_open(self, work: Work, ids: Sequence[int] | None = None) -> bool:
        """Return whether one of these objects, or any, is at hand already, and say so."""
        opened = work.draft(work.canvas.plane).object_id
        is_open = opened is not None and (ids is None or opened in ids)
        if is_open:
            left = f"leave it as it was{self.state.keys.after('clear')}"
            self.say(f"Keep object {opened}, which is open, or {left} first.")
        return is_open

    def _change(self, work: Work, act: Callable[[npt.NDArray[Any]], Patch], failure: str) -> Written | None:
        """Change the labels of the plane that is shown; None, and say so, where that fails."""
        try:
            return work.canvas.write_labels(work.canvas.plane, act)
        except Exception as error:  # whatever a layer raises
            self.fail_because(failure, error)
            return None

    def _rename(self, work: Work, what: str, ids: Sequence[int], **changes: str) -> None:
        """Give objects another name or class, if it is another."""
        known = {one: work.canvas.names.get(one, Named()) for one in ids}
        names = {one: replace(named, **changes) for one, named in known.items()}
        if names != known:
            work.change_names(what, names)
            given = next(iter(changes.values()))
            self.say(f"{_named(ids)}: {given}." if given else f"Taken away: {what}.")


def _unnamed(work: Work, ids: Sequence[int]) -> dict[int, Named]:
    """Return that objects have no name and class any more, as far as they are on no plane; looks at small labels."""
    labels, named = work.canvas.labels, [one for one in ids if one in work.canvas.names]
    if not named or labels is None or labels.size > LARGEST_SEARCHED:
        return {}
    there = np.unique(labels[np.isin(labels, named)]).tolist()  # looked through once, however many they are
    return dict.fromkeys((one for one in named if one not in there), Named())


def _small(ids: Sequence[int]) -> str:
    """Name objects inside a sentence."""
    shown = ", ".join(map(str, ids[:MOST_NAMED])) + (" ..." if len(ids) > MOST_NAMED else "")
    return f"object{'s' if len(ids) > 1 else ''} {shown}"


def _named(ids: Sequence[int]) -> str:
    """Name objects at the beginning of a sentence."""
    return _small(ids).capitalize()
