"""A plane of 400 million pixels behind dask in a real viewer, of which only parts may ever be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest
from bench import Bench
from large import DrawnNuclei

from napari_sam2refiner._qt.models import list_models, load_model, make_session
from napari_sam2refiner.viewer.layers.view import finest

COARSE = 32
PLACE = (103, 87)


@pytest.fixture
def nuclei() -> DrawnNuclei:
    return DrawnNuclei()


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any, nuclei: DrawnNuclei) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make() -> Bench:
        viewer = make_napari_viewer_proxy(show=True)
        fine = da.from_array(nuclei, chunks=512, asarray=False, meta=np.zeros((0, 0), np.uint16))
        levels = [fine, np.full((20_000 // COARSE, 20_000 // COARSE), 300, np.uint16)]
        viewer.add_image(levels, multiscale=True, name="slide", contrast_limits=(0, 2000))
        made.append(Bench(viewer, qtbot, models=list_models(), load=load_model, session=make_session))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None


def look_at(user: Bench, place: tuple[float, float]) -> None:
    """Zoom in, one pixel of the plane to one of the screen."""
    camera = getattr(user.viewer, "scene", user.viewer).camera
    camera.center, camera.zoom = (0, *place), 1.0
    user.qtbot.wait(200)  # napari draws


def test_click_correct_keep_undo_reopen_and_delete(bench: Any, nuclei: DrawnNuclei) -> None:
    user = bench()
    y, x = nuclei.middle(PLACE)
    look_at(user, (y, x))
    user.click(y, x)
    preview, result = finest(user.viewer.layers["preview"]), finest(user.viewer.layers["slide objects"])
    around = (slice(round(y) - 100, round(y) + 100), slice(round(x) - 100, round(x) + 100))
    truth = nuclei.truth(PLACE, around)

    def iou(labels: Any) -> float:
        found = labels[around] > 0
        return float((found & truth).sum() / (found | truth).sum())

    assert iou(preview) > 0.85
    assert user.dock.state.pixels == (preview[around] > 0).sum()
    user.press("N")
    user.click(y, x + 45)
    corrected = preview[around] > 0
    user.press("K")
    assert not preview[around].any()
    np.testing.assert_array_equal(result[around] == 1, corrected)
    assert user.dock.state.next_id == 2
    user.press("U")
    assert not result[around].any()
    np.testing.assert_array_equal(preview[around] > 0, corrected)
    user.press("K")
    number = int(result[round(y), round(x)])  # those of large results are not given twice
    user.dock.controller.objects.reopen(number)
    user.wait(user.is_idle)
    assert user.dock.state.reopened == number
    np.testing.assert_array_equal(preview[around] > 0, corrected)
    user.press("W")
    user.dock.controller.objects.look_at(number)
    user.dock.controller.objects.delete([number])
    assert not result[around].any()
    user.press("U")
    np.testing.assert_array_equal(result[around] == number, corrected)


def test_a_rough_outline(bench: Any, nuclei: DrawnNuclei) -> None:
    user = bench()
    y, x = nuclei.middle(PLACE)
    look_at(user, (y, x))
    corners = [(y - 25, x - 25), (y - 25, x + 25), (y + 25, x + 25), (y + 25, x - 25)]
    user.viewer.layers["regions"].add(np.array(corners), shape_type="polygon")
    user.wait(lambda: user.dock.state.pixels > 0 and user.is_idle())
    around = (slice(round(y) - 100, round(y) + 100), slice(round(x) - 100, round(x) + 100))
    found, truth = finest(user.viewer.layers["preview"])[around] > 0, nuclei.truth(PLACE, around)
    assert (found & truth).sum() / (found | truth).sum() > 0.75


@pytest.mark.skipif(os.environ.get("NAPARI_ASYNC") == "1", reason="is run by itself")
def test_napari_may_read_in_the_background() -> None:
    """In a process of its own: napari reads this setting once."""
    import subprocess
    import sys

    here = f"{__file__}::test_click_correct_keep_undo_reopen_and_delete"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", here]
    done = subprocess.run(run, env={**os.environ, "NAPARI_ASYNC": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
