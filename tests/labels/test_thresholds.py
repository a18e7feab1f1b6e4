from __future__ import annotations

import numpy as np
from annotated import discs

from napari_sam2refiner.labels.thresholds import otsu_watershed, part_over
from napari_sam2refiner.metrics import iou

PLACES = [(40, 30, 14), (40, 56, 14), (90, 90, 20)]  # the first two touch


def test_objects_that_touch_are_split_on_dark_and_on_bright_ground() -> None:
    image, labels = discs((128, 128), PLACES)
    bright = np.repeat(image[..., None] / np.float32(255), 3, axis=2).astype(np.float32)
    for plane in (bright, 1 - bright):
        parts = otsu_watershed(plane)
        assert parts.dtype == np.int32
        assert parts.max() == 3
        for number in (1, 2, 3):
            part = part_over(parts, labels == number)
            assert part is not None
            assert iou(part, labels == number) > 0.85


def test_nothing_is_found_in_an_even_plane() -> None:
    parts = otsu_watershed(np.full((20, 30, 3), 0.4, np.float32))
    assert not parts.any()
    assert part_over(parts, np.ones((20, 30), bool)) is None
