"""How an object gets from one frame of a stack to the next.

`MemoryCarrier` is SAM 2's way (Ravi et al., arXiv 2408.00714), exactly: memory attention over what is remembered.
`WindowCarrier` is that of a base whose memory is not trained: a window memory finds each object, the base outlines it,
and neighbours compete for pixels.

Letters: Y, X rows and columns of a frame; N objects; D width of the network; g = S/16; h stride-4 pixels of the square.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.metrics import iou
from napari_sam2refiner.network import memory
from napari_sam2refiner.network.base import Decoded, Features
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.network.window_memory import Memory, Scales, Window, WindowMemory, frame_scales, to_frame
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.base import Prediction
from napari_sam2refiner.sessions.batches import Batches, precision
from napari_sam2refiner.sessions.cache import EmbeddingCache, fingerprint, frame_key
from napari_sam2refiner.sessions.conversion import collate, make_request
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.sessions.memory import Convention, Impression, Mask, Track

if TYPE_CHECKING:
    from napari_sam2refiner.network.refiner import SAM2Refiner

Image = npt.NDArray[np.float32]

WINDOW_SHARE = 0.5  # with a mask as prompt, objects are outlined as well in a smaller square (docs/decisions/0016)
READY = 3  # frames that stay ready for prompts and windows
DRAWN = 10.0  # logit of a mask that was given
LOST = -1.0  # logit, at most, of a pixel that a neighbour is surer of
THERE, BACK = 0.5, 2.5  # logits from which on an object counts as there; as there again
PATIENCE = 3  # frames on which an object that was lost is looked for again, where it was last
AGREED = 0.7  # IoU of a given mask with the base's answer to it, from which on the base outlines that object
CUTS = np.arange(-8, 9) / 2  # logits of the base at which a given mask may have its outline


class Carrier(ABC):
    """Answers prompts on frames of a stack, and carries objects on.

    Parameters
    ----------
    model : SAM2Refiner
    shape : (int, int)
        Y and X.
    length : int
        Frames of the stack.
    image : callable
        Gives a frame as (Y, X, 3) in [0, 1].

    Attributes
    ----------
    sees_ahead : bool
        Whether prompts on frames still to come are seen too.
    """

    sees_ahead: ClassVar[bool] = True

    def __init__(self, model: SAM2Refiner, shape: tuple[int, int], length: int, image: Callable[[int], Image]) -> None:
        self.model = model
        self.shape, self.length = shape, length
        self.image = image
        self.in_batches = Batches()

    @abstractmethod
    def prompted(self, track: Track, frame: int, prompts: Prompts) -> Impression:
        """Answer an object's prompts on a frame, in the light of what is known of it there."""

    @abstractmethod
    def carry(self, tracks: Sequence[Track], frame: int, step: int, there: Sequence[Impression]) -> None:
        """Carry objects to a frame that they are reached in by `step`, 1 or -1.

        `there` are the objects that are on it already, and stay as they are.
        """

    def reads(self, frame: int) -> bool:  # noqa: ARG002 - most do
        """Whether the frame's pixels are read when objects are carried to it."""
        return True


class _Seen(NamedTuple):
    """A frame, encoded."""

    frame: Frame
    features: Features


