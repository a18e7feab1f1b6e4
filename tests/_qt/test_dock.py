"""The dock in a real viewer, driven by mouse and keys."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench import Bench
from fakes import RADII, FakeSession, disc
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_sam2refiner._qt.models import list_models, load_model, make_session
from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.viewer.keys import SEGMENT_KEYS
from napari_sam2refiner.viewer.loader import ModelLoader
from napari_sam2refiner.viewer.segmenter import Job, Outcome, Segmenter, perform
from napari_sam2refiner.viewer.state import DockState, ModelChoice

SHAPE = (60, 80)


def test_click_correct_commit_undo_redo(bench: Any) -> None:
    user = bench(layer={})
    assert user.viewer.layers.selection.active.name == "prompts"
    user.click(30, 40)
    y, x = user.viewer.layers["prompts"].data[0]
    assert (y, x) == pytest.approx((30, 40), abs=0.6)
    mask = disc(SHAPE, y, x, RADII[0])
    np.testing.assert_array_equal(user.preview, mask)
    user.press("N")
    user.click(30, 44)
    assert user.viewer.layers["prompts"].features["polarity"].tolist() == ["positive", "negative"]
    corrected = user.preview
    assert not corrected[30, 44]
    user.press("K")
    np.testing.assert_array_equal(user.result(), corrected.astype(np.uint32))
    assert not user.preview.any()
    assert len(user.viewer.layers["prompts"].data) == 0
    user.press("U")
    assert not user.result().any()
    np.testing.assert_array_equal(user.preview, corrected)
    user.press("U", Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_array_equal(user.result(), corrected.astype(np.uint32))
    user.click(10, 10)
    user.press("K")
    assert sorted(np.unique(user.result())) == [0, 1, 2]


def test_guesses_and_clear_by_key(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    small = user.preview.sum()
    user.press("G")
    assert user.preview.sum() > small
    user.press("W")
    assert not user.preview.any()
    assert len(user.viewer.layers["prompts"].data) == 0
    user.press("U")
    assert user.preview.sum() > small
    assert user.viewer.layers["prompts"].face_color.shape == (1, 4)


def test_the_object_under_the_mouse_is_reopened_corrected_and_deleted(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.press("K")
    before = user.result().copy()
    user.hover(30, 42)
    user.press("K", Qt.KeyboardModifier.ShiftModifier)
    assert user.dock.state.reopened == 1
    np.testing.assert_array_equal(user.preview, before > 0)
    user.click(30, 50)
    user.press("K")
    assert set(np.unique(user.result())) == {0, 1}
    assert (user.result() > 0).sum() > before.sum()
    user.hover(30, 42)
    user.press("W", Qt.KeyboardModifier.ShiftModifier)
    assert not user.result().any()
    for _ in range(4):
        user.press("U")
    np.testing.assert_array_equal(user.result(), before)


def test_the_table_of_objects_shows_opens_and_deletes(bench: Any) -> None:
    user = bench(layer={})
    for place in ((10, 10), (45, 60)):
        user.click(*place)
        user.press("K")
    table = user.dock.objects.table
    user.wait(lambda: table.model().rowCount() == 2)
    assert not user.dock.objects.reopen.isEnabled()
    table.selectRow(1)
    camera = getattr(user.viewer, "scene", user.viewer).camera
    assert camera.center[-2:] == pytest.approx((45, 60), abs=1.5)
    user.dock.objects.reopen.click()
    assert user.dock.state.reopened == 2
    user.press("W")
    user.dock.objects.delete.click()
    user.wait(lambda: table.model().rowCount() == 1)
    assert set(np.unique(user.result())) == {0, 1}


def test_work_of_a_closed_dock_is_offered_and_brought_back(bench: Any) -> None:
    first = bench(layer={})
    assert not first.dock.earlier.isVisible()
    first.click(30, 40)
    first.press("K")
    first.click(10, 60)
    labels, preview = first.result().copy(), first.preview
    first.close()
    first.viewer.layers.clear()
    first.viewer.add_image(np.zeros(SHAPE), name="cells")
    second = bench(viewer=first.viewer)
    second.wait(second.dock.earlier.isVisible)
    assert "was kept" in second.dock.earlier.text.text()
    second.dock.earlier.bring_back.click()
    second.wait(lambda: second.result().any() and second.is_idle())
    np.testing.assert_array_equal(second.result(), labels)
    np.testing.assert_array_equal(second.preview, preview)
    assert not second.dock.earlier.isVisible()
    second.press("U")
    assert not second.result().any()
    assert not second.preview.any()


def test_alt_click_is_negative_once(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.click(30, 46, modifier=Qt.KeyboardModifier.AltModifier)
    user.click(34, 40)
    assert user.viewer.layers["prompts"].features["polarity"].tolist() == ["positive", "negative", "positive"]
    colors = user.viewer.layers["prompts"].face_color
    np.testing.assert_allclose(colors[0], colors[2])
    assert not np.allclose(colors[0], colors[1])
    assert [symbol.value for symbol in user.viewer.layers["prompts"].symbol] == ["disc", "x", "disc"]


def test_the_colours_of_clicks_are_seen(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 20)
    user.click(30, 60, modifier=Qt.KeyboardModifier.AltModifier)
    layer = user.viewer.layers["prompts"]
    layer.selected_data = set()
    seen = user.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
    for color in layer.face_color:
        assert (np.abs(seen - 255 * color[:3]).max(-1) < 40).sum() > 30, "not only their borders"


def test_box_by_dragging_and_undo(bench: Any) -> None:
    user = bench(layer={})
    user.press("Q")
    user.drag((10, 10), (30, 50))
    assert user.dock.state.boxes == 1
    (_, prompts, _) = user.log[-1]
    assert prompts.boxes[0] == pytest.approx([10, 10, 30, 50], abs=1)
    assert user.preview[20, 30]
    user.press("U")
    assert len(user.viewer.layers["regions"].data) == 0
    assert not user.preview.any()
    user.press("U", Qt.KeyboardModifier.ShiftModifier)
    assert len(user.viewer.layers["regions"].data) == 1


def test_from_boxes_n_goes_back_to_clicks_that_say_what_they_said(bench: Any) -> None:
    user = bench(layer={})
    user.press("Q")
    user.press("N")
    assert user.viewer.layers.selection.active.name == "prompts"
    assert not user.dock.state.negative


def test_moved_and_deleted_points(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    points = user.viewer.layers["prompts"]
    points.mode = "select"
    points.selected_data = {0}
    user.drag((30, 40), (20, 20))
    assert user.dock.state.undo == "moving a point"
    assert user.preview[20, 20]
    assert not user.preview[30, 40]
    points.selected_data = {0}
    points.remove_selected()
    assert not user.preview.any()
    user.press("U")
    assert user.preview[20, 20]
    user.press("U")
    assert user.preview[30, 40]


ROTATED = {"scale": (0.5, 2), "translate": (7, -30), "rotate": 30, "shear": [0.2]}
AFFINE = {"affine": np.array([[0.8, 0.3, 5], [-0.2, 1.1, -9], [0, 0, 1]]), "scale": (2, 2)}


@pytest.mark.parametrize("transform", [{"scale": (3, 3)}, {"translate": (100, -50)}, {"rotate": 45}, ROTATED, AFFINE])
def test_mask_lands_where_the_click_was(bench: Any, transform: dict[str, Any]) -> None:
    user = bench(layer=transform)
    image = user.viewer.layers["cells"]
    user.viewer.reset_view()
    user.click(*image.data_to_world((20, 50)))
    user.press("K")
    rows, columns = np.nonzero(user.result())
    assert (rows.mean(), columns.mean()) == pytest.approx((20, 50), abs=1.5)
    for name in ("preview", "prompts", "regions", "cells objects"):
        layer = user.viewer.layers[name]
        np.testing.assert_allclose(layer.data_to_world((20, 50)), image.data_to_world((20, 50)), err_msg=name)
    image.translate = (1, 2)
    for name in ("preview", "prompts", "regions", "cells objects"):
        layer = user.viewer.layers[name]
        np.testing.assert_allclose(layer.data_to_world((20, 50)), image.data_to_world((20, 50)), err_msg=name)


def test_slider_and_scaled_stack(bench: Any) -> None:
    user = bench(np.zeros((4, *SHAPE)), {"scale": (3, 1, 1)})
    user.viewer.dims.set_point(0, 6)
    user.click(30, 40)
    assert user.log[-2] == ("image", SHAPE)
    user.viewer.dims.set_point(0, 0)
    assert user.dock.state.positives == 0
    user.viewer.dims.set_point(0, 6)
    user.wait(user.is_idle)
    user.press("K")
    result = user.result()
    assert result.shape == (4, *SHAPE)
    assert result[2].any()
    assert not result[[0, 1, 3]].any()
    user.viewer.dims.set_point(0, 0)
    user.press("U")
    assert user.viewer.dims.point[0] == 6
    assert not user.result().any()


def test_transposed_view(bench: Any) -> None:
    user = bench(layer={})
    user.viewer.dims.order = (1, 0)
    user.viewer.reset_view()
    user.click(50, 20)  # rows of the view run along the image's columns
    assert user.log[-2] == ("image", SHAPE)
    user.viewer.dims.order = (0, 1)
    assert user.dock.state.positives == 1, "it is the same plane"
    user.press("K")
    rows, columns = np.nonzero(user.result())
    assert (rows.mean(), columns.mean()) == pytest.approx((20, 50), abs=1)


def test_3d_view_is_refused_with_a_remedy(bench: Any) -> None:
    user = bench(np.zeros((4, *SHAPE)))
    user.viewer.dims.ndisplay = 3
    assert "2D" in user.dock.status.hint.text()
    user.viewer.layers["prompts"].add((0, 30, 40))
    for key in "GK":
        user.press(key)
    assert len(user.viewer.layers["prompts"].data) == 0
    assert not user.result().any()
    user.viewer.dims.ndisplay = 2
    user.click(30, 40)
    assert user.preview.any()


def test_rgb_multiscale_and_dask(bench: Any) -> None:
    import dask.array as da

    asked: list[Any] = []

    def chunk(block_info: Any = None) -> Any:
        asked.append(block_info[None]["chunk-location"][0])
        return np.zeros((1, *SHAPE))

    stack = da.map_blocks(chunk, chunks=((1,) * 5, *SHAPE), dtype=float, meta=np.zeros((0, 0, 0)))
    user = bench(layer={"rgb": True}, image=np.zeros((*SHAPE, 3), np.uint8))
    user.click(30, 40)
    assert user.log[-2] == ("image", (*SHAPE, 3))
    user.viewer.add_image([np.zeros((120, 160)), np.zeros((60, 80))], name="pyramid", multiscale=True)
    user.viewer.add_image(stack, name="lazy", contrast_limits=(0, 1))
    for name, shape in (("pyramid", (120, 160)), ("lazy", SHAPE)):
        asked.clear()
        user.choose(name)
        user.click(30, 40)
        assert user.log[-2] == ("image", shape)
        assert set(asked) == ({int(user.viewer.dims.point[0])} if name == "lazy" else set())
        assert user.viewer.layers["preview"].data.shape[-2:] == shape


def test_refining_with_micro_is_offered_for_other_models_and_changes_what_is_shown(bench: Any) -> None:
    models = (ModelChoice("plain", 1, True, borrows=True), ModelChoice("micro", 1, True))
    b = bench(np.zeros(SHAPE), models=models)
    box = b.dock.source._borrowing
    assert box.isVisible()
    assert not box.isChecked()
    b.click(30, 40)
    assert b.dock.state.score == pytest.approx(0.85)
    box.click()
    b.wait(b.is_idle)
    assert b.dock.state.score == pytest.approx(0.9)
    b.dock.controller.choose_model("micro")
    b.wait(b.is_idle)
    assert not box.isVisible()


def test_only_models_without_a_refiner_of_their_own_may_borrow() -> None:
    borrows = {model.name: model.borrows for model in list_models()}
    assert not borrows.pop("micro")
    assert all(borrows.values())


def test_micro_may_refine_the_masks_of_a_file_of_the_users_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = tmp_path / "tiny.pt"
    torch.save(build_base("sam2.1_hiera_tiny").state_dict(), own)
    state, jobs, errors = DockState(), list[Any](), list[str]()
    segmenter = Segmenter(load_model, make_session)
    loader = ModelLoader(
        state,
        segmenter,
        lambda job, done: jobs.append((job, done)),
        on_started=lambda: None,
        on_replaced=lambda: None,
        on_finished=errors.append,
        on_unloaded=errors.append,
    )
    for name, borrows in ((str(own), True), ("micro", False)):
        loader.choose_file(name)
        job, done = jobs.pop()
        done(perform(job))
        assert state.model == name
        assert state.can_borrow == borrows
        assert state.refines != borrows, "not before that is wanted"
    assert errors == ["", ""]


def test_error_becomes_a_notification_and_nothing_changes(bench: Any) -> None:
    user = bench(layer={"scale": (0.5, 0.5)})
    before = len(notification_manager.records)
    user.viewer.layers["prompts"].add((500, 500))
    user.wait(user.is_idle)
    (record,) = notification_manager.records[before:]
    assert "(500, 500) is outside the image" in record.message
    assert str(record.severity) == "error"
    assert user.dock.status.status.text() == record.message
    assert len(user.viewer.layers["prompts"].data) == 0


class Held:
    """Runs jobs when told."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, Callable[[Outcome], None]]] = []

    def __call__(self, job: Job, done: Callable[[Outcome], None]) -> None:
        if job.kind == "answer":
            self.jobs.append((job, done))
        else:
            done(perform(job))

    def run(self) -> None:
        for job, done in self.jobs:
            done(perform(job))
        self.jobs.clear()


