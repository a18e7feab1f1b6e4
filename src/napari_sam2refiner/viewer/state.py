"""What the dock shows, as plain values, and the decisions that follow from it; no Qt, napari or torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Literal

from psygnal import EventedModel

from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer.channels import ChannelOffer
from napari_sam2refiner.viewer.guesses import Guess
from napari_sam2refiner.viewer.keys import Bindings
from napari_sam2refiner.viewer.objects import ObjectRow

Overlap = Literal["keep", "overwrite"]
Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class StackAxis:
    """An axis that frames follow each other on: which of the image's, its name, and how many frames."""

    axis: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that the user may choose.

    Attributes
    ----------
    name : str
        What `load_model` takes.
    size : int
        Bytes of the weight file.
    on_disk : bool
        Whether it loads without a download.
    note : str
        One line about it; empty when there is nothing to say.
    borrows : bool
        Whether `micro` may refine its masks, as it has no refiner of its own.
    """

    name: str
    size: int
    on_disk: bool
    note: str = ""
    borrows: bool = False

    @property
    def label(self) -> str:
        """Name, size and whether it is on disk, in one line."""
        if not self.size:
            return self.short_name
        return f"{self.name} ({self.size / 1e6:.0f} MB, {'on disk' if self.on_disk else 'download'})"

    @property
    def short_name(self) -> str:
        """The name; of a file, without its folder."""
        return PurePath(self.name).name


def default_model(models: Sequence[ModelChoice]) -> str | None:
    """Return the name of the first model that is on disk, else of the first; None where there are none."""
    return next((model.name for model in models if model.on_disk), models[0].name if models else None)


class ModelState(EventedModel):
    """Which model is chosen. Set on the GUI thread alone: psygnal calls back on the thread that sets a value.

    Attributes
    ----------
    models, model : tuple of ModelChoice, str or None
        What there is, and what is chosen.
    loading, loaded : bool, float or None
        Whether the model is being read or downloaded, and the share of a download that is there.
    unloaded : bool
        Whether the chosen model was taken out of memory, until somebody needs it.
    borrowing : bool
        Whether `micro` is to refine the masks of models that have no refiner of their own.
    """

    models: tuple[ModelChoice, ...] = ()
    model: str | None = None
    loading: bool = False
    loaded: float | None = None
    unloaded: bool = False
    borrowing: bool = False

    @property
    def chosen(self) -> ModelChoice | None:
        """The chosen model."""
        return next((model for model in self.models if model.name == self.model), None)

    @property
    def model_note(self) -> str:
        """One line about the chosen model; empty when there is nothing to say, or the note is not true just now."""
        return "" if self.chosen is None or (self.can_borrow and self.borrowing) else self.chosen.note

    @property
    def can_borrow(self) -> bool:
        """Whether `micro` may refine the chosen model's masks."""
        return self.chosen is not None and self.chosen.borrows

    @property
    def refines(self) -> bool:
        """Whether masks are to be refined: by the model's own refiner always, by `micro` if that is wanted."""
        return self.borrowing or not self.can_borrow

    @property
    def can_unload(self) -> bool:
        """Whether there is a model in memory that can be taken out of it."""
        return self.model is not None and not self.loading and not self.unloaded

    @property
    def load_news(self) -> str:
        """What the loading is at; empty when nothing loads."""
        if not self.loading:
            return ""
        chosen, name = self.chosen, PurePath(self.model or "").name
        if self.loaded is not None and self.loaded < 1:
            return f"Downloading {name}: {100 * self.loaded:.0f} % ..."
        return f"{'Loading' if chosen is None or chosen.on_disk else 'Downloading'} {name} ..."