class MemoryCarrier(Carrier):
    """By memory attention; the refiner is not asked yet.

    Parameters
    ----------
    cache : EmbeddingCache, optional
        Of encoded frames; the others are as for every carrier.
    """

    def __init__(
        self,
        model: SAM2Refiner,
        shape: tuple[int, int],
        length: int,
        image: Callable[[int], Image],
        cache: EmbeddingCache | None = None,
    ) -> None:
        super().__init__(model, shape, length, image)
        self.memories = int(self.model.base.num_maskmem) - 1  # frames carried to that are read, beside the anchors
        self.pointers = min(self.length, int(self.model.base.max_obj_ptrs_in_encoder))
        self._cache = EmbeddingCache() if cache is None else cache
        self._keys: dict[int, str] = {}  # of frames that were seen
        self._weights = fingerprint(model)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    def prompted(self, track: Track, frame: int, prompts: Prompts) -> Impression:
        """Answer as SAM 2: a mask stands as it is, clicks correct what is there."""
        seen = self._see(frame)
        if prompts.mask is not None and prompts.is_mask_alone:
            return self._given(seen, prompts.mask)
        known = track.at(frame)
        request = make_request(prompts, None, seen.frame, self.device)
        if known is not None and request.mask_logits is None:
            request = request._replace(mask_logits=known.mask.logits().to(self.device))
        seen_then = None if known is None else known.embedding
        if frame in track.others:
            seen_then = self._recalled([track], frame, track.steps[frame], seen)
        features = seen.features if seen_then is None else seen.features._replace(embedding=seen_then)
        image = torch.zeros(1, dtype=torch.long, device=self.device)
        # SAM 2 takes the best of three masks for a click, also for one that corrects.
        multimask = len(request.labels) <= 1
        with precision(self.model):
            decoded = self.model.base.decode(features, image, collate([request]), multimask=multimask)
            (impression,) = self._impressions(decoded)
        impression.embedding = seen_then
        return impression

    def carry(
        self,
        tracks: Sequence[Track],
        frame: int,
        step: int,
        there: Sequence[Impression],  # noqa: ARG002 - the official predictor lets objects overlap
    ) -> None:
        """Carry objects, those that remember alike together."""
        seen = self._see(frame)
        alike: dict[Any, list[Track]] = {}
        for track in tracks:
            ages = tuple(age for _, age in track.remembered(frame, step, self.memories))
            distances = tuple(distance for _, distance in track.pointed(frame, step, self.pointers))
            alike.setdefault((ages, distances), []).append(track)
        for together in alike.values():
            impressions = self.in_batches(together, lambda part: self._carried(part, frame, step, seen))
            for track, impression in zip(together, impressions, strict=True):
                track.arrive(frame, step, impression)
                track.forget_maps(frame, step, self.memories)

    def reads(self, frame: int) -> bool:
        """Whether it is not in the cache."""
        return frame not in self._keys or self._keys[frame] not in self._cache

    def _carried(self, tracks: Sequence[Track], frame: int, step: int, seen: _Seen) -> list[Impression]:
        """Answer for objects that remember alike."""
        many = len(tracks)
        embedding = self._recalled(tracks, frame, step, seen)
        features = Features(embedding, *(m.expand(many, -1, -1, -1) for m in seen.features[1:3]))
        image = torch.arange(many, device=self.device)
        with precision(self.model):
            prompts = memory.unprompted(many, self.device)
            return self._impressions(self.model.base.decode(features, image, prompts, multimask=True))

    def _see(self, frame: int) -> _Seen:
        """Return a frame, encoded; what is in the cache is not read again."""
        geometry = Frame(self.shape, self.model.base.input)
        image = None
        if frame not in self._keys:
            image = self.image(frame)
            self._keys[frame] = frame_key(self._weights, image)

        def encode() -> Features:
            pixels = geometry.pixels(torch.from_numpy(self.image(frame) if image is None else image).to(self.device))
            with precision(self.model):
                features: Features = self.model.encode(pixels)
                return features

        return _Seen(geometry, self._cache.get(self._keys[frame], self.device, encode))

    def _given(self, seen: _Seen, mask: npt.NDArray[np.bool_]) -> Impression:
        """Take a mask as it is."""
        share = seen.frame.share(torch.from_numpy(mask).to(self.device))[None]
        full = (share >= 0.5).float()
        if not full.any():  # too thin for any pixel of the square
            full = (share > 0).float()
        signed = (2.0 * full - 1.0)[:, None] * DRAWN
        logits = F.interpolate(signed, scale_factor=0.25, mode="bilinear", align_corners=False, antialias=True)[0, 0]
        with precision(self.model):
            pointer = memory.point_to_masks(self.model.base, seen.features, full)[0]
        return Impression(Mask.of(logits), 1.0, DRAWN, pointer=pointer)

    def _recalled(self, tracks: Sequence[Track], frame: int, step: int, seen: _Seen) -> Tensor:
        """See a frame in the light of what these objects, which remember alike, have left behind: (N, D, g, g)."""
        embedding = seen.features.embedding.expand(len(tracks), -1, -1, -1)
        memories = []
        for of_frame in zip(*(track.remembered(frame, step, self.memories) for track in tracks), strict=True):
            maps = [self._maps(track, t) for track, (t, _) in zip(tracks, of_frame, strict=True)]
            memories.append(memory.Remembered(torch.stack(maps), of_frame[0][1]))
        pointers = []
        for of_frame in zip(*(track.pointed(frame, step, self.pointers) for track in tracks), strict=True):
            known = [track.known(t).pointer for track, (t, _) in zip(tracks, of_frame, strict=True)]
            pointed = torch.stack([pointer for pointer in known if pointer is not None]).to(self.device)
            assert len(pointed) == len(tracks), "memory leaves a pointer on every frame"
            pointers.append(memory.Pointed(pointed, of_frame[0][1]))
        with precision(self.model):
            return memory.recall(self.model.base, embedding, memories, pointers, self.pointers - 1)

    def _maps(self, track: Track, frame: int) -> Tensor:
        """Return an object's memory of a frame; made when it is first read, and again where it was forgotten."""
        known = track.known(frame)
        if known.maps is None:
            there = torch.tensor([known.object_logit], device=self.device)
            logits = known.mask.logits()[None].to(self.device)
            embedding = self._see(frame).features.embedding
            firm = frame in track.anchors
            with precision(self.model):
                known.maps = memory.remember(self.model.base, embedding, logits, there, firm=firm)[0]
        return known.maps

    def _impressions(self, decoded: Decoded) -> list[Impression]:
        """What is kept of an answer."""
        there = decoded.object_logits > 0
        logits = torch.where(there[:, None, None], decoded.chosen_logits, memory.ABSENT)
        pointers = memory.point(self.model.base, decoded.pointer_token, decoded.object_logits)
        scores, object_logits = decoded.chosen_score.tolist(), decoded.object_logits.tolist()
        return [
            Impression(Mask.of(mask), score, object_logit, pointer=pointer)
            for mask, score, object_logit, pointer in zip(logits, scores, object_logits, pointers, strict=True)
        ]