def test_image_deleted_during_work(bench: Any) -> None:
    held = Held()
    user = bench(layer={}, submit=held)
    user.viewer.layers["prompts"].add((30, 40))
    user.viewer.layers.remove("cells")
    user.wait(lambda: user.dock.state.image is None)
    assert "stopped" in user.dock.status.status.text()
    assert list(user.viewer.layers) == []
    held.run()
    assert user.dock.state.candidates == 0


def test_all_layers_deleted_at_once(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.press("K")
    user.viewer.layers.select_all()
    user.viewer.layers.remove_selected()
    user.wait(lambda: user.dock.state.image is None)
    assert "Open" in user.dock.status.hint.text()
    user.viewer.add_image(np.zeros(SHAPE), name="next")
    user.wait(lambda: user.dock.state.image == "next")
    user.click(30, 40)
    assert user.preview.any()


def test_image_reshaped_and_renamed_during_work(bench: Any) -> None:
    held = Held()
    user = bench(layer={}, submit=held)
    user.viewer.layers["prompts"].add((30, 40))
    user.viewer.layers["cells"].name = "renamed"
    assert user.dock.state.image == "renamed"
    user.viewer.layers["renamed"].data = np.zeros((100, 90))
    held.run()
    assert "another shape" in user.dock.status.status.text()
    user.wait(lambda: "preview" in user.viewer.layers)
    assert user.viewer.layers["preview"].data.shape == (100, 90)
    assert not user.preview.any()


def test_deleted_prompts_and_result_come_back_with_undo(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.viewer.layers.remove("prompts")
    user.wait(lambda: user.dock.state.positives == 0)
    user.dock.controller.undo()
    assert len(user.viewer.layers["prompts"].data) == 1
    user.wait(user.is_idle)
    user.dock.controller.commit()
    labels = user.result().copy()
    user.viewer.layers.remove("cells objects")
    user.wait(lambda: user.dock.state.undo == "deleting the result")
    assert user.dock.state.objects == ()
    user.dock.controller.undo()
    np.testing.assert_array_equal(user.result(), labels)


def test_painted_strokes_stay_and_count_for_the_next_id(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.press("K")
    result = user.viewer.layers["cells objects"]
    result.selected_label = 7
    result.brush_size = 3
    result.paint((30, 40), 7)
    user.click(10, 10)
    assert user.dock.state.next_id == 8
    user.press("K")
    user.press("U")
    user.press("U")
    user.press("U")
    assert set(np.unique(user.result())) == {0, 7}


def test_two_images_keep_their_own_work(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.viewer.add_image(np.zeros((40, 40)), name="other")
    user.choose("other")
    assert user.dock.state.positives == 0
    user.wait(lambda: "preview" in user.viewer.layers)
    assert user.viewer.layers["preview"].data.shape == (40, 40)
    user.choose("cells")
    assert user.dock.state.positives == 1
    assert user.preview.any()


def test_renaming_an_image_leaves_it_chosen(bench: Any) -> None:
    user = bench(layer={})
    user.viewer.add_image(np.zeros((40, 40)), name="other")
    user.choose("other")
    user.viewer.layers["prompts"].add((20, 20))
    user.viewer.layers["other"].name = "renamed"
    user.wait(user.is_idle)
    assert user.dock.state.image == "renamed"
    assert user.dock.source.image.name == "renamed"
    assert user.dock.state.positives == 1


def test_without_an_image_it_says_what_to_do_and_takes_the_first_that_comes(bench: Any) -> None:
    user = bench()
    assert "Open" in user.dock.status.hint.text()
    assert not user.dock.prompts.keep.isEnabled()
    user.viewer.add_image(np.zeros(SHAPE), name="cells")
    user.wait(lambda: user.dock.state.image == "cells")
    user.click(30, 40)
    assert user.preview.any()


def test_keys_are_given_back(bench: Any) -> None:
    user = bench(layer={})
    bound = len(user.viewer.keymap)
    user.dock.shut_down()
    assert bound - len(user.viewer.keymap) == len(SEGMENT_KEYS)


def test_closing_the_dock_ends_everything(bench: Any) -> None:
    user = bench(layer={})
    user.click(30, 40)
    user.press("K")
    user.viewer.window.remove_dock_widget(user.dock)
    assert [layer.name for layer in user.viewer.layers] == ["cells", "cells objects"]
    user.close()
    again = Bench(user.viewer, user.qtbot)
    again.click(10, 10)
    assert again.dock.state.next_id == 2, "the result layer is taken up again"
    again.close()
    again.close()


class SlowSession(FakeSession):
    """Answers when it is let go."""

    started, release = threading.Event(), threading.Event()

    def predict(self, *arguments: Any, **options: Any) -> Any:
        self.started.set()
        assert self.release.wait(30)
        return super().predict(*arguments, **options)


@pytest.mark.parametrize("way", ["dock", "viewer"])
def test_closing_during_a_job_waits_for_nothing_and_ends_cleanly(bench: Any, way: str) -> None:
    SlowSession.started.clear()
    SlowSession.release.clear()
    user = bench(layer={}, session=lambda _: SlowSession())
    user.viewer.layers["prompts"].add((30, 40))
    assert SlowSession.started.wait(30)
    if way == "dock":
        user.viewer.window.remove_dock_widget(user.dock)
        assert [layer.name for layer in user.viewer.layers] == ["cells"]
    else:
        user.viewer.close()
    assert user.dock._worker._thread.is_alive(), "nobody has waited for it"
    SlowSession.release.set()
    user.dock._worker.join(30)
    QApplication.processEvents()


def test_two_viewers_have_nothing_to_do_with_each_other(bench: Any, make_napari_viewer_proxy: Any) -> None:
    # Not shown: of a window that was drawn on, napari leaves errors in OpenGL, for which vispy raises in the other one.
    hidden = make_napari_viewer_proxy(show=False)
    hidden.add_image(np.zeros(SHAPE), name="cells")
    one, other = bench(layer={}), bench(viewer=hidden)
    for user, place in ((one, (30, 40)), (other, (10, 10))):
        user.viewer.layers["prompts"].add(place)
        user.wait(user.is_idle)
    other.viewer.close()
    one.dock.controller.commit()
    assert one.result()[30, 40] == 1
    assert one.result()[10, 10] == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_narrow_in_both_themes(bench: Any, theme: str) -> None:
    user = bench(layer={})
    user.viewer.theme = theme
    assert user.dock.minimumSizeHint().width() <= 320
