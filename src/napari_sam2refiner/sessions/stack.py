"""`StackSession`: objects carried through a time-lapse or a z-stack by what is remembered of them.

Frames are read one at a time and never all kept. On a SAM 2.1 it answers as the official video predictor (Ravi et al.,
arXiv 2408.00714), whose memory it prunes to what is read; there, prompts on a first anchor that is prompted again after
propagation look at what the memory holds of that frame itself, here they do not.

Letters: Y, X rows and columns of a frame; N objects; h stride-4 pixels of the square.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2refiner.errors import InvalidConfigError, InvalidImageError, InvalidPromptError, ReadError
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.planes.intensity import MOST_SAMPLES, check_plane, limits, rescale
from napari_sam2refiner.sessions.carriers import Carrier, Image, MemoryCarrier, WindowCarrier
from napari_sam2refiner.sessions.doubt import Glimpse, doubt
from napari_sam2refiner.sessions.memory import Carried, Impression, Mask, Track
from napari_sam2refiner.weights.load import load_memory

if TYPE_CHECKING:
    from napari_sam2refiner.network.refiner import SAM2Refiner
    from napari_sam2refiner.network.window_memory import WindowMemory
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.cache import EmbeddingCache

Direction = Literal["both", "forward", "backward"]

SAMPLED = 16  # frames that intensities are taken from


class Frames(Protocol):
    """A stack: numpy, dask, zarr, or anything else with a length and planes (Y, X) or (Y, X, C)."""

    def __len__(self) -> int:
        """Return how many frames there are."""

    def __getitem__(self, index: int) -> Any:
        """Return a frame, or what becomes one by `numpy.asarray`."""


@dataclass(frozen=True, eq=False)
class StackObject:
    """One object on one frame.

    Attributes
    ----------
    score : float
        The network's estimate of the mask's IoU, 0 to 1.
    object_score : float
        How likely it is there at all, 0 to 1.
    """

    score: float
    object_score: float
    _kept: Mask
    _frame: Frame

    @cached_property
    def logits(self) -> npt.NDArray[np.float32]:
        """(Y, X), above zero inside."""
        kept = self._kept.logits()
        values: Image = (
            kept if kept.shape == self._frame.shape else self._frame.logits_to_plane(kept[None])[0]
        ).numpy()
        return values

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(Y, X)."""
        inside: npt.NDArray[np.bool_] = self.logits > 0
        return inside


@dataclass(frozen=True, eq=False)
class StackFrame:
    """All objects on one frame.

    Attributes
    ----------
    index : int
    objects : mapping of int to StackObject
        By id.
    fresh : set of int
        Those that were carried here just now.
    ended : set of int
        Those that are not carried here, as they ended here or before.
    doubts : mapping of int to str
        Why objects that were carried here are worth a look, as words after their names.
    """

    index: int
    shape: tuple[int, int]
    objects: Mapping[int, StackObject]
    fresh: frozenset[int] = frozenset()
    ended: frozenset[int] = frozenset()
    doubts: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def labels(self) -> npt.NDArray[np.uint32]:
        """(Y, X) of ids, 0 outside; where objects overlap, the one whose logit is highest."""
        labels = np.zeros(self.shape, np.uint32)
        highest = np.zeros(self.shape, np.float32)
        for number, one in self.objects.items():
            higher = one.logits > highest
            labels[higher] = number
            highest[higher] = one.logits[higher]
        return labels