class WindowCarrier(Carrier):
    """By window memory, which finds each object in a window around where it was, and the base, which outlines it.

    What is found is the base's mask prompt, so that outlines do not drift; a pixel goes to the object that is surest
    of it.

    Parameters
    ----------
    memory : WindowMemory
    cache : EmbeddingCache, optional
        Of encoded frames, for a base whose encoding takes long; `micro`'s are not kept. The others are as for every
        carrier.
    """

    sees_ahead = False

    def __init__(
        self,
        model: SAM2Refiner,
        shape: tuple[int, int],
        length: int,
        image: Callable[[int], Image],
        memory: WindowMemory,
        cache: EmbeddingCache | None = None,
    ) -> None:
        super().__init__(model, shape, length, image)
        self._memory = memory
        self._cache = EmbeddingCache() if cache is None else cache
        self._keeps = not model.base.input.looks_again
        self._weights = fingerprint(model) if self._keeps else ""
        self._latest: dict[int, _Ready] = {}

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._memory.sharpness.device

    def prompted(self, track: Track, frame: int, prompts: Prompts) -> Impression:
        """Answer as on a still image; a mask stands as it is."""
        if prompts.mask is not None and prompts.is_mask_alone:
            drawn = torch.from_numpy(np.where(prompts.mask, DRAWN, -DRAWN).astype(np.float32))
            return Impression(Mask.of(drawn), 1.0, DRAWN)
        known, previous = track.at(frame), None
        if known is not None and prompts.mask is None and known.object_logit > 0:
            logits = known.mask.logits().numpy()
            previous = Prediction(logits > 0, logits, known.score)
        answer = self._ready(frame).session.predict(prompts, previous=previous)
        mask = Mask.of(torch.from_numpy(answer.logits))
        return Impression(mask, answer.score, DRAWN) if answer.mask.any() else self._gone()

    def carry(self, tracks: Sequence[Track], frame: int, step: int, there: Sequence[Impression]) -> None:
        """Find every object near where it was last."""
        asked = [looked for track in tracks if (looked := self._look_for(track, frame, step)) is not None]
        found = self.in_batches(asked, lambda part: self._found(part, frame))
        seen = [
            _Sighted(looked, logits, object_logit)
            for looked, (logits, object_logit) in zip(asked, found, strict=True)
            if object_logit > looked.least and bool((logits > 0).any())
        ]
        outlines = self._outlined(seen, frame)
        surest = torch.full(self.shape, -torch.inf)
        for known in there:
            surest[known.mask.logits() > 0] = torch.inf
        for logits, _ in outlines:
            torch.maximum(surest, logits, out=surest)
        for one, (logits, score) in zip(seen, outlines, strict=True):
            own = torch.where(logits >= surest, logits, logits.clamp(max=LOST))
            if (own > 0).any():
                one.looked.track.arrive(frame, step, Impression(Mask.of(own), score, one.object_logit))
        for track in tracks:
            if track.at(frame) is None:
                track.arrive(frame, step, self._gone())

    def _outlined(self, seen: Sequence[_Sighted], frame: int) -> list[tuple[Tensor, float]]:
        """Return logits (Y, X) and predicted IoU of objects: the base's where it finds what was given.

        They are cut where the outline was given, which may lie farther in or out than the base draws it
        (docs/decisions/0028).
        """
        conventions = [self._convention(one.looked) for one in seen]
        by_base = [convention.agreement >= AGREED for convention in conventions]
        prompts = [Prompts(mask=one.logits.numpy() > 0) for one, asked in zip(seen, by_base, strict=True) if asked]
        answers = iter(self._ready(frame).session.predict_many(prompts))
        outlines = []
        for one, asked, convention in zip(seen, by_base, conventions, strict=True):
            if asked:
                answer = next(answers)
                logits = torch.from_numpy(answer.logits)
                cut = convention.cut if bool((logits > convention.cut).any()) else 0.0
                outlines.append((logits - cut, answer.score))
            else:
                outlines.append((one.logits, _expected_iou(one.logits)))
        return outlines

    def _convention(self, looked: _Looked) -> Convention:
        """Return how an object was outlined where it was given, as the base sees it; asked once."""
        known = looked.track.anchors[looked.anchor]
        if known.convention is None:
            mask = known.mask.logits().numpy() > 0
            answer = self._ready(looked.anchor).session.predict(Prompts(mask=mask))
            known.convention = Convention(float(iou(answer.mask, mask)), _cut_as_given(answer.logits, mask))
        return known.convention

    def _look_for(self, track: Track, frame: int, step: int) -> _Looked | None:
        """Return where to look for an object and what is remembered of it; None if it is given up."""
        last, is_back = _last_seen(track, frame, step)
        if last is None:
            return None
        mask = track.known(last).mask.logits() > 0
        anchors = [t for t, given in track.anchors.items() if given.object_logit > 0]
        anchor = min(anchors, key=lambda t: abs(t - frame))
        return _Looked(
            track, last, Window.around(mask), mask, anchor, self._remembered(track, anchor), BACK if is_back else THERE
        )

    def _found(self, looked: Sequence[_Looked], frame: int) -> list[tuple[Tensor, float]]:
        """Return logits (Y, X) of objects on a frame, and how surely they are there."""
        windows = [one.window for one in looked]
        before = torch.cat([self._ready(one.last).scales.cut([one.window]) for one in looked])
        hints = torch.cat([Scales(one.mask[None].float()).cut([one.window]) for one in looked])[:, 0]
        remembered = Memory(
            *(torch.stack(maps).to(self.device) for maps in zip(*(o.memory for o in looked), strict=True))
        )
        now = self._ready(frame).scales.cut(windows)
        with precision(self.model):
            seen, seen_before = (self._memory.encode(pixels.to(self.device)) for pixels in (now, before))
            found = self._memory.find(seen, seen_before, hints.to(self.device), remembered)
        on_frame = (
            to_frame(logits, window, self.shape, -DRAWN)
            for logits, window in zip(found.logits.float().cpu(), windows, strict=True)
        )
        return list(zip(on_frame, found.object_logits.tolist(), strict=True))

    def _remembered(self, track: Track, anchor: int) -> Memory:
        """Return what is remembered of an object on an anchor; made when it is first read."""
        known = track.anchors[anchor]
        if known.maps is None:
            mask = known.mask.logits() > 0
            window = Window.around(mask)
            masks = Scales(mask[None].float()).cut([window])[:, 0]
            with precision(self.model):
                seen = self._memory.encode(self._ready(anchor).scales.cut([window]).to(self.device))
                known.maps = torch.cat(self._memory.remember(seen, masks.to(self.device)), 1)[0].float().cpu()
        keys, values = known.maps.chunk(2)
        return Memory(keys, values)

    def _ready(self, frame: int) -> _Ready:
        """Return a frame, ready for prompts and windows; those that were used last are kept."""
        ready = self._latest.pop(frame, None)
        if ready is None:
            image = self.image(frame)
            recall = self._recall if self._keeps else None
            session = ImageSession(self.model, window_share=WINDOW_SHARE, recall=recall, tiled=False)
            session.set_image(image, limits=(0.0, 1.0))
            ready = _Ready(session, frame_scales(torch.from_numpy(image)))
        while len(self._latest) >= READY:
            self._latest.pop(next(iter(self._latest)))
        self._latest[frame] = ready
        return ready

    def _recall(self, image: Image, encode: Callable[[], Features]) -> Features:
        """Return an encoded frame; what is in the cache is not encoded again."""
        return self._cache.get(frame_key(self._weights, image), next(self.model.parameters()).device, encode)

    def _gone(self) -> Impression:
        """What is kept of an object that is not there."""
        return Impression(Mask.of(torch.full(self.shape, -DRAWN)), 0.0, -DRAWN)


