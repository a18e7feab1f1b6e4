"""`StackSession`: objects carried through a time-lapse or a z-stack by what is remembered of them.

Frames are read one at a time and never all kept. Exact: on a SAM 2.1 without a refiner it answers as the official video
predictor (Ravi et al., arXiv 2408.00714), whose memory it prunes to what is read.

Letters: Y, X rows and columns of a frame; N objects; h stride-4 pixels of the square.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.errors import InvalidConfigError, InvalidImageError, InvalidPromptError, ReadError
from napari_sam2refiner.network import memory
from napari_sam2refiner.network.base import Decoded, Features
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.planes.intensity import check_plane, limits, rescale
from napari_sam2refiner.sessions.conversion import LOGIT_LIMIT, collate, make_request
from napari_sam2refiner.sessions.memory import Impression, Mask, Track

if TYPE_CHECKING:
    from napari_sam2refiner.network.refiner import SAM2Refiner
    from napari_sam2refiner.prompts import Prompts

Direction = Literal["both", "forward", "backward"]

LATEST = 8  # frames that stay encoded
BATCH = 32  # objects at once
SAMPLED = 16  # frames that intensities are taken from
DRAWN = 10.0  # logit of a mask that was given


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
        values: npt.NDArray[np.float32] = self._frame.logits_to_plane(self._kept.logits()[None])[0].numpy()
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
    """

    index: int
    shape: tuple[int, int]
    objects: Mapping[int, StackObject]

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


class _Seen(NamedTuple):
    """A frame, read and encoded."""

    frame: Frame
    features: Features


