"""Sessions that paint discs or know the truth, and a canvas without napari, for tests of everything around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_sam2refiner.labels.write import areas_in, fill, next_free_id, write
from napari_sam2refiner.planes.lazy import RegionPlane
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.sessions.base import Candidate, LocalDetail, OnFirst, Prediction, Survey
from napari_sam2refiner.viewer.autosave import Identity
from napari_sam2refiner.viewer.channels import ChannelItem, ChannelOffer
from napari_sam2refiner.viewer.layers.source import ArraySource, ComposedSource
from napari_sam2refiner.viewer.marks import Marks, find_owner
from napari_sam2refiner.viewer.segmenter import Relabelled, RelabelRequest

if TYPE_CHECKING:
    from napari_sam2refiner.labels.patch import Patch
    from napari_sam2refiner.planes.region import Part, Picture
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.viewer.objects import Described, Named

RADII = (6.0, 10.0, 14.0)
SEEDS = [(12.0, 15.0), (30.0, 40.0), (45.0, 65.0), (12.0, 65.0)]


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> npt.NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


class FakeSession:
    """Positive points paint discs, negative ones erase smaller discs, boxes and masks are taken as they are.

    A mask before that no model made is gone on from.

    What is refined is surer by 0.05. Where it looks twice, it first sees the half above the first point.
    """

    def __init__(self, log: list[Any] | None = None, *, looks_twice: bool = False) -> None:
        self.log = [] if log is None else log
        self.looks_twice = looks_twice
        self.image: npt.NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, int] | None:
        return None if self.image is None else (self.image.shape[0], self.image.shape[1])

    def set_image(
        self, image: npt.NDArray[Any], intensity: str = "percentile", *, limits: tuple[float, float] | None = None
    ) -> Self:
        self.image = image.whole() if isinstance(image, RegionPlane) else image
        self.limits = limits
        self.log.append(("image", image.shape))
        return self

    def encode_in_parts(self) -> Iterator[float]:
        yield from (0.5, 1.0)

    def predict(
        self,
        prompts: Prompts,
        *,
        refine: bool = True,
        local_detail: LocalDetail = "prompted",
        previous: Prediction | None = None,
        on_first: OnFirst | None = None,
        view: tuple[float, float] | None = None,
    ) -> Prediction:
        assert self.shape is not None
        self.view = view
        prompts.check(self.shape, corrects=previous is not None)
        self.log.append(("predict", prompts, previous))
        drawn = previous.mask if previous is not None and previous.memo is None else None
        radii = RADII if prompts.is_single_click else (RADII[1],)
        sure = 0.9 if refine else 0.85
        candidates = tuple(self._candidate(prompts, radius, sure - 0.1 * n, drawn) for n, radius in enumerate(radii))
        best = candidates[0]
        if self.looks_twice and on_first is not None:
            seen = best.mask & (np.arange(self.shape[0])[:, None] < prompts.points[0, 0])
            on_first([Prediction(seen, np.where(seen, 4, -4).astype(np.float32), 0.5)])
        return Prediction(best.mask, best.logits, best.score, candidates, best.memo)

    def _candidate(
        self, prompts: Prompts, radius: float, score: float, drawn: npt.NDArray[np.bool_] | None
    ) -> Candidate:
        assert self.shape is not None
        mask = np.zeros(self.shape, bool) if drawn is None else drawn.copy()
        mask |= False if prompts.mask is None else prompts.mask
        for (y, x), positive in zip(prompts.points, prompts.labels, strict=True):
            if positive:
                mask |= disc(self.shape, y, x, radius)
        for y0, x0, y1, x1 in np.round(prompts.boxes).astype(int):
            mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
        for (y, x), positive in zip(prompts.points, prompts.labels, strict=True):
            if not positive:
                mask &= ~disc(self.shape, y, x, radius / 2)
        return Candidate(mask, np.where(mask, 4, -4).astype(np.float32), score, ("memo", radius))

    def predict_many(
        self, prompts: Sequence[Prompts], *, previous: Sequence[Prediction | None] | None = None, **options: Any
    ) -> list[Prediction]:
        self.log.append(("many", len(prompts)))
        options.pop("look_again", None)  # there is only one look
        before = [None] * len(prompts) if previous is None else previous
        return [self.predict(one, previous=p, **options) for one, p in zip(prompts, before, strict=True)]

    def as_whole(self) -> Self:
        return self

    def survey(self, points: int = 32) -> Survey:
        """Return the places of `SEEDS`; the last is no object."""
        assert self.shape is not None
        foreground = np.zeros((1, *self.shape), np.float32)
        for y, x in SEEDS[:-1]:
            foreground[0][disc(self.shape, y, x, RADII[0])] = 0.9
        return Survey(np.array(SEEDS), foreground, 1.0, max(self.shape))


class FakeSource:
    def __init__(self, array: npt.NDArray[Any], limits: tuple[float, float] | None = None) -> None:
        self.array, self.limits = array, limits
        self.key = self

    def read(self, plane: PlaneIndex) -> npt.NDArray[Any]:
        return plane.get(self.array)

    open = read


class FakeChannels:
    """One other image that can be looked at together with this one, and a contrast from 0 to 1."""

    changed = Signal(str)
    offered = Signal()

    def __init__(self, canvas: FakeCanvas, other: npt.NDArray[Any]) -> None:
        self._canvas, self._other = canvas, other
        self.offer = ChannelOffer((ChannelItem("other", "membranes"),))

    def choose(self, key: str, *, wanted: bool) -> None:
        self._put(ChannelOffer((ChannelItem(key, "membranes", wanted),), self.offer.as_shown))

    def set_as_shown(self, as_shown: bool) -> None:
        self._put(ChannelOffer(self.offer.items, as_shown))

    def _put(self, offer: ChannelOffer) -> None:
        self.offer, image = offer, self._canvas.image
        limits = (0.0, 1.0) if offer.as_shown else None
        sources = (ArraySource(image, limits=limits), ArraySource(self._other, limits=limits))
        self._canvas.source = ComposedSource(sources) if offer.items[0].chosen else sources[0]
        self.changed.emit("Looked at otherwise.")


class FakeWritten:
    def __init__(self, canvas: FakeCanvas, plane: PlaneIndex, patch: Patch, object_id: int = 0) -> None:
        self._canvas, self._plane, self._patch = canvas, plane, patch
        self.pixels = patch.count(plane.get(canvas.labels), object_id)
        self.size = patch.size
        self._tell()

    def undo(self) -> None:
        self._patch.undo(self._plane.get(self._canvas.labels))
        self._tell()

    def redo(self) -> None:
        self._patch.redo(self._plane.get(self._canvas.labels))
        self._tell()

    def _tell(self) -> None:
        block = [slice(step, step + 1) for step in self._plane.steps]
        for axis, part in zip(self._plane.displayed, self._patch.window, strict=True):
            block[axis] = part
        self._canvas.labels_changed.emit(tuple(block))


class FakeWrittenObjects(FakeWritten):
    def __init__(self, canvas: FakeCanvas, plane: PlaneIndex, patch: Patch, values: npt.NDArray[Any]) -> None:
        super().__init__(canvas, plane, patch, 0)
        self.areas = areas_in(np.where(plane.get(canvas.labels) == values, values, 0))


class FakeFilled:
    def __init__(self, canvas: FakeCanvas, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> None:
        self._canvas, self._before, self._after = canvas, before, after
        self.size = before.nbytes
        canvas.labels_changed.emit(None)

    def undo(self) -> None:
        self._put(self._before)

    def redo(self) -> None:
        self._put(self._after)

    def _put(self, labels: npt.NDArray[Any]) -> None:
        self._canvas.labels[:] = labels
        self._canvas.labels_changed.emit(None)


class FakeCanvas:
    """Marks, preview and labels in dictionaries and arrays."""

    marks_changed = Signal()
    plane_changed = Signal()
    image_changed = Signal(bool)
    image_renamed = Signal()
    image_removed = Signal()
    layer_lost = Signal(str, object)
    labels_changed = Signal(object)
    names_changed = Signal()
    line_drawn = Signal(object)

    def __init__(self, image: npt.NDArray[Any], name: str = "cells") -> None:
        self.image, self.name = image, name
        self.source: Any = FakeSource(image)
        self.channels = FakeChannels(self, np.ones(image.shape))
        self.exists, self.obstacle, self.attached, self.is_too_large = True, "", False, False
        self.plane = PlaneIndex((0,) * image.ndim, (image.ndim - 2, image.ndim - 1))
        self.marks: dict[PlaneIndex, Marks] = {}
        self.previews: dict[PlaneIndex, npt.NDArray[Any]] = {}
        self.labels = np.zeros(image.shape, np.uint32)
        self.kept_in: Path | None = None
        self.centered: list[tuple[PlaneIndex, int]] = []
        self.object_under_mouse = 0
        self.mode = ""
        self.polarity = (True, 1)
        self.apart = False
        self.given: Any = None  # what other layers hold
        self.names: dict[int, Named] = {}
        self.parents: dict[int, int] = {}
        self.scores: dict[int, float | None] = {}
        self.extent: tuple[float, float] | None = None

    def shape_of(self, plane: PlaneIndex) -> tuple[int, int]:
        return plane.shape(self.image)

    def attach(self) -> None:
        if self.is_too_large:
            raise MemoryError
        self.attached = True

    def detach(self) -> None:
        self.attached = False

    def close(self) -> None:
        self.detach()

    def go_to(self, plane: PlaneIndex) -> None:
        if plane != self.plane:
            self.plane = plane
            self.plane_changed.emit()

    def start_clicking(self) -> None:
        self.mode = "click"

    def start_boxing(self) -> None:
        self.mode = "box"

    def start_scribbling(self) -> None:
        self.mode = "scribble"

    @property
    def is_boxing(self) -> bool:
        return self.mode == "box"

    @property
    def is_scribbling(self) -> bool:
        return self.mode == "scribble"

    def set_next(self, *, positive: bool, object_id: int, apart: bool) -> None:
        self.polarity, self.apart = (positive, object_id), apart

    def outline_label(self, layer: Any = None) -> Any:
        return self._of_other_layers()

    def read_prompts(self, layers: Sequence[Any]) -> Any:
        return self._of_other_layers()

    def _of_other_layers(self) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def read_marks(self, plane: PlaneIndex) -> Marks:
        return self.marks.get(plane, Marks())

    def write_marks(self, plane: PlaneIndex, marks: Marks, first_id: int) -> None:
        self.marks[plane] = marks

    def show_preview(self, plane: PlaneIndex, mask: Part | Picture | None) -> None:
        if mask is None:
            self.previews.pop(plane, None)
        else:
            self.previews[plane] = mask.whole()

    def bring_back(self, layer: Any) -> None:
        self.labels = layer

    def take_away(self, layer: Any) -> None:
        self.labels = np.zeros_like(layer)

    def next_id(self) -> int:
        return next_free_id(self.labels)

    def write_mask(
        self,
        plane: PlaneIndex,
        mask: Part,
        object_id: int,
        overlap: Any,
        instead_of: Part | None = None,
    ) -> FakeWritten:
        return FakeWritten(self, plane, write(plane.get(self.labels), mask, object_id, overlap, instead_of), object_id)

    def write_objects(self, plane: PlaneIndex, picture: Picture, overlap: Any) -> FakeWrittenObjects:
        values = picture.whole()
        everything = (slice(0, values.shape[0]), slice(0, values.shape[1]))
        return FakeWrittenObjects(self, plane, fill(plane.get(self.labels), values, everything, overlap), values)

    def write_labels(self, plane: PlaneIndex, act: Callable[[npt.NDArray[Any]], Patch]) -> FakeWritten:
        return FakeWritten(self, plane, act(plane.get(self.labels)))

    def describe(self, described: Mapping[int, Described]) -> None:
        names = {**self.names, **{one: what.named for one, what in described.items()}}
        before, self.names = self.names, {one: named for one, named in names.items() if named}
        self.scores.update({one: what.score for one, what in described.items()})
        if self.names != before:
            self.names_changed.emit()

    def start_cutting(self) -> None:
        self.mode = "cut"

    @property
    def is_cutting(self) -> bool:
        return self.mode == "cut"

    def fill(self, blocks: Sequence[tuple[tuple[slice, ...], npt.NDArray[Any]]]) -> FakeFilled:
        before = self.labels.copy()
        for block, labels in blocks:
            plane = PlaneIndex(tuple(part.start for part in block), (len(block) - 2, len(block) - 1))
            fill(plane.get(self.labels), labels.reshape(labels.shape[-2:]), (block[-2], block[-1]))
        return FakeFilled(self, before, self.labels.copy())

    @property
    def has_result(self) -> bool:
        return bool(self.labels.any())

    @property
    def identity(self) -> Identity:
        return Identity(name=self.name, source=None, shape=self.labels.shape)

    def labels_on(self, plane: PlaneIndex) -> npt.NDArray[Any]:
        return plane.get(self.labels)

    def colors_of(self, ids: Sequence[int]) -> list[tuple[float, float, float, float]]:
        return [(n / 255, 0.0, 0.0, 1.0) for n in ids]

    def place_of(self, plane: PlaneIndex, object_id: int) -> None:
        return None

    def center_on(self, plane: PlaneIndex, object_id: int) -> None:
        self.centered.append((plane, object_id))

    # what the user does

    def click(self, y: float, x: float) -> None:
        self.mark(Marks(((y, x, self.polarity[0]),)))

    def mark(self, new: Marks) -> None:
        marks = self.read_marks(self.plane)
        held = dict(enumerate(marks.objects, self.polarity[1])) if marks else {}
        owner = find_owner(held, new, self.polarity[1], apart=self.apart)
        held[owner] = Marks(others=(held.get(owner, Marks()), new)).joined()
        self.change(Marks.of([held[object_id] for object_id in sorted(held)]))

    def change(self, marks: Marks) -> None:
        self.marks[self.plane] = marks
        self.marks_changed.emit()

    def draw(self, *line: tuple[float, float]) -> None:
        self.line_drawn.emit(np.array(line))

    def slide(self, step: int) -> None:
        self.go_to(PlaneIndex((step, *self.plane.steps[1:]), self.plane.displayed))


class KnowingSession:
    """Knows the labels: answers with the object under the first click, the box or the mask, or with nothing."""

    def __init__(self, labels: npt.NDArray[np.int32], *, answers: bool = True, half_first: bool = False) -> None:
        self.truth, self.answers, self.half_first = labels, answers, half_first
        self.labels = labels
        self.asked: list[Sequence[Prompts]] = []
        self.refined: list[bool] = []
        self.details: list[LocalDetail] = []
        self.given: list[list[Prediction | None]] = []

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.labels.shape
        return rows, columns

    def set_image(
        self, image: npt.NDArray[Any], intensity: str = "percentile", *, limits: tuple[float, float] | None = None
    ) -> Self:
        step = self.truth.shape[0] // image.shape[0]  # of a smaller image of the same
        self.labels = self.truth[::step, ::step]
        assert image.shape[:2] == self.shape
        self.intensity = intensity
        return self

    def encode_in_parts(self) -> Iterator[float]:
        yield 1.0

    def predict(
        self,
        prompts: Prompts,
        *,
        refine: bool,
        local_detail: LocalDetail = "prompted",
        previous: Prediction | None = None,
    ) -> Prediction:
        prompts.check(self.shape)
        if prompts.mask is not None:
            y, x = np.unravel_index(np.argmax(prompts.mask & (self.labels > 0)), self.shape)
        elif len(prompts.boxes):
            y0, x0, y1, x1 = prompts.boxes[0]
            y, x = round((y0 + y1) / 2), round((x0 + x1) / 2)
        else:
            y, x = map(round, prompts.points[0])
        self.refined.append(refine)
        self.details.append(local_detail)
        truth = (self.labels == self.labels[y, x]) & self.answers
        shown = truth.copy()
        if self.half_first and previous is None and not len(prompts.boxes):
            shown[:y] = False
        masks = (shown, truth)
        candidates = tuple(Candidate(m, np.where(m, 1, -1).astype(np.float32), 0.5) for m in masks)
        return Prediction(shown, candidates[0].logits, 0.5, candidates)

    def predict_many(
        self, prompts: Sequence[Prompts], *, previous: Sequence[Prediction | None] | None = None, **options: Any
    ) -> list[Prediction]:
        self.asked.append(prompts)
        before = [None] * len(prompts) if previous is None else list(previous)
        self.given.append(before)
        return [self.predict(p, previous=b, **options) for p, b in zip(prompts, before, strict=True)]


class FakeLabelledImage:
    """An image and its labels in arrays; what is written is kept in a list."""

    name, obstacle, loss = "cells", "", ""
    is_too_large, has_result = False, True

    def __init__(self, image: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
        self.image, self.labels = image, labels
        self.plane = PlaneIndex((0, 0))
        self.written: list[npt.NDArray[Any]] = []
        self.shown: list[tuple[PlaneIndex, int]] = []

    def request(self, plane: PlaneIndex, most_change: float, *, refine: bool) -> RelabelRequest:
        labels = FakeSource(self.labels)
        return RelabelRequest(FakeSource(self.image), plane, labels, plane, most_change, refine, self.labels.copy)

    def write(self, plane: PlaneIndex, relabelled: Relabelled) -> str:
        if self.is_too_large:
            raise MemoryError
        self.written.append(relabelled.after)
        return f"{self.name} refined"

    def show_object(self, plane: PlaneIndex, object_id: int) -> bool:
        if self.has_result:
            self.shown.append((plane, object_id))
        return self.has_result
