"""Has the objects of the plane that is shown listed; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from napari_sam2refiner.labels.write import areas_in
from napari_sam2refiner.viewer.frame_counts import look_through
from napari_sam2refiner.viewer.segmenter import Job, Outcome

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.state import DockState
    from napari_sam2refiner.viewer.work import Work

LARGEST_LISTED = 2**25  # pixels of a plane whose objects are counted in some tens of milliseconds


class Listing:
    """Lists objects in the state, counted by the worker; the newest list wins.

    Parameters
    ----------
    state : DockState
    submit : callable
        Takes a job and what to call with its outcome.
    at_hand : callable
        Returns the work at hand, None where there is none.
    """

    def __init__(self, state: DockState, submit: Submit, at_hand: Callable[[], Work | None]) -> None:
        self._state, self._submit, self._at_hand = state, submit, at_hand
        self._number = 0

    def ask(self) -> None:
        """Have the objects of the plane that is shown listed."""
        self._number += 1
        work, number = self._at_hand(), self._number
        labels = None if work is None else work.canvas.labels_on(work.canvas.plane)
        self._state.too_large_to_list = labels is not None and labels.size > LARGEST_LISTED
        if work is None or labels is None or self._state.too_large_to_list:
            self._state.objects = self._state.selected = ()
            return
        job = Job("list", lambda _: areas_in(labels), is_wanted=partial(self._is_newest, number))
        self._submit(job, partial(self._on_counted, work, work.canvas.plane, number))

    def close(self) -> None:
        """Want no list any more."""
        self._number += 1

    def _is_newest(self, number: int) -> bool:
        """Return whether nobody has asked for another list since; the worker asks this too."""
        return number == self._number

    def _on_counted(self, work: Work, plane: PlaneIndex, number: int, outcome: Outcome) -> None:
        if self._is_newest(number) and work is self._at_hand() and not outcome.error:
            self._list(work, plane, outcome.value)
            self._count_frames(work, plane, number, outcome.value)

    def _list(self, work: Work, plane: PlaneIndex, areas: Mapping[int, int]) -> None:
        colors = work.canvas.colors_of(list(areas))
        self._state.objects = work.origins.rows(plane, areas, colors, work.canvas.names, work.frames.counts)
        self._state.selected = tuple(one for one in self._state.selected if one in areas)

    def _count_frames(self, work: Work, plane: PlaneIndex, number: int, areas: Mapping[int, int]) -> None:
        """Have the next planes of a stack looked through, until all are known or another list is asked for."""
        labels = work.canvas.labels
        planes = [] if labels is None else work.frames.next_planes(labels, plane)
        if labels is None or not planes:
            return
        job = Job("list", lambda _: look_through(labels, planes), is_wanted=partial(self._is_newest, number))
        self._submit(job, partial(self._on_looked_through, work, plane, number, areas))

    def _on_looked_through(
        self, work: Work, plane: PlaneIndex, number: int, areas: Mapping[int, int], outcome: Outcome
    ) -> None:
        if outcome.error:
            return
        work.frames.put(outcome.value)
        if self._is_newest(number) and work is self._at_hand():
            if work.frames.counts is not None:
                self._list(work, plane, areas)
            self._count_frames(work, plane, number, areas)
