"""A late click changes what is connected to it, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2refiner.metrics import iou
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.corrections import connected_to_clicks
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.simulated_user import next_click
from napari_sam2refiner.weights import load_model


def logits(*squares: tuple[int, int]) -> np.ndarray:
    """Return logits above zero in squares of 6 pixels with these corners."""
    values = np.full((40, 50), -3.0, np.float32)
    for y, x in squares:
        values[y : y + 6, x : x + 6] = 2.0
    return values


def test_only_the_piece_under_a_disobeyed_click_changes() -> None:
    before, after = logits((5, 5), (20, 30)), logits((5, 5), (5, 11), (30, 5))
    found = connected_to_clicks(after, before, Prompts([(7, 7), (8, 13.4)]))
    assert found is not None
    np.testing.assert_array_equal(found > 0, logits((5, 5), (5, 11), (20, 30)) > 0)
    removed = connected_to_clicks(after, before, Prompts([(7, 7), (22, 33)], [1, 0]))
    assert removed is not None
    np.testing.assert_array_equal(removed > 0, logits((5, 5)) > 0)
    both = connected_to_clicks(after, before, Prompts([(7, 7), (22, 33), (33, 8)], [1, 0, 1]))
    assert both is not None
    np.testing.assert_array_equal(both > 0, logits((5, 5), (30, 5)) > 0)


def test_nothing_is_kept_where_all_is_meant_or_no_click_was_wrong() -> None:
    before, after = logits((5, 5)), logits((5, 5), (5, 11))
    assert connected_to_clicks(after, before, Prompts([(7, 7), (8, 13)])) is None
    assert connected_to_clicks(after, before, Prompts([(7, 7), (8, 7)])) is None
    assert connected_to_clicks(after, before, Prompts([(7, 7), (-0.5, 49.4)], [1, 0])) is None


def test_a_user_who_goes_on_loses_nothing_elsewhere() -> None:
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:160, :200]
    truth = (rows - 80) ** 2 / 40**2 + (columns - 90) ** 2 / 70**2 < 1
    truth &= (rows - 70) ** 2 + (columns - 150) ** 2 > 20**2
    image = rng.normal(100, 40, truth.shape) + 40 * truth
    session = ImageSession(load_model("micro", "none", device="cpu")).set_image(image)
    points, labels, previous = [], [], None
    for number in range(1, 8):
        y, x, positive = next_click(None if previous is None else previous.mask, truth) or pytest.fail("found at once")
        points.append((y, x))
        labels.append(int(positive))
        answer = session.predict(Prompts(points, labels), previous=previous)
        if previous is not None and number >= 4:
            expected = connected_to_clicks(answer.logits, previous.logits, Prompts(points, labels))
            assert expected is None, "what is not connected stayed as it was"
            changed = answer.mask != previous.mask
            assert changed[int(y), int(x)]
        previous = answer
    assert previous is not None
    assert iou(previous.mask, truth) > 0.7
