"""What cannot be segmented, through the dock, with the embedded weights: one sentence, and nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bench import Bench
from napari.utils.notifications import notification_manager

from napari_sam2refiner._qt.models import load_model, make_session
from napari_sam2refiner.planes.intensity import NonFiniteWarning


@pytest.fixture
def dock_on(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Callable[[Any], Bench]]:
    made: list[Bench] = []

    def make(image: Any) -> Bench:
        viewer = make_napari_viewer_proxy(show=True)
        viewer.add_image(image, name="cells", contrast_limits=(0, 1))
        made.append(Bench(viewer, qtbot, load=load_model, session=make_session))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None


def bright_disc() -> Any:
    rows, columns = np.mgrid[:60, :80]
    return (np.hypot(rows - 30, columns - 40) < 12).astype(np.float32)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((60, 80), np.nan), "no finite"),
        (np.zeros((1, 1)), r"(1, 1)"),
    ],
    ids=["all NaN", "1 x 1"],
)
def test_an_image_that_cannot_be_read_is_named(dock_on: Any, image: Any, says: str) -> None:
    before = len(notification_manager.records)
    user = dock_on(image)
    user.viewer.layers["prompts"].add(np.array(image.shape) / 2 - 0.5)
    user.wait(user.is_idle)
    messages = [record.message for record in notification_manager.records[before:]]
    assert messages
    assert all(says in message and message.endswith(".") for message in messages), messages
    assert not user.preview.any()
    assert user.dock.status.status.text() == messages[-1]
    assert not user.result().any()


def test_a_constant_image_is_answered(dock_on: Any) -> None:
    before = len(notification_manager.records)
    user = dock_on(np.ones((60, 80)))
    user.click(30, 40)
    assert len(notification_manager.records) == before
    assert "sure" in user.dock.status.status.text()


def test_nan_is_taken_for_dark(dock_on: Any) -> None:
    image = bright_disc()
    image[:10] = np.nan
    with pytest.warns(NonFiniteWarning, match="800 of 4800") as told:
        user = dock_on(image)  # which looks at it
    user.click(30, 40)
    assert len(told) == 1
    assert 300 < user.preview.sum() < 600
