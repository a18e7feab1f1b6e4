"""A plane whose channels each have their own black and white, seen by the embedded model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import disc
from large import DrawnNuclei
from skimage.filters import gaussian

from napari_sam2refiner.metrics import iou
from napari_sam2refiner.planes.channels import ComposedPlane
from napari_sam2refiner.planes.lazy import LazyPlane
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.weights.load import load_model

SHAPE = (160, 200)
CELLS = ((45, 50), (50, 135), (115, 90))


@pytest.fixture(scope="module")
def micro() -> Any:
    return load_model("micro", device="cpu")


def stained() -> tuple[Any, Any]:
    """Return bright nuclei in one channel, and the dim membranes around them in another."""
    nuclei, membranes = np.zeros(SHAPE), np.zeros(SHAPE)
    for y, x in CELLS:
        nuclei[disc(SHAPE, y, x, 8)] = 1
        membranes[disc(SHAPE, y, x, 26) & ~disc(SHAPE, y, x, 22)] = 1
    noise = np.random.default_rng(0).normal(0, 0.05, (2, *SHAPE))
    return 3000 * (gaussian(nuclei, 1) + noise[0]), 40 * (gaussian(membranes, 1) + noise[1])


def composed(*arrays: Any) -> ComposedPlane:
    return ComposedPlane([LazyPlane([array]) for array in arrays], [None] * len(arrays))


def test_a_dim_channel_counts_as_much_as_a_bright_one(micro: Any) -> None:
    nuclei, membranes = stained()
    both = ImageSession(micro).set_image(composed(nuclei, membranes), limits=(0, 1))
    only = ImageSession(micro).set_image(nuclei)
    for place in CELLS:
        cell, asked = disc(SHAPE, *place, 26), Prompts(points=[place])
        assert iou(both.predict(asked).mask, cell) > 0.8
        assert iou(only.predict(asked).mask, cell) < 0.3, "of a cell the nuclei show only the nucleus"


def test_a_large_plane_is_read_where_it_is_clicked(micro: Any) -> None:
    drawn = DrawnNuclei()
    session = ImageSession(micro).set_image(composed(drawn, drawn), limits=(0, 1))
    y, x = drawn.middle((100, 100))
    found = session.predict(Prompts(points=[(y, x)])).part
    around = (slice(round(y) - 150, round(y) + 150), slice(round(x) - 150, round(x) + 150))
    assert iou(found.within(around), drawn.truth((100, 100), around)) > 0.85
