"""The plugin as napari finds it, with the embedded weights, on a real image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bench import Bench
from fakes import disc

from napari_sam2refiner.metrics import iou
from napari_sam2refiner.simulated_user import next_click

PLUGIN = "napari-sam2refiner"
CELL = (374, 428, 64)  # middle and radius of the cell in the sample, in pixels
RESULT = "cell objects"


@pytest.fixture
def user(make_napari_viewer_proxy: Any, qtbot: Any) -> Any:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.open_sample(PLUGIN, "cell")
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment objects by clicks")
    user = Bench(viewer, qtbot, dock)
    yield user
    user.close()
    user.dock = user.viewer = None


def test_click_correct_commit_undo_redo_on_a_real_image(user: Any) -> None:
    assert user.dock.state.image == "cell"
    assert user.dock.state.model == "micro"
    truth = disc((660, 550), *CELL)
    user.click(CELL[0], CELL[1])
    assert iou(user.preview, truth) > 0.7
    for _ in range(2):  # on to a guess that is wrong: the first is nearer to the cell than the disc is
        user.press("G")
    first = user.preview
    correction = next_click(first, truth)
    assert correction is not None
    if not correction.positive:
        user.press("N")
    user.click(correction.y, correction.x)
    second = user.preview
    assert second[round(correction.y), round(correction.x)] == correction.positive
    assert iou(second, truth) > max(0.7, iou(first, truth))
    user.press("K")
    np.testing.assert_array_equal(user.result(RESULT), second.astype(np.uint32))
    assert not user.preview.any()
    user.press("U")
    assert not user.result(RESULT).any()
    np.testing.assert_array_equal(user.preview, second)
    user.dock.controller.redo()
    np.testing.assert_array_equal(user.result(RESULT), second.astype(np.uint32))


def test_rotated_and_scaled_real_image(user: Any) -> None:
    layer = user.viewer.layers["cell"]
    layer.scale, layer.rotate, layer.translate = (0.5, 0.25), 30, (7, -3)
    user.viewer.reset_view()
    user.click(*layer.data_to_world(CELL[:2]))
    user.press("K")
    assert iou(user.result(RESULT) > 0, disc((660, 550), *CELL)) > 0.7
    ours, theirs = user.viewer.layers[RESULT], layer
    np.testing.assert_allclose(ours.data_to_world(CELL[:2]), theirs.data_to_world(CELL[:2]))


def test_menu_entry_and_samples_are_there() -> None:
    from npe2 import PluginManager

    manifest = PluginManager.instance().get_manifest(PLUGIN)
    menus = {menu: [item.command for item in items] for menu, items in manifest.contributions.menus.items()}
    assert menus == {
        "napari/layers/segment": [f"{PLUGIN}.segment", f"{PLUGIN}.refine_labels"],
        "napari/layers/track": [f"{PLUGIN}.follow"],
    }
    assert [sample.key for sample in manifest.contributions.sample_data] == ["cell", "tissue", "dividing_nuclei"]
