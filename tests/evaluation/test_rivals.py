from __future__ import annotations

import numpy as np
import pytest
from annotated import discs

from napari_sam2refiner.evaluation.rivals import otsu_watershed, part_at
from napari_sam2refiner.metrics import iou

TOUCHING = [(20, 25, 12), (20, 46, 12), (45, 70, 10)]


@pytest.mark.parametrize("dark", [False, True])
def test_discs_are_found_and_split_where_they_touch(dark: bool) -> None:
    image, labels = discs(places=TOUCHING)
    parts = otsu_watershed(255 - image if dark else image)
    assert parts.max() == 3
    for number, (y, x, _) in enumerate(TOUCHING, 1):
        assert iou(part_at(parts, y, x), labels == number) > 0.85


def test_a_click_on_the_ground_takes_nothing() -> None:
    assert not part_at(otsu_watershed(discs()[0]), 0, 0).any()


def test_a_constant_image_has_no_parts() -> None:
    assert not otsu_watershed(np.full((20, 30), 7, np.uint8)).any()
