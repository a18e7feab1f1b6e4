from __future__ import annotations

import numpy as np
import pytest

from napari_sam2refiner.sessions.doubt import Glimpse, doubt

WELL = Glimpse(0.9, 100, 1)


def test_pieces_that_count_are_large_and_do_not_touch() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:6, 2:7] = True
    mask[6:10, 7:12] = True  # touches by a corner
    assert Glimpse.of(mask, 0.8) == (0.8, 40, 1)
    mask[15, 25] = True
    assert Glimpse.of(mask, 0.8) == (0.8, 41, 1)
    mask[12:16, 20:26] = True
    assert Glimpse.of(mask, 0.8) == (0.8, 64, 2)
    assert Glimpse.of(np.zeros((4, 4), bool), 0.1) == (0.1, 0, 0)


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (WELL, WELL, ""),
        (WELL._replace(pixels=0, pieces=0), WELL, "is gone"),
        (WELL._replace(pixels=0, pieces=0), WELL._replace(pixels=0, pieces=0), ""),
        (WELL, WELL._replace(pixels=0, pieces=0), "is there again"),
        (WELL._replace(pieces=2), WELL, "is in 2 pieces"),
        (WELL._replace(pieces=2), WELL._replace(pieces=2), ""),
        (WELL._replace(pixels=161), WELL, "has 161 pixels after 100"),
        (WELL._replace(pixels=62), WELL, "has 62 pixels after 100"),
        (WELL._replace(pixels=159), WELL, ""),
        (WELL._replace(score=0.5), WELL, "has a score of 0.50"),
    ],
)
def test_what_is_worth_a_look(now: Glimpse, before: Glimpse, words: str) -> None:
    assert doubt(now, before) == words
