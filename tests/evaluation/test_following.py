from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotated import discs, write_field

from napari_sam2refiner.datasets.sequences import AnnotatedSequence, find_sequences
from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.evaluation.following import RIVALS, Followed, carried_by, correct_worst, follow
from napari_sam2refiner.weights import load_model


@pytest.fixture
def sequence(tmp_path: Path) -> AnnotatedSequence:
    """Two discs, one of which moves by a fifth of its width; the other one is gone on the last frame."""
    for t in range(5):
        places = [(30, 20 + 4 * t, 11), (30, 75, 8)][: 2 - (t == 4)]
        image, labels = discs((60, 90), places)
        write_field(tmp_path / "val", f"01/{t:04}.png", image, None if t == 2 else labels)
    (one,) = find_sequences(tmp_path, "val")
    return one


def test_sequences_are_read_frame_by_frame(sequence: AnnotatedSequence) -> None:
    assert sequence.name.endswith("/01")
    assert len(sequence) == 5
    assert sequence[3].shape == (60, 90)
    assert sequence.truth(2) is None
    truth = sequence.truth(1)
    assert truth is not None
    assert set(np.unique(truth)) == {0, 1, 2}
    with pytest.raises(ReadError, match="holds no sequences in its split 'train'"):
        find_sequences(sequence.images[0].parents[3], "train")


def test_rivals_are_as_good_as_what_they_do(sequence: AnnotatedSequence) -> None:
    found = follow(sequence, RIVALS)
    for one in found.values():
        assert one.distances == [1, 3, 4], "frames with truth"
        assert [seen.distance for seen in one.seen] == [1, 1, 3, 3, 4]
        assert len({seen.who for seen in one.seen}) == 2
        low, high = one.interval
        assert low <= one.j <= high
        assert one.gone == 1
    assert found["copied"].drawn == 1
    assert [seen.j for seen in found["copied"].seen[:2]] == pytest.approx([0.63, 1.0], abs=0.08)
    assert [seen.f for seen in found["copied"].seen[:2]] == pytest.approx([0.26, 1.0], abs=0.05)
    assert found["copied"].j_at(4) < 0.25
    assert found["overlap"].f > 0.9 > 0.75 > found["copied"].f
    assert found["overlap"].j > 0.85
    assert found["centroid"].j > 0.85
    assert found["overlap"].drawn == 0


def test_the_largest_objects_and_the_first_frames_can_be_chosen(sequence: AnnotatedSequence) -> None:
    (one,) = follow(sequence, {"copied": RIVALS["copied"]}, frames=3, objects=1).values()
    assert [seen.distance for seen in one.seen] == [1, 3]


def test_micro_follows(sequence: AnnotatedSequence) -> None:
    model = load_model("micro", "none", device="cpu")
    (one,) = follow(sequence, {"micro": carried_by(model)}, frames=3).values()
    assert one.j > 0.85


def test_a_corrected_frame_is_carried_on(tmp_path: Path) -> None:
    """A disc jumps far away after the first frame, and is lost until it is clicked."""
    for t in range(4):
        image, labels = discs((60, 200), [(30, 20 if t == 0 else 150 + 3 * t, 11), (25, 75, 8)])
        write_field(tmp_path / "val", f"01/{t:04}.png", image, labels)
    (sequence,) = find_sequences(tmp_path, "val")
    found = correct_worst(sequence, load_model("micro", "none", device="cpu"))
    assert not found.seen, "nothing else is measured"
    assert found.uncorrected[::2] == [0.0] * (len(found.uncorrected) // 2)
    assert min(found.corrected) > 0.85
    assert len(found.uncorrected) == len(found.corrected) >= 2
    first_two = correct_worst(sequence, load_model("micro", "none", device="cpu"), frames=1)
    assert first_two == Followed(), "there is nothing after the worst frame"