class DockState(ModelState):
    """What the dock shows.

    Attributes
    ----------
    image : str or None
        Name of the image layer that is worked on.
    obstacle : str
        Why this view of the image cannot be clicked, with the remedy; empty when it can.
    encoding, answering : bool
        Whether the worker looks at the plane for the first time, or answers prompts.
    answered : float
        Which share of several objects is answered.
    negative : bool
        Whether the next click says "not here".
    positives, negatives, boxes, areas : int
        Prompts of what is at hand, on the plane that is shown; a scribble counts as a point, a negative outline too.
    at_hand : int
        How many objects are at hand there.
    apart : bool
        Whether each box is an object of its own.
    candidates, candidate : int
        How many masks the prompts may mean, and which is shown (from 0); no candidates where there is no preview.
    guesses : tuple of Guess
        What those masks are, in their order.
    score, seconds, pixels : float or None, float or None, int
        Estimated IoU, time to answer and area of the preview.
    next_id : int
        What the object will be in the result layer.
    reopened : int
        The object of the result that is at hand again, 0 where it is a new one.
    objects : tuple of ObjectRow
        Of the result, on the plane that is shown.
    selected : tuple of int
        Which of them are chosen in the list.
    kind : str
        The class that was given last.
    cutting : bool
        Whether the next drag on the image is a line that objects are cut along.
    too_large_to_list : bool
        Whether that plane is too large for its objects to be listed.
    earlier : float or None
        When the image was worked on last (seconds since the epoch), where that can be brought back.
    undo, redo : str
        What would be undone and redone; empty when nothing.
    news : str
        What happened last; empty when the rest says enough.
    overlap : "keep" or "overwrite"
        Whose a pixel is that already belongs to an object.
    tidying : Tidying
        What is done to masks before they are shown and kept.
    channels : ChannelOffer
        What can be looked at together with the image, and what is.
    keys : Bindings
        Which key does what, for the hints.
    has_begun, first_steps : bool
        Whether the dock has looked for an image, and whether it is to say how it goes, until something was kept.
    """

    image: str | None = None
    obstacle: str = ""
    encoding: bool = False
    answering: bool = False
    answered: float = 0.0
    negative: bool = False
    positives: int = 0
    negatives: int = 0
    boxes: int = 0
    areas: int = 0
    at_hand: int = 0
    apart: bool = False
    candidates: int = 0
    candidate: int = 0
    guesses: tuple[Guess, ...] = ()
    score: float | None = None
    seconds: float | None = None
    pixels: int = 0
    next_id: int = 1
    reopened: int = 0
    objects: tuple[ObjectRow, ...] = ()
    selected: tuple[int, ...] = ()
    kind: str = ""
    cutting: bool = False
    too_large_to_list: bool = False
    earlier: float | None = None
    undo: str = ""
    redo: str = ""
    news: str = ""
    overlap: Overlap = "keep"
    tidying: Tidying = Tidying()
    channels: ChannelOffer = ChannelOffer()
    keys: Bindings = Bindings()
    has_begun: bool = False
    first_steps: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the views set: decided from the state, changed as a whole.

    Attributes
    ----------
    status, hint : str
        What happens or has happened, and what to do next.
    busy, can_click, can_keep, can_clear, can_cycle, can_change : bool
        Whether the bar moves and which buttons work; the last: those for objects of the result.
    negative : bool
        Whether the negative button is the one that is down.
    keep, cycle, undo, redo : str
        Texts of the buttons; an empty undo or redo means there is nothing.
    earlier : str
        What earlier work can be brought back; empty where there is none.
    listed : str
        How many objects are listed.
    guesses : tuple of (int, str)
        The masks that the prompts may mean, by number, from the smallest; empty where there is no choice.
    guess : int
        Which of them is shown.
    kinds : tuple of str
        Classes that objects have.
    channels : ChannelOffer
        What can be looked at together with the image, and what is.
    keys : Bindings
        Which key does what.
    needs_image : bool
        Whether there is none.
    needs_steps, knows_steps : bool
        Whether the first steps are to be said, and whether they are done.
    """

    status: str
    hint: str
    busy: bool
    can_click: bool
    can_keep: bool
    can_clear: bool
    can_cycle: bool
    can_change: bool
    negative: bool
    keep: str
    cycle: str
    undo: str
    redo: str
    earlier: str
    listed: str
    guesses: tuple[tuple[int, str], ...]
    guess: int
    kinds: tuple[str, ...]
    keys: Bindings
    needs_image: bool
    needs_steps: bool
    knows_steps: bool


def resolve(state: DockState) -> Snapshot:
    """Decide what the dock shows."""
    can_click = state.image is not None and not state.obstacle and state.model is not None
    has_preview = state.candidates > 0
    settled = has_preview and not state.answering
    return Snapshot(
        status=_status(state),
        hint=_hint(state),
        busy=state.loading or state.encoding or state.answering,
        can_click=can_click,
        can_keep=can_click and has_preview and state.pixels > 0,
        can_clear=can_click and (_prompts(state) > 0 or state.reopened > 0),
        can_cycle=can_click and settled and state.candidates > 1,
        can_change=state.image is not None and not state.obstacle,
        negative=state.negative,
        keep=_keeping(state) + state.keys.after("keep"),
        cycle=_guess(state) + state.keys.after("guess"),
        undo=state.undo,
        redo=state.redo,
        earlier="" if state.earlier is None else f"Work on this image from {_moment(state.earlier)} was kept.",
        listed=f"Objects on this plane: {_count(state)}",
        guesses=_guesses(state) if can_click and settled else (),
        guess=state.candidate,
        kinds=tuple(sorted({row.named.kind for row in state.objects if row.named.kind})),
        keys=state.keys,
        needs_image=state.has_begun and state.image is None,
        needs_steps=state.first_steps and state.image is not None and state.next_id == 1,
        knows_steps=state.first_steps and state.image is not None and state.next_id > 1,
    )


def explain_not_keeping(state: DockState) -> str:
    """Say why there is no mask to keep."""
    if state.obstacle:
        return f"Nothing was kept. {state.obstacle}"
    if state.answering:
        return "Nothing was kept: the new mask is still on its way."
    if state.candidates:
        return "Nothing was kept: the mask is empty."
    return "There is nothing to keep yet."


def _keeping(state: DockState) -> str:
    """Say as what is kept what is at hand."""
    return f"Keep {state.at_hand}" if state.at_hand > 1 else f"Keep as {state.next_id}"


def _guess(state: DockState) -> str:
    """Say which guess is shown."""
    return f"Guess {state.candidate + 1} of {state.candidates}" if state.candidates > 1 else "Next guess"


def _prompts(state: DockState) -> int:
    """Return how many prompts the object at hand has."""
    return state.positives + state.negatives + state.boxes + state.areas


def _count(state: DockState) -> str:
    """Say how many objects there are on the plane."""
    if state.too_large_to_list:
        return "not listed, as it is large"
    return str(len(state.objects) or "none yet")


def _guesses(state: DockState) -> tuple[tuple[int, str], ...]:
    """Name the guesses, from the smallest."""
    return tuple((n, one.text) for n, one in sorted(enumerate(state.guesses), key=lambda pair: pair[1].rank))


def _moment(seconds: float) -> str:
    """Name a moment, given in seconds since the epoch."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%d %b %Y, %H:%M}"


