"""The dock finds everything in a real viewer, with the embedded weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bench import Bench
from skimage.data import coins

from napari_sam2refiner._qt.models import load_model, make_session
from napari_sam2refiner.metrics import iou

IMAGE = coins()[20:160, 20:240]


@pytest.fixture
def user(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Bench]:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(IMAGE, name="cells")
    user = Bench(viewer, qtbot, load=load_model, session=make_session)
    yield user
    user.close()
    user.dock = user.viewer = None


def wait_for(user: Bench, done: Callable[[], bool]) -> None:
    user.wait(lambda: done() and user.is_idle())


def test_found_listed_reopened_corrected_and_undone(user: Bench) -> None:
    panel, everything = user.dock.everything, user.dock.controller.everything
    assert not panel.find_all.isVisible()  # closed at first
    panel.section._title.click()
    assert panel.find_all.isEnabled()
    assert not panel.cancel.isEnabled()
    panel.find_all.click()
    assert panel.cancel.isEnabled()
    assert not panel.find_all.isEnabled()
    wait_for(user, lambda: not everything.state.running and bool(user.dock.state.objects))
    found = user.result().copy()
    rows = user.dock.state.objects
    assert 6 <= len(rows) <= 12
    assert [row.object_id for row in rows] == sorted(set(np.unique(found)) - {0})
    assert all(row.score is not None and row.score >= 0.45 for row in rows)
    assert IMAGE[found > 0].mean() > 1.5 * IMAGE[found == 0].mean()
    assert f"{len(rows)} objects found" in panel.status.text()
    assert "found" not in user.dock.status.status.text(), "once is enough"
    user.dock.controller.objects.reopen(1)
    wait_for(user, lambda: user.dock.state.reopened == 1)
    assert len(user.viewer.layers["prompts"].data) == 1
    y, x = user.viewer.layers["prompts"].data[0]
    assert found[round(y), round(x)] == 1
    assert iou(user.preview, found == 1) == 1.0
    user.dock.controller.clear()
    user.dock.controller.undo()
    user.dock.controller.undo()
    user.dock.controller.undo()
    assert not user.result().any()
    user.dock.controller.redo()
    np.testing.assert_array_equal(user.result(), found)


def test_cancel_writes_nothing_and_clicks_go_on(user: Bench) -> None:
    panel, everything = user.dock.everything, user.dock.controller.everything
    panel.section._title.click()
    panel.score.setValue(30)
    panel.area.setValue(40)
    assert (everything.state.score, everything.state.area) == (0.3, 40)
    panel.find_all.click()
    panel.cancel.click()
    assert panel.find_all.isEnabled()
    assert "nothing was written" in panel.status.text()
    user.click(37, 80)  # answered after what was cancelled has ended
    assert user.preview.any()
    assert not user.result().any()
