"""`ImageSession`: one image, encoded once or tile by tile, that answers prompts.

Letters: Y, X rows and columns of the plane; N objects; P prompt tokens of an object; h stride-4 pixels of the square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch

from napari_sam2refiner.errors import InvalidConfigError, InvalidImageError, InvalidPromptError
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.network.base import joined
from napari_sam2refiner.network.frames import Frame
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.planes.lazy import LazyPlane, RegionPlane
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.base import Candidate, LocalDetail, OnFirst, Prediction, Survey
from napari_sam2refiner.sessions.batches import Batches, precision
from napari_sam2refiner.sessions.conversion import (
    Request,
    collate,
    from_afar,
    group,
    make_prediction,
    make_request,
    to_memo,
    to_survey,
    within,
)
from napari_sam2refiner.sessions.corrections import connected_to_clicks
from napari_sam2refiner.sessions.large import TIMES, LargePlane
from napari_sam2refiner.sessions.views import Encoder, Recall, View
from napari_sam2refiner.sessions.windows import (
    SURE,
    Window,
    as_drawn,
    is_better_from_afar,
    placed,
    window_for,
    with_closer_look,
)

if TYPE_CHECKING:
    from napari_sam2refiner.network.refiner import Refined, SAM2Refiner

LOCAL_DETAIL = ("off", "prompted", "on")
FARTHER = 0.5  # share of the square that the plane takes, seen from farther away
SAME_OBJECT = 0.5  # IoU of two networks' masks of one object, at least
TILE_WINDOWS = 8  # closer looks at a tile of a large plane that stay encoded
LARGEST_WHOLE = 2**27  # pixels of a plane that is seen as a whole all the same, of twelve bytes each
TOGETHER = 8  # windows encoded and asked at once: more cost memory and save no time


class ImageSession:
    """Segments objects of one image by prompts.

    Parameters
    ----------
    model : SAM2Refiner
        Its parameters say on which device to work, its `compute_dtype` at which precision.
    windows : int
        Closer looks at parts of the image that stay encoded, at most; of `micro`, 20 MB each.
    window_share : float
        Side of the square in which these are seen, as a share of the network's own. Half of it takes a quarter of the
        time and memory, and a little of the outline (docs/decisions/0016).
    recall : callable, optional
        Gives the encoded plane from its pixels (Y, X, 3) in [0, 1] and from what encodes it, for whoever keeps those
        that were encoded before.
    tiled : bool
        Whether planes larger than twice the network's square are seen in tiles, of which those around the prompts are
        read and encoded; else, they are shrunk first, as the frames of a stack are.

    Examples
    --------
    >>> session = ImageSession(model).set_image(image)  # doctest: +SKIP
    >>> session.predict(Prompts(points=[(40, 60)])).mask  # doctest: +SKIP
    """

    def __init__(
        self,
        model: SAM2Refiner,
        *,
        windows: int = 16,
        window_share: float = 1.0,
        recall: Recall | None = None,
        tiled: bool = True,
    ) -> None:
        self._model = model
        self._recall = recall
        self._tiled = tiled
        self._most_windows = windows
        spec = model.base.input
        self._window_spec = replace(spec, side=int(spec.side * window_share))
        self._second = None
        if model.second is not None:
            self._second = ImageSession(model.second, windows=windows, window_share=window_share, tiled=False)
        self._plane: View | None = None
        self._large: LargePlane | None = None  # instead of that
        self._windows: dict[Window, View] = {}  # the latest
        self._farther: View | None = None
        self._in_batches = Batches()
        self._encoder = Encoder(model, self._in_batches)

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns of the plane; None before `set_image`."""
        if self._large is not None:
            return self._large.shape
        return None if self._plane is None else self._plane.frame.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the image, as far as it is in memory, and of what is known of it."""
        views = [view for view in (self._plane, self._farther, *self._windows.values()) if view is not None]
        others = [part for part in (self._large, self._second) if part is not None]
        return sum(part.nbytes for part in (*views, *others))

    def set_image(
        self,
        image: Any,
        intensity: Literal["percentile", "dtype"] = "percentile",
        *,
        limits: tuple[float, float] | None = None,
    ) -> Self:
        """Take an image; nothing is encoded before the first prediction.

        Parameters
        ----------
        image : (Y, X) or (Y, X, C) array, or sequence of these
            Of any numeric type and size, up to three channels. A sequence is a pyramid, the largest first. Of a plane
            larger than twice the network's square only regions are read: it may lie behind dask, zarr or a memory map.
        intensity : {"percentile", "dtype"}
            What becomes black and white: percentiles of the image, or the ends of what its type can hold (0 and 1 for
            floats).
        limits : (float, float), optional
            The intensities that become black and white, instead.

        Raises
        ------
        InvalidImageError
            If it cannot be an image plane; the session keeps the image it had.
        """
        if intensity not in ("percentile", "dtype"):
            msg = f"intensity is {intensity!r}; choose 'percentile' or 'dtype'."
            raise InvalidConfigError(msg)
        lazy = LazyPlane.of(image)
        array = image if lazy is None else lazy
        if lazy is None or not self._is_large(lazy):
            array = np.asarray(image) if lazy is None else lazy.whole()
        if limits is None and intensity == "dtype":
            limits = (0.0, float(np.iinfo(array.dtype).max) if array.dtype.kind in "iu" else 1.0)
        if isinstance(array, RegionPlane):
            large = self._in_tiles(array, limits or array.limits())
            self.reset()
            self._large = large
            return self
        rgb = rescale(array, limits=limits)
        shape = (int(rgb.shape[0]), int(rgb.shape[1]))
        self.reset()
        self._plane = View(Frame(shape, self._model.base.input), torch.from_numpy(rgb), self._recall)
        return self

    def _is_large(self, plane: RegionPlane) -> bool:
        """Return whether a plane is seen in tiles."""
        return self._tiled and max(plane.shape[:2]) > TIMES * self._model.base.input.side

    def _in_tiles(self, plane: RegionPlane, limits: tuple[float, float]) -> LargePlane:
        """Return a plane that is seen in tiles, each with a session of its own."""
        share = self._window_spec.side / self._model.base.input.side
        make = partial(ImageSession, self._model, windows=TILE_WINDOWS, window_share=share, tiled=False)
        return LargePlane(plane, limits, self._model.base.input.side, make)

    def reset(self) -> None:
        """Forget the image and all that is known of it."""
        self._plane, self._large = None, None
        self._windows.clear()
        self._farther = None
        if self._second is not None:
            self._second.reset()

    def encode(self) -> None:
        """Encode the image now instead of at the first prediction, with all that the refiner may look up."""
        for _ in self.encode_in_parts():
            pass

    def encode_in_parts(self) -> Iterator[float]:
        """Encode the image part by part: the plane, its look from farther away, and the quadrants for the refiner.

        Yields the share that is done, 0 to 1. Whoever stops early has what is done; predictions encode what they lack.
        Of a plane that is seen in tiles nothing is encoded before there are prompts.
        """
        if self._large is not None:
            yield 1.0
            return
        plane = self._known_plane()
        look = self._encoder.looked if self._refines else self._encoder.encoded
        parts: list[Callable[[], object]] = [partial(look, plane)]
        if self._model.base.input.looks_again:
            parts.append(lambda: look(self._from_afar(plane)))
        if self._refines:
            parts += [partial(self._encoder.local, plane, (place,)) for place in plane.frame.places()]
        for done, part in enumerate(parts, 1):
            with torch.no_grad(), precision(self._model):
                part()
            yield done / len(parts)

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
        """Answer one object's prompts.

        Parameters
        ----------
        prompts : Prompts
            All prompts of the object so far. A single positive click may mean several things: all are `candidates`.
        refine : bool
            Whether to refine the base's answer.
        local_detail : {"prompted", "off", "on"}
            Whether the refiner looks at the image again at twice the scale: not at all, where the object is, or
            everywhere. Costs an encoding for each quadrant of the image, once.
        previous : Prediction, optional
            The answer that the prompts correct.
        on_first : callable, optional
            Gets what there is to show before the answer: of first prompts and a network that has one, an idea of the
            object at once, without a score; and a first answer, of a look at the whole plane, where the object is then
            looked at from nearer or farther. What it raises ends the work.
        view : (float, float), optional
            Rows and columns of a large plane that the user sees, who clicks on objects of that scale. Without it, and
            without a box or a mask, the plane is looked at as it is, pixel by pixel.

        Returns
        -------
        Prediction
            Of a plane larger than twice the network's square a `PlacedPrediction`: `part` is the mask cut to its
            object, and `mask` and `logits` are drawn when they are asked for.

        Raises
        ------
        InvalidImageError
            If there is no image.
        InvalidPromptError
            If the prompts mean nothing on this image.
        InsufficientMemoryError
            If there is not enough memory for a single object.
        """
        return self.predict_many(
            [prompts], refine=refine, local_detail=local_detail, previous=[previous], on_first=on_first, view=view
        )[0]

    def predict_many(
        self,
        prompts: Sequence[Prompts],
        *,
        refine: bool = True,
        local_detail: LocalDetail = "prompted",
        previous: Sequence[Prediction | None] | None = None,
        on_first: OnFirst | None = None,
        look_again: bool = True,
        view: tuple[float, float] | None = None,
    ) -> list[Prediction]:
        """Answer several objects' prompts in one batch; as `predict`, which see.

        Parameters
        ----------
        prompts : sequence of Prompts
            One for each object.
        refine, local_detail, view
            As in `predict`.
        previous : sequence of Prediction or None, optional
            One for each object.
        on_first : callable, optional
            As in `predict`, with what there is of all objects.
        look_again : bool
            Whether small and large objects get a second look, closer or farther, and clicks all masks that they may
            mean; without, many small ones take a fourth of the time or less.

        Returns
        -------
        list of Prediction
            In the order of the prompts.
        """
        before = [None] * len(prompts) if previous is None else list(previous)
        if self._large is not None:
            _check(prompts, before, self._large.shape, local_detail)
            large = self._large.predict_many(prompts, before, view, on_first, refine=refine, local_detail=local_detail)
            return [*large]
        plane = self._known_plane()
        _check(prompts, before, plane.frame.shape, local_detail)
        detail = local_detail if refine and self._refines else None
        if look_again and self._model.base.input.looks_again:
            answers = self._look_again(plane, prompts, before, detail, on_first)
        else:
            answers = self._ask([plane] * len(prompts), prompts, before, detail, choices=look_again)
        answers = self._kept_elsewhere(answers, before, prompts)
        if self._second is not None and refine:
            if self._second.shape is None:
                self._second.set_image(plane.image.numpy(), "dtype")
            return _second_opinions(self._second, prompts, answers, local_detail)
        return answers

    def as_whole(self) -> Self:
        """Return a session that sees the plane as a whole, which is this one where it is not seen in tiles.

        Raises
        ------
        InvalidImageError
            If the plane is too large for that.
        """
        if self._large is None:
            return self
        if math.prod(self._large.shape) > LARGEST_WHOLE:
            msg = f"the plane has shape {self._large.shape}, too large to look at as a whole; give a part of it."
            raise InvalidImageError(msg)
        session = type(self)(self._model, windows=self._most_windows, tiled=False)
        return session.set_image(self._large.plane.whole(), limits=self._large.limits)

    def survey(self, points: int = 32) -> Survey:
        """Return where objects are likely, one point for each.

        Parameters
        ----------
        points : int
            Of a network without an instance embedding: a grid of so many points along each side of its square.

        Raises
        ------
        InvalidImageError
            If there is no image.
        """
        plane = self._known_plane()
        with torch.no_grad(), precision(self._model):
            suggested = self._model.base.suggest(self._encoder.encoded(plane)[1], points)
        return to_survey(suggested, plane.frame)

    def within(self, window: tuple[slice, slice]) -> Self:
        """Return a session of a part of the plane, scaled by the intensities of the whole.

        Parameters
        ----------
        window : (slice, slice)
            Rows and columns.

        Raises
        ------
        InvalidImageError
            If there is no image.
        """
        part = self._known_plane().image[window].numpy()
        share = self._window_spec.side / self._model.base.input.side
        session = type(self)(self._model, windows=self._most_windows, window_share=share, tiled=False)
        return session.set_image(part, limits=(0.0, 1.0))

    def _kept_elsewhere(
        self, answers: Sequence[Prediction], previous: Sequence[Prediction | None], prompts: Sequence[Prompts]
    ) -> list[Prediction]:
        """Return answers of which those to late clicks change nothing but what is connected to them."""
        return [
            self._changed_at_clicks(answer, before, one)
            for answer, before, one in zip(answers, previous, prompts, strict=True)
        ]

    def _changed_at_clicks(self, answer: Prediction, before: Prediction | None, prompts: Prompts) -> Prediction:
        """Return an answer that changes, to late clicks, nothing but what is connected to them."""
        late = self._model.base.input.late_click
        if late is None or before is None or len(prompts.points) < late:
            return answer
        logits = connected_to_clicks(answer.logits, before.logits, prompts)
        if logits is None:
            return answer
        memo = answer.memo._replace(logits=to_memo(logits, self._known_plane().frame))
        best = Candidate(logits > 0, logits, answer.score, memo)
        return Prediction(best.mask, best.logits, best.score, (best,), memo)

    @property
    def _refines(self) -> bool:
        """Whether the model's own refiner works on masks; another model's takes its place."""
        return self._second is None and not self._model.is_untrained

    def _known_plane(self) -> View:
        """Return the image; raise if there is none."""
        if self._plane is None:
            msg = "there is no image; call set_image(...) first."
            raise InvalidImageError(msg)
        return self._plane

    def _look_again(
        self,
        plane: View,
        prompts: Sequence[Prompts],
        previous: Sequence[Prediction | None],
        local_detail: LocalDetail | None,
        on_first: OnFirst | None,
    ) -> list[Prediction]:
        """Answer on the plane, from farther away and from nearer, as each object's size wants it."""
        answers: list[Prediction | None] = [
            as_drawn(one) if before is None and one.is_mask_alone else None
            for one, before in zip(prompts, previous, strict=True)
        ]
        # A mask says where and how large an object is: of a small one only the closer look tells more.
        near = [
            answer is not None and self._window_for(plane, one, answer) is not None
            for one, answer in zip(prompts, answers, strict=True)
        ]
        others = [i for i, is_near in enumerate(near) if not is_near]
        asked, before = [prompts[i] for i in others], [previous[i] for i in others]
        if on_first is not None and len(others) == len(prompts):
            self._glance(plane, prompts, previous, on_first)
        seen = self._ask([plane] * len(others), asked, before, local_detail)
        if on_first is not None and len(others) == len(prompts) and self._is_doubted(plane, prompts, seen):
            on_first(self._kept_elsewhere(seen, previous, prompts))
        self._look_farther(plane, asked, before, seen, local_detail)
        for i, answer in zip(others, seen, strict=True):
            answers[i] = answer
        known = [answer for answer in answers if answer is not None]
        # A window is a closer look already; its own quadrants would be one more.
        self._look_closer(plane, prompts, previous, known, None if local_detail is None else "off", near)
        return known

    def _glance(
        self, plane: View, prompts: Sequence[Prompts], previous: Sequence[Prediction | None], on_first: OnFirst
    ) -> None:
        """Tell a first idea of objects, where these are asked for the first time and the network has one."""
        if any(before is not None or one.mask is not None for one, before in zip(prompts, previous, strict=True)):
            return  # what is on the screen is better
        features = self._encoder.encoded(plane)[1]
        frame = plane.frame
        requests = [make_request(one, None, frame, self._encoder.device) for one in prompts]
        ideas: dict[int, Prediction] = {}
        with torch.no_grad(), precision(self._model):
            for alike in group(requests):
                batch = collate([request for _, request in alike])
                image = torch.zeros(len(alike), dtype=torch.long, device=self._encoder.device)
                logits = self._model.base.glance(features, image, batch)
                if logits is None:
                    return
                planes = frame.logits_to_plane(logits).cpu().numpy()
                ideas.update({i: Prediction(one > 0, one, math.nan) for (i, _), one in zip(alike, planes, strict=True)})
        on_first([ideas[i] for i in range(len(prompts))])

    def _is_doubted(self, plane: View, prompts: Sequence[Prompts], answers: Sequence[Prediction]) -> bool:
        """Return whether any of these answers is looked at again."""
        return any(
            answer.score < SURE or self._window_for(plane, one, answer) is not None
            for one, answer in zip(prompts, answers, strict=True)
        )

    def _look_farther(
        self,
        plane: View,
        prompts: Sequence[Prompts],
        previous: Sequence[Prediction | None],
        answers: list[Prediction],
        local_detail: LocalDetail | None,
    ) -> None:
        """Ask again, with the plane at half its size, where an answer may be a part of something large; in place."""
        side = plane.frame.spec.side
        doubted = [i for i, answer in enumerate(answers) if answer.score < SURE]
        if not doubted:
            return
        view, everything = self._from_afar(plane), Window(0, 0, *plane.frame.shape)
        before = [within(previous[i], everything, view.frame) for i in doubted]
        looks = self._ask([view] * len(doubted), [prompts[i] for i in doubted], before, local_detail)
        for i, look in zip(doubted, looks, strict=True):
            if is_better_from_afar(answers[i], look, side):
                answers[i] = from_afar(look, answers[i], plane.frame)

    def _from_afar(self, plane: View) -> View:
        """Return the view in which the plane takes a part of the square."""
        if self._farther is None:
            self._farther = View(Frame(plane.frame.shape, plane.frame.spec, FARTHER), plane.image)
        return self._farther

    def _look_closer(
        self,
        plane: View,
        prompts: Sequence[Prompts],
        previous: Sequence[Prediction | None],
        answers: list[Prediction],
        local_detail: LocalDetail | None,
        alone: Sequence[bool],
    ) -> None:
        """Ask again, in windows of the plane, for objects that are small; in place.

        `alone` says where the window's answer stands for itself.
        """
        inside: dict[Window, list[tuple[int, Prompts]]] = {}
        for i, (one, answer) in enumerate(zip(prompts, answers, strict=True)):
            window = self._window_for(plane, one, answer)
            within_it = None if window is None else one.within(*window.slices)
            if window is not None and within_it is not None:
                inside.setdefault(window, []).append((i, within_it))
        windows = list(inside)
        for first in range(0, len(windows), TOGETHER):
            items = [
                (w, self._window(plane, w), *item) for w in windows[first : first + TOGETHER] for item in inside[w]
            ]
            before = [within(previous[i], window, view.frame) for window, view, i, _ in items]
            views, asked = [view for _, view, _, _ in items], [one for _, _, _, one in items]
            closer = self._ask(views, asked, before, local_detail)
            for (window, _, i, _), look in zip(items, closer, strict=True):
                if alone[i]:
                    logits = placed(look.logits, window, plane.frame.shape)
                    memo = look.memo._replace(logits=to_memo(logits, plane.frame), mask=prompts[i].mask)
                    best = Candidate(logits > 0, logits, look.score, memo)
                    answers[i] = Prediction(best.mask, logits, best.score, (best,), memo)
                else:
                    answers[i] = with_closer_look(answers[i], look, window)

    def _window_for(self, plane: View, prompts: Prompts, answer: Prediction) -> Window | None:
        """Return where to look closer at an object."""
        return window_for(prompts, answer, plane.frame.spec.side, self._window_spec.side)

    def _window(self, plane: View, window: Window) -> View:
        """Return a window as a view; the latest ones are kept, with what is known of them."""
        view = self._windows.pop(window, None)
        if view is None:
            view = View(Frame((window.height, window.width), self._window_spec), plane.image[window.slices])
        while len(self._windows) >= self._most_windows:
            self._windows.pop(next(iter(self._windows)))
        self._windows[window] = view
        return view

    def _ask(
        self,
        views: Sequence[View],
        prompts: Sequence[Prompts],
        previous: Sequence[Prediction | None],
        local_detail: LocalDetail | None,
        *,
        choices: bool = True,
    ) -> list[Prediction]:
        """Answer prompts, each on its view, in that view's pixels.

        Without `local_detail` unrefined, without `choices` by the best mask alone.
        """
        requests = [
            make_request(one, before, view.frame, self._encoder.device)
            for view, one, before in zip(views, prompts, previous, strict=True)
        ]
        answers: dict[int, Prediction] = {}
        self._encoder.encode(views)
        with torch.no_grad(), precision(self._model):
            for alike in group(requests):
                answer = partial(self._answer, views, local_detail=local_detail, choices=choices)
                answers.update(self._in_batches(alike, answer))
        return [answers[i] for i in range(len(prompts))]

    def _answer(
        self,
        views: Sequence[View],
        items: Sequence[tuple[int, Request]],
        *,
        local_detail: LocalDetail | None,
        choices: bool,
    ) -> list[tuple[int, Prediction]]:
        """Answer requests that have as many tokens as each other; otherwise as `_ask`."""
        asked = [views[index] for index, _ in items]
        different = list(dict.fromkeys(asked))
        features = joined([self._encoder.encoded(view)[1] for view in different])
        batch = collate([request for _, request in items])
        image = torch.tensor([different.index(view) for view in asked], device=self._encoder.device)
        decoded = self._model.base.decode(features, image, batch, multimask=items[0][1].multimask)
        if not choices:
            decoded = decoded.best()
        refined: dict[int, tuple[Refined, int]] = {}
        if local_detail is not None:
            for view in different:
                rows = [i for i, one in enumerate(asked) if one is view]
                refined.update(self._encoder.refined(view, rows, batch, decoded, local_detail))
        return [
            (index, make_prediction(views[index].frame, decoded, i, refined.get(i), request.prompts.mask))
            for i, (index, request) in enumerate(items)
        ]