class StackSession:
    """Segments objects through a stack by prompts on any of its frames.

    Parameters
    ----------
    model : SAM2Refiner
    frames : Frames
        Of one shape. Read one at a time, the next while one is computed.
    limits : (float, float), optional
        Intensities that become black and white on every frame; percentiles of a sample of the frames by default.

    Raises
    ------
    InvalidImageError
        If there is no frame, or the first cannot be a plane.
    """

    def __init__(self, model: SAM2Refiner, frames: Frames, *, limits: tuple[float, float] | None = None) -> None:
        if not len(frames):
            msg = "the stack has no frames; give at least one."
            raise InvalidImageError(msg)
        self._model = model
        self._frames = frames
        self._shape: tuple[int, int] = check_plane(self._read(0)).shape[:2]
        self._limits = self._sampled_limits() if limits is None else limits
        self._tracks: dict[int, Track] = {}
        self._latest: dict[int, _Seen] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self._shape

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
            All prompts of the object on this frame. Points correct the mask that is there; a mask stands as it is.

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
        prompts.check(self._shape)
        track = self._tracks.get(object_id, Track())
        with torch.inference_mode():
            impression = self._prompted(track, frame, prompts)
        track.take(frame, prompts, impression)
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
        if track is None or (frame is not None and frame not in track.anchors):
            there = "" if frame is None else f" with prompts on frame {frame}"
            msg = f"there is no object {object_id}{there}; choose one of {sorted(self._tracks)}."
            raise InvalidPromptError(msg)
        if frame is not None:
            track.drop(frame)
        if frame is None or not track.anchors:
            del self._tracks[object_id]

    def at(self, frame: int) -> StackFrame:
        """Return what is known of a frame."""
        geometry = Frame(self._shape, self._model.base.input)
        objects = {}
        for number, track in self._tracks.items():
            known = track.at(frame)
            if known is not None:
                there = float(torch.tensor(known.object_logit).sigmoid())
                objects[number] = StackObject(known.score, there, known.mask, geometry)
        return StackFrame(frame, self._shape, objects)

    def propagate(self, direction: Direction = "both", frames: range | None = None) -> Iterator[StackFrame]:
        """Carry every object from its anchors to further frames; what is done already stays and is given again.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}
            Forward from each object's first anchor, backward from its last one, or forward and then backward.
        frames : range, optional
            Those to go to; all by default.

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
        return self._propagate(steps, sorted(wanted))

    def _propagate(self, steps: Sequence[int], frames: list[int]) -> Iterator[StackFrame]:
        """Go through the frames once in each direction."""
        with ThreadPoolExecutor(1, "frames") as reader:
            for step in steps:
                coming: dict[int, Future[npt.NDArray[np.float32]]] = {}
                order = frames[::step]
                for number, frame in enumerate(order):
                    for t in order[number : number + 2]:
                        if t not in coming and t not in self._latest and self._due(t, step):
                            coming[t] = reader.submit(self._scaled, t)
                    due = self._due(frame, step)
                    image = coming.pop(frame, None)
                    if due:
                        with torch.inference_mode():
                            seen = self._see(frame, None if image is None else image.result())
                            self._carry(due, frame, step, seen)
                    if any(track.at(frame) for track in self._tracks.values()):
                        yield self.at(frame)

    def _due(self, frame: int, step: int) -> list[int]:
        """Objects that have yet to be carried to a frame in this direction."""
        return [
            number
            for number, track in self._tracks.items()
            if track.at(frame) is None and any(step * (frame - anchor) > 0 for anchor in track.anchors)
        ]

    def _check(self, object_id: int, frame: int) -> None:
        """Raise unless an object can have this id, and there is this frame."""
        if object_id < 1:
            msg = f"the object's id is {object_id}; choose at least 1."
            raise InvalidPromptError(msg)
        if not 0 <= frame < len(self):
            msg = f"there is no frame {frame}; choose one of 0 to {len(self) - 1}."
            raise InvalidPromptError(msg)

    def _read(self, frame: int) -> npt.NDArray[Any]:
        """Read a frame."""
        try:
            return np.asarray(self._frames[frame])
        except Exception as error:  # whatever a lazy array may raise
            msg = f"frame {frame} cannot be read ({error}); what is done is kept."
            raise ReadError(msg) from error

    def _sampled_limits(self) -> tuple[float, float]:
        """Return intensity limits of some frames together, so that a time-lapse does not flicker."""
        every = max(1, len(self) // SAMPLED)
        sampled = [check_plane(self._read(t)) for t in range(0, len(self), every)]
        return limits(np.concatenate(sampled))

    def _scaled(self, frame: int) -> npt.NDArray[np.float32]:
        """Read a frame as (Y, X, 3) in [0, 1]."""
        plane = self._read(frame)
        if plane.shape[:2] != self._shape:
            msg = f"frame {frame} has shape {plane.shape} but the first has {self._shape}; what is done is kept."
            raise ReadError(msg)
        return rescale(plane, limits=self._limits)

    def _see(self, frame: int, image: npt.NDArray[np.float32] | None = None) -> _Seen:
        """Return a frame, encoded; of the latest ones it is known."""
        if frame not in self._latest:
            image = self._scaled(frame) if image is None else image
            geometry = Frame(self._shape, self._model.base.input)
            features = self._model.encode(geometry.pixels(torch.from_numpy(image).to(self._device)))
            while len(self._latest) >= LATEST:
                self._latest.pop(next(iter(self._latest)))
            self._latest[frame] = _Seen(geometry, features)
        return self._latest[frame]

    @property
    def _device(self) -> torch.device:
        """Where the network is."""
        return next(self._model.parameters()).device

    def _prompted(self, track: Track, frame: int, prompts: Prompts) -> Impression:
        """Answer prompts on a frame, in the light of other anchors if the object was carried there before."""
        base, seen = self._model.base, self._see(frame)
        if prompts.mask is not None and not len(prompts.points) and not len(prompts.boxes):
            return self._given(seen, prompts.mask)
        known = track.at(frame)
        request = make_request(prompts, None, seen.frame, self._device)
        if known is not None and request.mask_logits is None:
            before = known.mask.logits().to(self._device).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            request = request._replace(mask_logits=before)
        features = seen.features
        if track.was_carried_to(frame):
            features = features._replace(embedding=self._recalled([track], frame, track.steps[frame], seen))
        image = torch.zeros(1, dtype=torch.long, device=self._device)
        # SAM 2 takes the best of three masks for a click, also for one that corrects.
        decoded = base.decode(features, image, collate([request]), multimask=len(request.labels) <= 1)
        return self._impressions(decoded)[0]

    def _given(self, seen: _Seen, mask: npt.NDArray[np.bool_]) -> Impression:
        """Take a mask as it is."""
        base = self._model.base
        full = (seen.frame.share(torch.from_numpy(mask).to(self._device)) >= 0.5).float()[None]
        if not full.any():  # too thin for any pixel of the square
            full = (seen.frame.share(torch.from_numpy(mask).to(self._device)) > 0).float()[None]
        signed = (2.0 * full - 1.0)[:, None] * DRAWN
        logits = F.interpolate(signed, scale_factor=0.25, mode="bilinear", align_corners=False, antialias=True)[0, 0]
        pointer = memory.point_to_masks(base, seen.features, full)[0]
        return Impression(Mask.of(logits), pointer, 1.0, DRAWN)

    def _carry(self, numbers: list[int], frame: int, step: int, seen: _Seen) -> None:
        """Carry objects to a frame: those that remember alike together."""
        alike: dict[Any, list[Track]] = {}
        for number in numbers:
            track = self._tracks[number]
            ages = tuple(age for _, age in track.remembered(frame, step, self._memories))
            distances = tuple(distance for _, distance in track.pointed(frame, step, self._pointers))
            alike.setdefault((ages, distances), []).append(track)
        base = self._model.base
        for together in alike.values():
            for first in range(0, len(together), BATCH):
                tracks = together[first : first + BATCH]
                many = len(tracks)
                embedding = self._recalled(tracks, frame, step, seen)
                features = Features(embedding, *(m.expand(many, -1, -1, -1) for m in seen.features[1:3]))
                image = torch.arange(many, device=self._device)
                decoded = base.decode(features, image, memory.unprompted(many, self._device), multimask=True)
                for track, impression in zip(tracks, self._impressions(decoded), strict=True):
                    track.others[frame] = impression
                    track.steps[frame] = step
                    track.forget_maps(frame, step, self._memories)

    def _recalled(self, tracks: list[Track], frame: int, step: int, seen: _Seen) -> Tensor:
        """See a frame in the light of what these objects, which remember alike, have left behind: (N, D, g, g)."""
        base = self._model.base
        embedding = seen.features.embedding.expand(len(tracks), -1, -1, -1)
        lists = [list(track.remembered(frame, step, self._memories)) for track in tracks]
        memories = []
        for of_frame in zip(*lists, strict=True):
            maps = [self._maps(track, t) for track, (t, _) in zip(tracks, of_frame, strict=True)]
            memories.append(memory.Remembered(torch.stack(maps), of_frame[0][1]))
        pointers = []
        for of_frame in zip(*(track.pointed(frame, step, self._pointers) for track in tracks), strict=True):
            known = [track.known(t).pointer for track, (t, _) in zip(tracks, of_frame, strict=True)]
            pointers.append(memory.Pointed(torch.stack(known).to(self._device), of_frame[0][1]))
        return memory.recall(base, embedding, memories, pointers, self._pointers - 1)

    def _maps(self, track: Track, frame: int) -> Tensor:
        """Return an object's memory of a frame; made when it is first read, and again where it was forgotten."""
        known = track.known(frame)
        if known.maps is None:
            there = torch.tensor([known.object_logit], device=self._device)
            logits = known.mask.logits()[None].to(self._device)
            embedding = self._see(frame).features.embedding
            firm = frame in track.anchors
            known.maps = memory.remember(self._model.base, embedding, logits, there, firm=firm)[0]
        return known.maps

    def _impressions(self, decoded: Decoded) -> list[Impression]:
        """What is kept of an answer."""
        there = decoded.object_logits > 0
        logits = torch.where(there[:, None, None], decoded.chosen_logits, memory.ABSENT)
        pointers = memory.point(self._model.base, decoded.pointer_token, decoded.object_logits)
        scores = decoded.chosen_score.tolist()
        return [
            Impression(Mask.of(mask), pointer, score, object_logit)
            for mask, pointer, score, object_logit in zip(
                logits, pointers, scores, decoded.object_logits.tolist(), strict=True
            )
        ]

    @property
    def _memories(self) -> int:
        """Frames carried to that are remembered, beside the anchors."""
        return int(self._model.base.num_maskmem) - 1

    @property
    def _pointers(self) -> int:
        """Frames whose pointers are read."""
        return min(len(self), int(self._model.base.max_obj_ptrs_in_encoder))