class _Ready(NamedTuple):
    """A frame to ask prompts on, and to cut windows from."""

    session: ImageSession
    scales: Scales


class _Looked(NamedTuple):
    """Where to look for an object, and what is known of it.

    The frame it was on last, the window there, its mask there (Y, X), its nearest anchor, what is remembered of that,
    and the logit from which on it counts as there.
    """

    track: Track
    last: int
    window: Window
    mask: Tensor
    anchor: int
    memory: Memory
    least: float


class _Sighted(NamedTuple):
    """An object that was found: logits (Y, X), and how surely it is there."""

    looked: _Looked
    logits: Tensor
    object_logit: float


def _last_seen(track: Track, frame: int, step: int) -> tuple[int | None, bool]:
    """Return the frame on which an object was last, None if it is given up; and whether it was lost since then."""
    behind = (t for t in (*track.anchors, *track.others) if step * (frame - t) > 0)
    for missed, t in enumerate(heapq.nsmallest(PATIENCE + 1, behind, key=lambda t: abs(frame - t))):
        if track.known(t).object_logit > 0:
            return t, missed > 0
        if t in track.anchors:  # somebody says that it is gone
            break
    return None, False


def _cut_as_given(logits: Image, mask: npt.NDArray[np.bool_]) -> float:
    """Return at which of `CUTS` logits (Y, X) have the best IoU with a mask; of equal ones, that nearest to zero."""
    kept = (logits[mask] > CUTS[:, None]).sum(1)
    added = (logits[~mask & (logits > CUTS[0])] > CUTS[:, None]).sum(1)
    ious = kept / (mask.sum() + added)
    return float(CUTS[np.lexsort((np.abs(CUTS), -ious))[0]])


def _expected_iou(logits: Tensor) -> float:
    """Return the IoU that a mask has on average with masks drawn from its own probabilities, nearly."""
    near = logits[logits > -DRAWN]
    shares, inside = near.sigmoid(), near > 0
    return float(shares[inside].sum() / (inside.sum() + shares[~inside].sum()))