def _check(
    prompts: Sequence[Prompts], previous: Sequence[Prediction | None], shape: tuple[int, int], local_detail: str
) -> None:
    """Raise unless all of this can be answered on a plane of this shape."""
    if local_detail not in LOCAL_DETAIL:
        msg = f"local_detail is {local_detail!r}; choose one of {', '.join(map(repr, LOCAL_DETAIL))}."
        raise InvalidConfigError(msg)
    if len(previous) != len(prompts):
        msg = f"there are {len(previous)} previous predictions for {len(prompts)} objects; give one or None for each."
        raise InvalidPromptError(msg)
    for i, (one, before) in enumerate(zip(prompts, previous, strict=True)):
        try:
            one.check(shape, corrects=before is not None)
        except InvalidPromptError as error:
            if len(prompts) == 1:
                raise
            msg = f"object {i}: {error}"
            raise InvalidPromptError(msg) from error
        if before is not None and before.shape != shape:
            msg = f"the previous prediction has shape {before.shape} but the plane has {shape}; leave it out."
            raise InvalidPromptError(msg)


def _second_opinions(
    session: ImageSession, prompts: Sequence[Prompts], answers: list[Prediction], local_detail: LocalDetail
) -> list[Prediction]:
    """Give masks, with the clicks, to another network; what the next click builds on stays the first one's.

    It is to follow the outline of the same object: what it thinks another one stays as it was.
    """
    found = [i for i, answer in enumerate(answers) if answer.mask.any()]
    asked = [Prompts(prompts[i].points, prompts[i].labels, mask=answers[i].mask) for i in found]
    for i, opinion in zip(found, session.predict_many(asked, local_detail=local_detail), strict=True):
        if iou(opinion.mask, answers[i].mask) < SAME_OBJECT:
            continue
        best = Candidate(opinion.mask, opinion.logits, opinion.score, answers[i].memo)
        others = answers[i].candidates[1:]
        answers[i] = Prediction(best.mask, best.logits, best.score, (best, *others), best.memo)
    return answers
