"""The objects of the image at hand to files of other programs, and theirs into the viewer; no Qt or napari here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidLabelsError, reason_of
from napari_sam2refiner.labels.exchange.formats import export_objects, find_format, import_objects
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, guess_axes
from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.viewer.segmenter import Job, Outcome

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.loader import Submit

Stacked = Literal["T", "Z"]
Known = TypeVar("Known")


@dataclass(frozen=True, slots=True, eq=False)
class ImageAtHand:
    """The image at hand, and its objects.

    Attributes
    ----------
    name : str
        Of its file, where it comes from one.
    shape : tuple of int
        Without colours.
    labels : array or None
        The result; None where there is none.
    scores : mapping of int to float
        How sure the model was of objects that were kept.
    classes : mapping of int to str
        Those that the user gave.
    names : mapping of int to str
        Those that the user gave.
    parents : mapping of int to int
        Which objects came of which.
    scale : tuple of float, optional
        Size of a pixel along each axis, where it is known.
    image : array
        The pixels, also behind dask.
    """

    name: str
    shape: tuple[int, ...]
    labels: npt.NDArray[Any] | None = None
    scores: Mapping[int, float] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    parents: Mapping[int, int] = field(default_factory=dict)
    scale: tuple[float, ...] | None = None
    image: Any = None


class Wish(NamedTuple):
    """Which file the user wants, to write or to read.

    Attributes
    ----------
    path : Path
    format_name : str
        Empty: the one that the path's ending means.
    stacked : "T" or "Z"
        What the first axis of a stack is.
    overwrite : bool
        Whether what is there already may be replaced.
    """

    path: Path
    format_name: str = ""
    stacked: Stacked = "T"
    overwrite: bool = False

    def axes(self, ndim: int) -> str:
        """Return the axes of labels of so many dimensions."""
        return f"{self.stacked}YX" if ndim == 3 else guess_axes(ndim)


class Exporter:
    """Writes and reads files off this thread, one at a time.

    Parameters
    ----------
    submit : callable
        Takes a job and what to call with its outcome, on the thread that runs this.
    at_hand : callable
        Returns the image at hand, None where there is none.
    chosen : callable
        Returns what is to be exported, with its image; None where there is none.
    add : callable
        Puts objects into the viewer under a name, and returns the name that they have there.
    show : callable
        Takes one sentence about what happened, and whether something is under way.
    report : callable
        Takes one sentence about what went wrong.
    """

    def __init__(
        self,
        submit: Submit,
        at_hand: Callable[[], ImageAtHand | None],
        chosen: Callable[[], ImageAtHand | None],
        add: Callable[[LabelledObjects, str], str],
        show: Callable[[str, bool], None],
        report: Callable[[str], None],
    ) -> None:
        self._submit, self._at_hand, self._chosen = submit, at_hand, chosen
        self._add, self._show, self._report = add, show, report

    def export(self, wish: Wish) -> None:
        """Write the objects that are chosen."""
        at_hand = self._chosen()
        if at_hand is None or at_hand.labels is None:
            self._fail("There are no objects to export; open an image and keep some.")
            return
        self._show(f"Writing {wish.path.name} ...", True)
        job = Job("exchange", lambda _: _export(wish, at_hand))
        self._submit(job, self._on_exported)

    def load(self, wish: Wish) -> None:
        """Put the objects of a file into the viewer."""
        at_hand = self._at_hand()
        self._show(f"Reading {wish.path.name} ...", True)
        job = Job("exchange", lambda _: _load(wish, at_hand))
        self._submit(job, partial(self._on_loaded, wish.path.name.split(".")[0]))

    def _on_exported(self, outcome: Outcome) -> None:
        if outcome.error:
            self._fail(outcome.error)
        else:
            self._show(outcome.value, False)

    def _on_loaded(self, name: str, outcome: Outcome) -> None:
        if outcome.error:
            self._fail(outcome.error)
            return
        objects, words = outcome.value
        try:
            layer = self._add(objects, name)
        except Exception as error:  # whatever a viewer raises
            self._fail(f"The objects cannot be shown: {reason_of(error)}.")
            return
        self._show(f"{words} See the layer {layer}. {objects.note}".strip(), False)

    def _fail(self, error: str) -> None:
        self._show(error, False)
        self._report(error)


def _export(wish: Wish, at_hand: ImageAtHand) -> str:
    """Write the objects, and return a sentence about it."""
    start = time.perf_counter()
    one = find_format(wish.path, wish.format_name or None)
    labels = np.array(at_hand.labels)  # the user may paint meanwhile
    ids = ids_in(labels)
    there = {*ids}
    if not ids:
        msg = "There are no objects to export; keep some first."
        raise InvalidLabelsError(msg)
    image = np.asarray(at_hand.image) if one.name == "csv" and at_hand.image is not None else None
    axes = wish.axes(labels.ndim)
    objects = LabelledObjects(
        labels,
        axes,
        classes=_among(ids, at_hand.classes),
        scores=_among(ids, at_hand.scores),
        parents={child: one for child, one in _among(ids, at_hand.parents).items() if one in there},
        scale=at_hand.scale,
        image=image,
        image_name=at_hand.name,
        names=_among(ids, at_hand.names),
    )
    export_objects(wish.path, objects, one.name, overwrite=wish.overwrite)
    return f"{wish.path.name}: {_count(ids)} written as {one.title} in {time.perf_counter() - start:.1f} s."


def _among(ids: list[int], known: Mapping[int, Known]) -> dict[int, Known]:
    """Return what is known of objects that are there."""
    return {number: known[number] for number in ids if number in known}


def _load(wish: Wish, at_hand: ImageAtHand | None) -> tuple[LabelledObjects, str]:
    """Read objects, and return them with a sentence about it."""
    start = time.perf_counter()
    one = find_format(wish.path, wish.format_name or None)
    shape = None if one.knows_shape or at_hand is None else at_hand.shape
    objects = import_objects(wish.path, one.name, shape=shape)
    count = _count(ids_in(objects.labels))
    return objects, f"{wish.path.name}: {count} read in {time.perf_counter() - start:.1f} s."


def _count(ids: list[int]) -> str:
    return f"{len(ids)} object{'' if len(ids) == 1 else 's'}"
