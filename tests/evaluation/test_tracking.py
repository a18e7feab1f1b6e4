from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import discs, write_field

from napari_sam2refiner.datasets.sequences import AnnotatedSequence, find_sequences
from napari_sam2refiner.errors import InvalidConfigError, ReadError
from napari_sam2refiner.evaluation.tracking import clicked_once, measure_tracks, otsu_by_overlap
from napari_sam2refiner.labels.exchange.lineage import Track, as_tracks
from napari_sam2refiner.weights import load_model


@pytest.fixture
def sequence(tmp_path: Path) -> AnnotatedSequence:
    """Two discs; a third one comes on the third frame, and the second one is away on the fourth."""
    for t in range(6):
        image, labels = discs((60, 120), [(30, 20 + 2 * t, 11), (30, 75, 8), (12, 100, 7)])
        for number, away in ((2, t == 3), (3, t < 2)):
            if away:
                image[labels == number] = image[0, 0]
                labels[labels == number] = 0
        write_field(tmp_path / "val", f"01/{t:04}.png", image, labels)
    (one,) = find_sequences(tmp_path, "val")
    return one


def true(sequence: AnnotatedSequence, frames: range) -> Iterator[Any]:
    yield from (sequence.truth(t) for t in frames)


def without_the_last(sequence: AnnotatedSequence, frames: range) -> Iterator[Any]:
    for labels in true(sequence, frames):
        yield np.where(labels == 3, 0, labels)


def renamed_half_way(sequence: AnnotatedSequence, frames: range) -> Iterator[Any]:
    for t, labels in zip(frames, true(sequence, frames), strict=True):
        yield np.where(labels > 0, labels + 10 * (t > 4), 0)


def test_seg_and_tra_are_one_of_the_truth_and_less_of_what_is_not(sequence: AnnotatedSequence) -> None:
    found = measure_tracks(sequence, {"true": true, "missing": without_the_last, "renamed": renamed_half_way}, None)
    assert found["true"] == (6, 4, 1.0, 1.0), "the second disc has two stays"
    assert found["missing"].seg == pytest.approx(11 / 15)
    assert found["missing"].tra < 0.8
    assert found["renamed"].seg == 1.0
    assert 0.9 < found["renamed"].tra < 1.0


def test_a_track_has_no_gap(sequence: AnnotatedSequence) -> None:
    frames = [labels for t in range(6) if (labels := sequence.truth(t)) is not None]
    before = [labels.copy() for labels in frames]
    out, tracks = as_tracks(frames, {3: 2, 1: 9})
    assert tracks == [Track(1, 0, 5, 0), Track(2, 0, 2, 0), Track(3, 2, 5, 4), Track(4, 4, 5, 2)]
    assert (out[5] == 4).sum() == (frames[5] == 2).sum()
    assert (out[5] == 3).sum() == (frames[5] == 3).sum()
    assert all(np.array_equal(a, b) for a, b in zip(frames, before, strict=True))
    far = [np.where(labels > 0, labels + 70_000, 0) for labels in frames]
    np.testing.assert_array_equal(as_tracks(far, {})[0], out)


def nothing(sequence: AnnotatedSequence, frames: range) -> Iterator[Any]:
    yield from (np.zeros((60, 120), int) for _ in frames)


def lost_on_a_frame(sequence: AnnotatedSequence, frames: range) -> Iterator[Any]:
    for t, labels in zip(frames, true(sequence, frames), strict=True):
        yield labels * (t != 1)


def test_nothing_found_and_nothing_outlined_are_measured_too(sequence: AnnotatedSequence) -> None:
    found = measure_tracks(sequence, {"nothing": nothing, "lost": lost_on_a_frame}, None)
    assert (found["nothing"].seg, found["nothing"].tra) == (0.0, 0.0)
    assert found["lost"].seg == pytest.approx(13 / 15)
    assert 0.7 < found["lost"].tra < 1.0
    marked = replace(sequence, drawn=(None,) * 6)
    (only_marks,) = measure_tracks(marked, {"true": true}, None).values()
    assert np.isnan(only_marks.seg)
    assert only_marks.tra == 1.0


def test_micro_tracks_what_is_clicked_once(sequence: AnnotatedSequence) -> None:
    model = load_model("micro", "none", device="cpu")
    found = measure_tracks(sequence, {"micro": clicked_once(model), "Otsu": otsu_by_overlap}, 3)
    assert found["micro"].frames == 3
    assert found["micro"].seg > 0.8
    assert found["micro"].tra > 0.95
    assert found["Otsu"].tra > 0.9


def test_what_cannot_be_measured_is_one_sentence(
    sequence: AnnotatedSequence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = discs((60, 90))
    write_field(tmp_path / "empty" / "val", "01/0000.png", image, np.zeros_like(labels))
    (empty,) = find_sequences(tmp_path / "empty", "val")
    with pytest.raises(ReadError, match="no object on its first 1 frames"):
        measure_tracks(empty, {"true": true}, None)
    monkeypatch.setitem(sys.modules, "ctc_metrics.scripts.evaluate", None)
    with pytest.raises(InvalidConfigError, match="pip install"):
        measure_tracks(sequence, {"true": true}, None)
