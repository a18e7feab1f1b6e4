from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer import frame_counts
from napari_sam2refiner.viewer.frame_counts import FrameCounts, look_through

SHOWN = PlaneIndex((0, 0, 0), (1, 2))


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((5, 4, 6), np.uint16)
    labels[:3, 0] = 1
    labels[4, 1] = 2
    return labels


def test_planes_are_looked_through_a_few_at_a_time(labels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_counts, "AT_ONCE", 50)
    counts, turns = FrameCounts(), 0
    while planes := counts.next_planes(labels, SHOWN):
        assert counts.counts is None
        counts.put(look_through(labels, planes))
        turns += 1
    assert turns == 3
    assert dict(counts.counts or {}) == {1: 3, 2: 1}


def test_a_plane_that_changed_meanwhile_is_looked_through_again(labels: np.ndarray) -> None:
    counts = FrameCounts()
    found = look_through(labels, counts.next_planes(labels, SHOWN))
    labels[4, 1] = 1
    counts.doubt((slice(4, 5), slice(1, 2), slice(0, 6)))
    counts.put(found)
    assert [plane.steps[0] for plane in counts.next_planes(labels, SHOWN)] == [4]
    counts.put(look_through(labels, counts.next_planes(labels, SHOWN)))
    assert counts.counts is not None
    assert (counts.counts[1], counts.counts[2]) == (4, 0)


def test_other_axes_are_counted_anew(labels: np.ndarray) -> None:
    counts = FrameCounts()
    across = PlaneIndex((0, 0, 0), (0, 2))
    for shown in (SHOWN, across):
        counts.put(look_through(labels, counts.next_planes(labels, shown)))
    assert dict(counts.counts or {}) == {1: 1, 2: 1}


def test_what_is_flat_or_on_disk_is_not_looked_through(labels: np.ndarray, tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=(5, 4, 6))
    for array, shown in ((labels[0], PlaneIndex((0, 0), (0, 1))), (mapped, SHOWN)):
        counts = FrameCounts()
        assert counts.next_planes(array, shown) == []
        assert counts.counts is None
