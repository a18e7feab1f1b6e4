"""Refining labels with the embedded weights, on discs whose outlines are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from annotated import discs
from scipy import ndimage

from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.sessions.relabel import _weighed, refine_labels
from napari_sam2refiner.weights import load_model

PLACES = [(40, 40, 16), (40, 78, 16), (100, 60, 25)]
IMAGE, TRUTH = discs((140, 140), PLACES)


@pytest.fixture(scope="module")
def session() -> ImageSession:
    return ImageSession(load_model("micro", device="cpu")).set_image(IMAGE)


def eroded(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.where(ndimage.distance_transform_edt(labels > 0) > 4, labels, 0).astype(labels.dtype)


def test_outlines_get_better_and_ids_stay(session: ImageSession) -> None:
    bad = eroded(TRUTH)
    bad[bad == 2] = 70
    copy = bad.copy()
    told: list[tuple[int, int]] = []
    refined, changes = refine_labels(session, bad, progress=lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(bad, copy)
    assert refined.dtype == bad.dtype
    assert [c.object_id for c in changes] == [1, 3, 70]
    assert told == [(3, 3)]
    gains = []
    for change, number in zip(changes, (1, 3, 2), strict=True):
        truth = np.isin(TRUTH, number)
        before, after = bad == change.object_id, refined == change.object_id
        gains.append(iou(after, truth) - iou(before, truth))
        assert (change.pixels_before, change.pixels_after) == (before.sum(), after.sum())
        assert change.iou == pytest.approx(iou(before, after), abs=0.02)
        assert not change.kept
    assert min(gains) > 0.04
    assert sorted(gains)[1] > 0.1, "two of three gain as much as ever"
    assert np.mean(gains) > 0.15


def test_labels_that_are_nearly_right_stay_so(session: ImageSession) -> None:
    rough = ndimage.zoom(ndimage.zoom(TRUTH, 0.5, order=0), 2, order=0)[: TRUTH.shape[0], : TRUTH.shape[1]]
    refined, _ = refine_labels(session, rough)
    (alone,) = session.predict_many([Prompts(mask=rough == 3)])
    assert iou(refined == 3, TRUTH == 3) > iou(alone.mask, TRUTH == 3)
    assert all(iou(refined == i, i == TRUTH) > iou(rough == i, i == TRUTH) - 0.02 for i in (1, 2, 3))


def test_what_was_drawn_counts_alike_wherever_the_answer_ends() -> None:
    drawn = np.zeros((40, 40), bool)
    drawn[10:30, 10:30] = True
    logits = np.where(drawn, np.float32(-0.8), np.float32(-5.0))
    alone = _weighed(drawn, logits)
    assert (alone > 0).sum() == 18 * 18, "the outermost pixels are half a pixel from what was not drawn"
    logits[2, 2] = -0.5
    np.testing.assert_allclose(_weighed(drawn, logits)[9:31, 9:31], alone[9:31, 9:31])
    assert (_weighed(np.ones((5, 5), bool), np.full((5, 5), -0.5, np.float32)) > 0).all()


def test_what_would_change_too_much_is_kept(session: ImageSession) -> None:
    bad = eroded(TRUTH)
    refined, changes = refine_labels(session, bad, most_change=0.0)
    np.testing.assert_array_equal(refined, bad)
    assert all(change.kept for change in changes)
    _, free = refine_labels(session, bad, most_change=1.0)
    between = float(np.median([c.iou for c in free]))  # some change by less, some by more
    refined, changes = refine_labels(session, bad, most_change=1.0 - between)
    assert {c.kept for c in changes} == {True, False}
    for change in changes:
        assert change.kept == (change.iou < between)
        assert np.array_equal(refined == change.object_id, bad == change.object_id) == change.kept


def test_no_pixel_belongs_to_two(session: ImageSession) -> None:
    merged = np.where(TRUTH == 3, 3, 0)
    merged[100:, :][TRUTH[100:] == 3] = 4  # one disc, cut in two
    refined, changes = refine_labels(session, merged, most_change=1.0)
    assert set(np.unique(refined)) <= {0, 3, 4}
    assert sum(c.pixels_after for c in changes) == np.count_nonzero(refined)


def test_labels_without_objects_stay_so(session: ImageSession) -> None:
    refined, changes = refine_labels(session, np.zeros_like(TRUTH))
    assert not refined.any()
    assert changes == []


def test_what_cannot_be_refined_is_one_sentence(session: ImageSession) -> None:
    with pytest.raises(InvalidLabelsError, match=r"\(10, 10\) and dtype int32; give integers of shape \(140, 140\)"):
        refine_labels(session, TRUTH[:10, :10])
    with pytest.raises(InvalidLabelsError, match="float64"):
        refine_labels(session, TRUTH.astype(float))
    with pytest.raises(InvalidConfigError, match=r"most_change is 1\.5"):
        refine_labels(session, TRUTH, most_change=1.5)