def _status(state: DockState) -> str:
    """Say what happens now, else what happened last."""
    if state.loading:
        return state.load_news
    if state.answering:
        if state.answered:
            return f"Working on the new prompts: {100 * state.answered:.0f} % ..."
        return "Looking closer ..." if state.candidates else "Working on the new prompt ..."
    if state.encoding:
        return "Getting ready for the first click on this plane ..."
    if state.candidates and not state.news:
        return _preview(state)
    return state.news or "Ready."


def _preview(state: DockState) -> str:
    """Say how long the answer took and how sure it is."""
    if not state.pixels:
        return "Nothing found there."
    are_several = state.at_hand > 1
    parts = [f"{state.at_hand} objects: {state.pixels:,} pixels" if are_several else f"{state.pixels:,} pixels"]
    if state.score is not None:
        least = "at least " if are_several else ""
        parts.append(f"{least}{100 * min(max(state.score, 0.0), 1.0):.0f} % sure")
    if state.seconds is not None:
        parts.append(f"{state.seconds:.2f} s")
    return ", ".join(parts) + "."


def _hint(state: DockState) -> str:
    """Say what to do next."""
    key = state.keys.after
    if state.image is None:
        return "Open an image, or try things out on a sample."
    if state.obstacle:
        return state.obstacle
    if state.cutting:
        switch = state.keys.by_name.get("switch")
        back = f"; {switch} goes back to clicks" if switch else ""
        return f"Draw a line across an object, from outside to outside{back}."
    if state.model is None:
        return "Choose a model above."
    if state.answering or (state.loading and _prompts(state)):
        return "You can go on clicking: the newest prompt wins."
    if state.reopened:
        acts = f"click what is missing or too much{key('switch')}, then keep it{key('keep')}"
        return f"Object {state.reopened} is open: {acts}, or leave it as it was{key('clear')}."
    if _prompts(state) == 0:
        return "Click on an object."
    if state.positives + state.boxes + state.areas == 0:
        return "Now say where the object is: add a positive point, a box or a rough outline."
    if state.candidates == 0:
        return "Change a prompt to try again."
    if state.at_hand > 1:
        return f"A click corrects the object whose box it is in. Right? Keep them all{key('keep')}."
    if state.pixels == 0:
        return "Click elsewhere on the object, or draw a box around it."
    if state.candidates > 1:
        return f"Wrong part? Try the next guess{key('guess')}, or click what is missing. Right? Keep it{key('keep')}."
    too_much = f"remove what is too much{key('switch', ', then click')}"
    return f"Click what is missing, {too_much}, or keep it{key('keep')}."
