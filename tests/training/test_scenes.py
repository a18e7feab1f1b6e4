from __future__ import annotations

import numpy as np
import pytest

from napari_sam2refiner.training.readers import scene_field
from napari_sam2refiner.training.scenes import SCENES, observe, scene

SIDE = 96


@pytest.mark.parametrize("kind", SCENES)
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_fit_the_image_and_are_not_empty(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, labels = SCENES[kind](rng, SIDE)
    assert labels.shape == (SIDE, SIDE)
    assert labels.dtype == np.int32
    assert labels.min() >= 0
    assert labels.any()
    assert image.shape in ((SIDE, SIDE), (SIDE, SIDE, 3))
    seen = observe(rng, image)
    assert seen.shape == image.shape
    assert seen.dtype == np.float32
    assert np.isfinite(seen).all()
    inside, ground = seen[labels > 0], seen[labels == 0]
    assert inside.std() > 0
    assert not ground.size or ground.std() > 0


def test_the_same_seed_gives_the_same_scene() -> None:
    for seed in range(len(SCENES)):
        first, second = scene(seed, SIDE), scene(seed, SIDE)
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(scene(0, SIDE)[0], scene(len(SCENES), SIDE)[0])


def test_a_scene_becomes_a_field_in_eight_bits() -> None:
    field = scene_field(0, SIDE)
    assert field.image.dtype == np.uint8
    assert field.image.max() == 255
    assert field.limits == (0.0, 255.0)
