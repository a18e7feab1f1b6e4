"""Everything of synthetic and real images, segmented with the embedded weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from annotated import discs
from skimage.data import coins

from napari_sam2refiner.errors import InvalidConfigError, InvalidImageError
from napari_sam2refiner.metrics import count_found, iou
from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions import everything
from napari_sam2refiner.sessions.base import Prediction, Survey
from napari_sam2refiner.sessions.everything import Filters, segment_everything
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.weights import load_model

PLACES = [(30, 30, 14), (30, 60, 14), (30, 110, 9), (80, 40, 20), (90, 100, 17), (130, 20, 6), (125, 125, 12)]
IMAGE, TRUTH = discs((150, 150), PLACES)


@pytest.fixture(scope="module")
def model() -> SAM2Refiner:
    return load_model("micro", device="cpu")


@pytest.fixture(scope="module")
def session(model: SAM2Refiner) -> ImageSession:
    return ImageSession(model).set_image(IMAGE)


def test_every_disc_is_found_and_nothing_else(session: ImageSession) -> None:
    told: list[tuple[int, int]] = []
    labels, objects = segment_everything(session, progress=lambda done, known: told.append((done, known)))
    assert labels.dtype == np.uint32
    assert count_found(labels, TRUTH, (0.7,))[0] == (len(PLACES), 0, 0)
    assert [one.object_id for one in objects] == list(range(1, len(PLACES) + 1))
    assert [one.score for one in objects] == sorted((one.score for one in objects), reverse=True)
    for one in objects:
        assert one.pixels == np.count_nonzero(labels == one.object_id)
        assert labels[tuple(np.round(one.point).astype(int))] == one.object_id
        # A click at its point gives it again.
        again = session.predict_many([Prompts(points=[one.point])], look_again=False)[0]
        assert iou(again.mask, labels == one.object_id) > 0.9
        assert 0.45 <= one.score <= again.score + 1e-6
    assert all(done <= known for done, known in told)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] >= len(PLACES)


def test_every_coin_of_a_photograph_is_found(model: SAM2Refiner) -> None:
    image = coins()
    labels, objects = segment_everything(ImageSession(model).set_image(image))
    assert len(objects) == 24
    rows = [np.unique(labels[y]) for y in (50, 120, 193, 262)]  # four rows of six
    assert [len(row) - 1 for row in rows] == [6, 6, 6, 6]
    assert set(np.concatenate(rows)) == set(range(25))
    assert image[labels > 0].mean() > 1.5 * image[labels == 0].mean()


def test_nothing_is_found_where_nothing_is(model: SAM2Refiner) -> None:
    told: list[tuple[int, int]] = []
    flat = ImageSession(model).set_image(np.full((90, 70), 9, np.uint8))
    labels, objects = segment_everything(flat, progress=lambda done, known: told.append((done, known)))
    assert labels.shape == (90, 70)
    assert not labels.any()
    assert objects == []
    assert told[-1][0] == told[-1][1]


def test_a_large_plane_is_looked_at_in_windows(model: SAM2Refiner, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[20:700:40, 20:900:40].reshape(2, -1)
    places = [(int(y), int(x), 4) for y, x in zip(rows, columns, strict=True)]
    places = [(y, x, r) for y, x, r in places if abs(y - 350) > 110 or abs(x - 450) > 110]
    image, truth = discs((700, 900), [*places, (350, 450, 95)])
    session = ImageSession(model).set_image(image)
    labels, _ = segment_everything(session)
    counts = count_found(labels, truth, (0.5,))[0]
    assert counts.f1 > 0.9
    assert iou(labels == labels[350, 450], truth == len(places) + 1) > 0.8  # larger than what two windows share
    monkeypatch.setattr(everything, "SMALLER", 0.0)
    whole = count_found(segment_everything(session)[0], truth, (0.5,))[0]
    assert whole.f1 < counts.f1 - 0.05


def test_spans_cover_everything_and_answer_for_each_pixel_once() -> None:
    for length in (1, 100, 101, 140, 151, 1000, 1033):
        spans = everything._spans(length, 100)
        answered = np.zeros(length, int)
        for span, own in spans:
            assert span.stop - span.start == min(length, 100)
            assert 0 <= own.start < own.stop <= span.stop - span.start
            answered[span.start + own.start : span.start + own.stop] += 1
            inner = [own.start > 0, own.stop < span.stop - span.start]
            margins = [own.start, span.stop - span.start - own.stop]
            assert all(margin >= 12 for margin, is_inner in zip(margins, inner, strict=True) if is_inner)
        assert (answered == 1).all()


def test_what_is_raised_on_the_way_ends_it(session: ImageSession) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, known: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        segment_everything(session, progress=stop)


def test_a_network_that_does_not_know_where_objects_are_is_asked_on_a_grid() -> None:
    torch.manual_seed(0)
    session = ImageSession(SAM2Refiner(build_base("sam2.1_hiera_tiny"))).set_image(IMAGE[:100])
    survey = session.survey(2)
    assert survey.foreground is None
    np.testing.assert_allclose(survey.points, [[24.5, 37], [24.5, 112], [74.5, 37], [74.5, 112]], atol=1e-3)
    told: list[tuple[int, int]] = []
    labels, objects = segment_everything(
        session,
        filters=Filters(score=0.0, stability=0.0, overlap=1.0, area=1),
        points=2,
        progress=lambda done, known: told.append((done, known)),
    )
    assert labels.shape == (100, 150)
    assert told == [(0, 4), (4, 4)]
    assert {one.object_id for one in objects} == set(np.unique(labels)) - {0}


class Knowing:
    """A session that answers with given masks, whichever object was clicked, on a grid of points."""

    def __init__(self, masks: list[tuple[npt.NDArray[np.bool_], float, float]], grid: int = 12) -> None:
        self.masks, self.grid, self.asked = masks, grid, 0
        self.shape = masks[0][0].shape

    def as_whole(self) -> Knowing:
        return self

    def survey(self, points: int) -> Survey:
        axis = (np.arange(self.grid) + 0.5) * self.shape[0] / self.grid - 0.5
        places = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        return Survey(places, None, 1.0, self.shape[0])

    def predict_many(self, prompts: list[Prompts], **_: Any) -> list[Prediction]:
        self.asked += len(prompts)
        answers = []
        for one in prompts:
            y, x = one.points[0].round().astype(int)
            over = [(mask, score, sharp) for mask, score, sharp in self.masks if mask[y, x]]
            mask, score, sharp = over[0] if over else (np.zeros(self.shape, bool), 0.9, 5.0)
            answers.append(Prediction(mask, np.where(mask, sharp, -5.0).astype(np.float32), score))
        return answers


def square(top: int, left: int, side: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((60, 60), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_on_a_grid_too_each_object_is_found_once_and_sure_ones_are_not_asked_again() -> None:
    session = Knowing([(square(5, 5, 20), 0.9, 5.0), (square(30, 30, 20), 0.8, 5.0)])
    labels, objects = segment_everything(session)
    assert [(one.pixels, one.score, one.stability) for one in objects] == [(400, 0.9, 1.0), (400, 0.8, 1.0)]
    np.testing.assert_array_equal(labels == 1, square(5, 5, 20))
    np.testing.assert_array_equal(labels == 2, square(30, 30, 20))
    assert session.asked < 144  # points of the grid


def test_filters_leave_out_what_is_doubtful_unstable_covered_or_small() -> None:
    sure, doubtful, unstable = (
        (square(2, 2, 12), 0.9, 5.0),
        (square(2, 30, 12), 0.5, 5.0),
        (square(30, 2, 12), 0.9, 0.5),
    )
    small, large = (square(30, 30, 5), 0.9, 5.0), (square(42, 42, 14), 0.9, 5.0)
    session = Knowing([sure, doubtful, unstable, small, large], grid=30)

    def found(filters: Filters) -> set[tuple[int, ...]]:
        labels, objects = segment_everything(session, filters=filters)
        return {tuple(int(v) for v in np.argwhere(labels == one.object_id)[0]) for one in objects}

    everything = Filters(score=0.0, stability=0.0, area=1)
    assert found(everything) == {(2, 2), (2, 30), (30, 2), (30, 30), (42, 42)}
    assert found(replace(everything, score=0.6)) == {(2, 2), (30, 30), (42, 42)}  # the unstable is doubtful too
    assert found(replace(everything, stability=0.6)) == {(2, 2), (2, 30), (30, 30), (42, 42)}
    assert found(replace(everything, area=26)) == {(2, 2), (2, 30), (30, 2), (42, 42)}


def test_surer_objects_keep_their_pixels_and_who_has_too_few_left_goes() -> None:
    masks = [(square(10, 10, 20), 0.6, 5.0), (square(10, 26, 20), 0.9, 5.0)]  # a fifth of the doubtful one is shared
    session = Knowing(masks, grid=30)
    labels, objects = segment_everything(session, filters=Filters(overlap=0.3))
    assert [one.pixels for one in objects] == [400, 320]
    np.testing.assert_array_equal(labels == 1, masks[1][0])
    np.testing.assert_array_equal(labels == 2, masks[0][0] & ~masks[1][0])
    _, objects = segment_everything(session, filters=Filters(overlap=0.1))
    assert [one.score for one in objects] == [0.9]


def test_parts_of_a_plane_keep_its_intensities(model: SAM2Refiner) -> None:
    whole = ImageSession(model).set_image(coins())
    part = whole.within((slice(50, 150), slice(100, 260)))
    assert part.shape == (100, 160)
    assert whole._plane is not None
    assert part._plane is not None
    np.testing.assert_allclose(part._plane.image, whole._plane.image[50:150, 100:260], atol=1e-6)


def test_what_makes_no_sense_is_one_sentence(session: ImageSession, model: SAM2Refiner) -> None:
    with pytest.raises(InvalidConfigError, match=r"score of the filters is 1\.5; choose from 0 to 1"):
        segment_everything(session, filters=Filters(score=1.5))
    with pytest.raises(InvalidConfigError, match="area of the filters is 0"):
        segment_everything(session, filters=Filters(area=0))
    with pytest.raises(InvalidConfigError, match="0 points a side"):
        segment_everything(session, points=0)
    with pytest.raises(InvalidImageError, match="call set_image"):
        segment_everything(ImageSession(model))


def test_a_plane_that_clicks_see_in_tiles_is_segmented_as_a_whole(model: SAM2Refiner) -> None:
    image = np.zeros((40, 1100), np.float32)
    image[:, :150], places = IMAGE[10:50], [(20, 30, 14), (20, 60, 14), (20, 110, 9)]
    tiled = ImageSession(model).set_image(image)
    labels, objects = segment_everything(tiled)
    _, truth = discs((40, 1100), places)
    assert count_found(labels, truth, (0.5,))[0] == (3, 0, 0)
    assert len(objects) == 3


def test_a_plane_that_is_too_large_is_said(model: SAM2Refiner) -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (20_000, 20_000), (0, 0))
    with pytest.raises(InvalidImageError, match=r"20000.*too large to look at as a whole"):
        segment_everything(ImageSession(model).set_image(huge, limits=(0, 1)))