class StackSession:
    """Segments objects through a stack by prompts on any of its frames.

    Parameters
    ----------
    model : SAM2Refiner
    frames : Frames
        Of one shape. Read one at a time, the next while one is computed.
    limits : (float, float), optional
        Intensities that become black and white on every frame; percentiles of a sample of the frames by default.
    memory : WindowMemory, optional
        What carries objects, each in a window around it. By default `micro` has the one that comes with the package,
        and a SAM 2.1 its own memory of whole frames.
    cache : EmbeddingCache, optional
        Of frames that a SAM 2.1 has encoded, which propagating again need not encode again; by default some in memory.

    Raises
    ------
    InvalidImageError
        If there is no frame.
    ReadError
        If the first frame cannot be read, or is no plane.
    """

    def __init__(
        self,
        model: SAM2Refiner,
        frames: Frames,
        *,
        limits: tuple[float, float] | None = None,
        memory: WindowMemory | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        if not len(frames):
            msg = "the stack has no frames; give at least one."
            raise InvalidImageError(msg)
        self._model = model
        self._frames = frames
        self._reading = threading.Lock()
        self._shape: tuple[int, int] = self._read(0).shape[:2]
        self._limits = self._sampled_limits() if limits is None else limits
        self._tracks: dict[int, Track] = {}
        self._coming: dict[int, Future[Image]] = {}
        common = (model, self._shape, len(frames), self._image)
        self._carrier: Carrier
        if memory is None and not model.base.carries_masks:
            self._carrier = MemoryCarrier(*common, cache)
        else:
            memory = load_memory(device=model.device) if memory is None else memory
            self._carrier = WindowCarrier(*common, memory, cache)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self._shape

    @property
    def objects(self) -> list[int]:
        """Ids of those that have prompts."""
        return sorted(self._tracks)

    @property
    def anchors(self) -> dict[int, set[int]]:
        """Frames with prompts of each object, by id."""
        return {number: set(track.anchors) for number, track in self._tracks.items()}

    @property
    def limits(self) -> tuple[float, float]:
        """Intensities that become black and white on every frame."""
        return self._limits

    def __len__(self) -> int:
        """Return how many frames there are."""
        return len(self._frames)

    def add(self, object_id: int, frame: int, prompts: Prompts) -> StackFrame:
        """Prompt an object on a frame, which becomes one of its anchors; frames between its neighbours are forgotten.

        Parameters
        ----------
        object_id : int
            At least 1; a new object, or one to correct.
        frame : int
        prompts : Prompts
            All prompts of the object on this frame. Points correct the mask that is there, also negative ones alone; a
            mask stands as it is.

        Returns
        -------
        StackFrame
            The frame as it is now.

        Raises
        ------
        InvalidPromptError
            If the prompts mean nothing on this frame.
        ReadError
            If the frame cannot be read.
        """
        self._check(object_id, frame)
        track = self._tracks.get(object_id, Track())
        known = track.at(frame)
        prompts.check(self._shape, corrects=known is not None and known.object_logit > 0)
        with torch.no_grad():
            impression = self._carrier.prompted(track, frame, prompts)
        track.take(frame, impression)
        self._tracks[object_id] = track
        return self.at(frame)

    def remove(self, object_id: int, frame: int | None = None) -> None:
        """Forget an object, or its prompts on one frame with what was carried from there.

        Raises
        ------
        InvalidPromptError
            If there is no such object, or it has no prompts there.
        """
        track = self._tracks.get(object_id)
        if track is None:
            msg = f"there is no object {object_id}; choose one of {sorted(self._tracks)}."
            raise InvalidPromptError(msg)
        if frame is not None and frame not in track.anchors:
            msg = f"object {object_id} has no prompts on frame {frame}; choose one of {sorted(track.anchors)}."
            raise InvalidPromptError(msg)
        if frame is not None:
            track.drop(frame)
        if frame is None or not track.anchors:
            del self._tracks[object_id]

    def at(self, frame: int) -> StackFrame:
        """Return what is known of a frame; raise `InvalidPromptError` if there is none."""
        self._check(1, frame)
        known = {number: track.at(frame) for number, track in self._tracks.items()}
        objects = {number: self._object(one) for number, one in known.items() if one is not None}
        return StackFrame(frame, self._shape, objects)

    def carried(self, frame: int) -> dict[int, Carried]:
        """Return what `restore` takes: the objects, by id, that were carried to a frame or end there."""
        self._check(1, frame)
        there = {number: track for number, track in self._tracks.items() if frame in track.others}
        carried = {n: Carried(track.steps[frame], track.others[frame]) for n, track in there.items()}
        ends = {n: Carried(way, None) for n, track in self._tracks.items() for t, way in track.ends if t == frame}
        return {**ends, **carried}

    def restore(self, frame: int, carried: Mapping[int, Carried]) -> None:
        """Take up what was carried to a frame before, by the same prompts; raise `InvalidPromptError` without them."""
        for number, (step, impression) in carried.items():
            self._check(number, frame)
            if number not in self._tracks:
                msg = f"there is no object {number}; add its prompts before what was carried from them."
                raise InvalidPromptError(msg)
            if impression is None:
                self._tracks[number].ends.add((frame, step))
            elif frame not in self._tracks[number].anchors:
                self._tracks[number].arrive(frame, step, impression)

    def propagate(
        self, direction: Direction = "both", frames: range | None = None, *, early_stop: bool = False
    ) -> Iterator[StackFrame]:
        """Carry every object from its anchors to further frames; what is done already stays and is given again.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}
            Forward from each object's first anchor, backward from its last one, or forward and then backward.
        frames : range, optional
            Those to go to; all by default. Frames on the way to them are done, and given, too.
        early_stop : bool
            Whether an object is carried no further, and forgotten, from the first frame on where it is worth a look.

        Yields
        ------
        StackFrame
            Frame after frame, in the order in which they are done. Whoever stops early has what is done.

        Raises
        ------
        InvalidConfigError
            If there is nothing to propagate, or no such direction or frame.
        ReadError
            If a frame cannot be read; what is done stays.
        """
        steps = {"forward": (1,), "backward": (-1,), "both": (1, -1)}.get(direction)
        wanted = range(len(self)) if frames is None else frames
        if steps is None:
            msg = f"direction is {direction!r}; choose 'both', 'forward' or 'backward'."
            raise InvalidConfigError(msg)
        if not len(wanted) or min(wanted) < 0 or max(wanted) >= len(self):
            msg = f"frames is {wanted}; choose some of the {len(self)} frames, from 0."
            raise InvalidConfigError(msg)
        if not self._tracks:
            msg = "no object has prompts; add one first."
            raise InvalidConfigError(msg)
        return self._propagate(steps, sorted(wanted), early_stop)

    def _propagate(self, steps: Sequence[int], frames: list[int], early_stop: bool) -> Iterator[StackFrame]:
        """Go through the frames once in each direction."""
        reader = ThreadPoolExecutor(1, "frames")
        both = len(steps) > 1
        if not early_stop:
            for track in self._tracks.values():
                track.ends.clear()
        try:
            for step in steps:
                order = self._on_the_way(frames, step)
                for number, frame in enumerate(order):
                    due, ended = self._due(frame, step, both)
                    if due:
                        self._read_ahead(reader, (t for t in order[number + 1 :] if self._due(t, step, both)[0]))
                        there = [known for track in self._tracks.values() if (known := track.at(frame))]
                        with torch.no_grad():
                            self._carrier.carry(list(due.values()), frame, step, there)
                        self._coming.pop(frame, None)
                    doubts = self._doubts(frame)
                    if early_stop:
                        for ending in doubts:
                            if self._tracks[ending].steps[frame] == step:  # else another pass has come here
                                self._tracks[ending].end(frame, step)
                                ended.add(ending)
                    if ended or any(track.at(frame) for track in self._tracks.values()):
                        fresh, gone = frozenset(due.keys() - ended), frozenset(ended)
                        yield replace(self.at(frame), fresh=fresh, ended=gone, doubts=doubts)
        finally:
            reader.shutdown(cancel_futures=True)
            self._coming.clear()

    def _read_ahead(self, reader: ThreadPoolExecutor, coming: Iterator[int]) -> None:
        """Begin to read the frame that comes next, if it has to be read."""
        after = next(coming, None)
        if after is not None and after not in self._coming and self._carrier.reads(after):
            self._coming[after] = reader.submit(self._scaled, after)

    def _on_the_way(self, frames: list[int], step: int) -> list[int]:
        """Frames in their order, after those that lie between them and the anchors."""
        order = frames[::step]
        ahead = [t for track in self._tracks.values() for t in track.anchors if step * (order[0] - t) > 0]
        first = max(ahead, key=lambda t: step * (order[0] - t), default=order[0])
        return [*range(first, order[0], step), *order]

    def _due(self, frame: int, step: int, both: bool) -> tuple[dict[int, Track], set[int]]:
        """Objects that have yet to be carried to a frame in this direction, and those that ended on the way.

        In both directions, from the nearer anchor.
        """
        due, ended = {}, set()
        for number, track in self._tracks.items():
            behind = [step * (frame - anchor) for anchor in track.anchors if step * (frame - anchor) > 0]
            ahead = [step * (anchor - frame) for anchor in track.anchors if step * (anchor - frame) > 0]
            nearer = not (both and ahead) or self._carrier.sees_ahead or min(behind, default=0) <= min(ahead)
            if track.at(frame) is None and behind and nearer:
                if track.has_ended(frame, step):
                    ended.add(number)
                else:
                    due[number] = track
        return due, ended

    def _doubts(self, frame: int) -> dict[int, str]:
        """Return why objects that were carried to a frame are worth a look."""
        doubts = {}
        for number, track in self._tracks.items():
            if frame in track.others:
                before = track.nearest_frame(frame, track.steps[frame])
                words = doubt(self._glimpse(track, frame), self._glimpse(track, before))
                if words:
                    doubts[number] = words
        return doubts

    def _glimpse(self, track: Track, frame: int) -> Glimpse:
        """Return what is compared of an object on a frame where it is known."""
        known = track.known(frame)
        if known.glimpse is None:
            # What is cut off around a mask is faint; those of the square have other pixels than the plane.
            mask = (known.mask.part > 0).numpy() if known.mask.shape == self._shape else self._object(known).mask
            known.glimpse = Glimpse.of(mask, known.score)
        return known.glimpse

    def _object(self, known: Impression) -> StackObject:
        """Return what is known of an object on a frame, as it is given out."""
        there = float(torch.tensor(known.object_logit).sigmoid())
        return StackObject(known.score, there, known.mask, Frame(self._shape, self._model.base.input))

    def _check(self, object_id: int, frame: int) -> None:
        """Raise unless an object can have this id, and there is this frame."""
        if not 1 <= object_id < 2**32:
            msg = f"the object's id is {object_id}; choose from 1 to {2**32 - 1}."
            raise InvalidPromptError(msg)
        if not 0 <= frame < len(self):
            msg = f"there is no frame {frame}; choose one of 0 to {len(self) - 1}."
            raise InvalidPromptError(msg)

    def _read(self, frame: int) -> npt.NDArray[Any]:
        """Read a frame; one at a time, as not every reader can do more."""
        try:
            with self._reading:
                return check_plane(self._frames[frame])
        except MemoryError:
            raise
        except Exception as error:  # whatever a lazy array may raise
            msg = f"frame {frame} cannot be read ({error}); what is done is kept."
            raise ReadError(msg) from error

    def _sampled_limits(self) -> tuple[float, float]:
        """Return intensity limits of some frames together, so that a time-lapse does not flicker."""
        sampled = []
        for frame in range(0, len(self), math.ceil(len(self) / SAMPLED)):
            with suppress(ReadError):  # it is named when it is needed
                plane = self._read(frame)
                step = max(1, math.ceil(math.sqrt(plane.size * SAMPLED / MOST_SAMPLES)))
                sampled.append(plane[::step, ::step].ravel())
        return limits(np.concatenate(sampled)[:, None])

    def _image(self, frame: int) -> Image:
        """Return a frame as (Y, X, 3) in [0, 1]; it may have been read ahead."""
        coming = self._coming.pop(frame, None)
        return self._scaled(frame) if coming is None else coming.result()

    def _scaled(self, frame: int) -> Image:
        """Read a frame as (Y, X, 3) in [0, 1]."""
        plane = self._read(frame)
        if plane.shape[:2] != self._shape:
            msg = f"frame {frame} has shape {plane.shape} but the first has {self._shape}; what is done is kept."
            raise ReadError(msg)
        return rescale(plane, limits=self._limits)
