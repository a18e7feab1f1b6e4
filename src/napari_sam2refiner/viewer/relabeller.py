"""Has the labels of a plane refined, and knows what changed; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from napari_sam2refiner.sessions.relabel import Change
from napari_sam2refiner.viewer.runs import Pair, Runner, RunState
from napari_sam2refiner.viewer.segmenter import Job, Outcome, Relabelled, RelabelRequest, Segmenter

if TYPE_CHECKING:
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.viewer.loader import Submit


class LabelledImage(Pair, Protocol):
    """What the relabeller needs of an image and its labels in a viewer, as they were when it was told to begin."""

    @property
    def name(self) -> str:
        """The labels' name."""

    @property
    def loss(self) -> str:
        """What has become of a layer, removed or reshaped, so that there is nothing to write; empty when nothing."""

    @property
    def plane(self) -> PlaneIndex:
        """The plane of the image that is shown."""

    def request(self, plane: PlaneIndex, most_change: float, *, refine: bool) -> RelabelRequest:
        """Return what to ask for."""

    def write(self, plane: PlaneIndex, relabelled: Relabelled) -> str:
        """Write refined labels into a layer of their own; return its name."""

    def show_object(self, plane: PlaneIndex, object_id: int) -> bool:
        """Select an object in that layer and centre the view on it; return whether the layer is still there."""


class RelabelState(RunState):
    """What the dock shows.

    Attributes
    ----------
    most_change : float
        Objects that would change by more, in IoU, are kept as they were.
    changes : tuple of Change
        Of the newest result, those that changed most first.
    """

    most_change: float = 0.5
    changes: tuple[Change, ...] = ()

    @property
    def can_refine(self) -> bool:
        """Whether there is a model and nothing runs."""
        return self.model is not None and not self.running

    @property
    def status(self) -> str:
        """What happens now, else what happened last."""
        if self.loading:
            return self.load_news
        if self.running:
            return "Refining the labels ..." if self.share is None else f"Refining: {100 * self.share:.0f} % ..."
        return self.news or "Choose an image and its labels, then refine."


class Relabeller(Runner[RelabelState, LabelledImage]):
    """Has the labels of one plane refined at a time; its parameters are those of every `Runner`."""

    def __init__(
        self,
        state: RelabelState,
        segmenter: Segmenter,
        submit: Submit,
        make_pair: Callable[[Any, Any], LabelledImage],
        report: Callable[[str], None],
    ) -> None:
        super().__init__(state, segmenter, submit, make_pair, report)
        self._pair: LabelledImage | None = None  # being refined
        self._shown: tuple[LabelledImage, PlaneIndex] | None = None  # what the changes are of

    def set_most_change(self, most_change: float) -> None:
        """Choose how much an object may change."""
        self.state.most_change = most_change

    def refine(self, image: Any, labels: Any) -> None:
        """Refine the labels on the plane that is shown, or say why not."""
        if self.is_closed or not self.state.can_refine:
            return
        pair = self._pair_of(image, labels)
        if pair is None:
            return
        if pair.obstacle:
            self._fail(pair.obstacle)
            return
        self._models.wake()
        self._runs += 1
        run, plane = self._runs, pair.plane
        self._pair = pair
        self.state.running, self.state.share = True, None
        request = pair.request(plane, self.state.most_change, refine=self.state.refines)
        work = partial(self._segmenter.relabel, request)
        job = Job("relabel", work, partial(self._on_progressed, run), partial(self._is_current, run))
        self._submit(job, partial(self._on_refined, run, pair, plane))

    def cancel(self) -> None:
        """End the run; nothing is written."""
        if self.state.running:
            self._end()
            self._say("Cancelled; nothing was written.")

    def check_layers(self) -> None:
        """End the run where one of its layers has gone."""
        if self._pair is not None and self._pair.loss:
            loss = self._pair.loss
            self._end()
            self._say(f"{loss}, so nothing was written.")

    def show_object(self, object_id: int) -> None:
        """Show an object of the newest result."""
        if self._shown is not None and not self._shown[0].show_object(self._shown[1], object_id):
            self._say("The refined layer was removed; refine again to look at its objects.")

    def _let_go(self) -> None:
        self._pair = self._shown = None

    def _words_when_ready(self) -> str:
        return f"{self.state.model} is ready: Refine gives every object on this plane a new outline."

    def _on_progressed(self, run: int, share: float) -> None:
        if self._is_current(run):
            self.state.share = share

    def _on_refined(self, run: int, pair: LabelledImage, plane: PlaneIndex, outcome: Outcome) -> None:
        if not self._is_current(run):
            return
        self.check_layers()
        if not self._is_current(run):
            return
        self._end()
        if outcome.error:
            self._fail(outcome.error)
            return
        relabelled: Relabelled = outcome.value
        try:
            name = pair.write(plane, relabelled)
        except MemoryError:
            self._fail(f"There is not enough memory for another layer of the size of {pair.name}; crop it first.")
            return
        self._shown = (pair, plane)
        self.state.changes = tuple(sorted(relabelled.changes, key=lambda change: change.iou))
        self._say(f"{_summary(relabelled)} See the layer {name}.")

    def _end(self) -> None:
        self._runs += 1
        self._pair = None
        self.state.running, self.state.share = False, None


def _summary(relabelled: Relabelled) -> str:
    """Say how many objects changed, were kept and are gone, and how long it took."""
    changes = relabelled.changes
    kept = sum(change.kept for change in changes)
    changed = sum(not change.kept and change.iou < 1 for change in changes)
    gone = sum(change.pixels_after == 0 for change in changes)
    parts = [f"{changed} changed", f"{kept} would have changed too much and were kept"]
    if gone:
        parts.append(f"{gone} lost all pixels to others")
    objects = f"{len(changes)} object{'' if len(changes) == 1 else 's'}"
    return f"{objects}: {', '.join(parts)}; {relabelled.seconds:.1f} s."
