"""Boxes apart, scribbles, lassos, labels and saved prompts in a real viewer, by mouse and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench
from fakes import disc
from napari.layers import Points, Shapes
from npe2 import PluginManager
from qtpy.QtCore import Qt

SHAPE = (60, 80)
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(image: Any = None, **layer: Any) -> Bench:
        viewer = make_napari_viewer_proxy(show=True)
        viewer.add_image(np.zeros(SHAPE) if image is None else image, name="cells", **layer)
        made.append(Bench(viewer, qtbot))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None


def choose_apart(user: Bench) -> None:
    chooser = user.dock.prompting.boxes
    chooser.setCurrentIndex(1)
    chooser.activated.emit(1)


def features(user: Bench, layer: str = "regions") -> dict[str, Any]:
    return {name: column.tolist() for name, column in user.viewer.layers[layer].features.items()}


def colour(layer: Any, index: int) -> Any:
    return np.asarray(layer.edge_color)[index]


def test_boxes_apart_are_previewed_together_and_kept_in_one_act(bench: Any) -> None:
    user = bench()
    choose_apart(user)
    user.press("Q")
    user.drag((5, 5), (20, 25))
    user.drag((30, 40), (50, 70))
    assert features(user)["object_id"] == [1, 2]
    picture = user.viewer.layers["preview"].data
    assert picture[12, 15] != picture[40, 55]
    assert min(picture[12, 15], picture[40, 55]) > 0
    assert "Keep 2" in user.dock.prompts.keep.text()
    user.press("K")
    first, second = user.result()[12, 15], user.result()[40, 55]
    assert (first, second) == (1, 2)
    assert user.viewer.layers["regions"].mode == "add_rectangle", "the next boxes can be drawn"
    assert len(user.viewer.layers["regions"].data) == 0
    user.press("U")
    assert not user.result().any()
    assert features(user)["object_id"] == [1, 2]
    user.press("U", SHIFT)
    assert sorted(np.unique(user.result())) == [0, 1, 2]
    user.hover(40, 55)
    user.press("K", SHIFT)
    assert user.dock.state.reopened == 2
    (box,) = user.viewer.layers["regions"].data
    assert np.asarray(box).min(0) == pytest.approx((30, 40), abs=1)


def test_a_moved_and_a_deleted_box_change_their_object_alone(bench: Any) -> None:
    user = bench()
    choose_apart(user)
    user.press("Q")
    user.drag((5, 5), (20, 25))
    user.drag((30, 40), (50, 70))
    regions = user.viewer.layers["regions"]
    asked = len([entry for entry in user.log if entry[0] == "predict"])
    regions.mode = "select"
    regions.selected_data = {0}
    user.drag((12, 15), (40, 15))
    assert user.preview[40, 15]
    assert not user.preview[12, 15]
    assert user.preview[40, 55]
    assert len([entry for entry in user.log if entry[0] == "predict"]) == asked + 1
    regions.selected_data = {1}
    regions.remove_selected()
    user.wait(user.is_idle)
    assert not user.preview[40, 55]
    assert user.preview[40, 15]
    user.press("U")
    assert user.preview[40, 55]


def test_a_click_corrects_the_object_whose_box_it_is_in(bench: Any) -> None:
    user = bench()
    choose_apart(user)
    user.press("Q")
    user.drag((5, 5), (20, 25))
    user.drag((30, 40), (50, 70))
    user.press("N")
    assert user.viewer.layers.selection.active.name == "prompts", "back to clicks"
    user.press("N")
    user.click(40, 55)
    assert features(user, "prompts")["object_id"] == [2]
    assert not user.preview[40, 55]
    assert user.preview[12, 15]


def test_a_scribble_is_points_along_it_in_its_colour(bench: Any) -> None:
    user = bench()
    user.press("H")
    user.drag((10, 10), (10, 60))
    assert user.viewer.layers["regions"].shape_type == ["path"]
    (_, prompts, _) = user.log[-1]
    assert 3 <= len(prompts.points) <= 10
    assert prompts.labels.all()
    assert prompts.points[:, 0] == pytest.approx(10, abs=1)
    assert prompts.points[[0, -1], 1] == pytest.approx([10, 60], abs=2)
    assert user.preview[10, 35]
    user.press("N")
    user.drag((10, 30), (10, 40))
    assert features(user)["polarity"] == ["positive", "negative"]
    regions = user.viewer.layers["regions"]
    assert not np.allclose(colour(regions, 0), colour(regions, 1))
    assert not user.preview[10, 35]
    assert user.dock.state.undo == "scribble"
    user.press("U")
    assert user.preview[10, 35]
    user.press("U", SHIFT)
    assert not user.preview[10, 35]
    assert features(user)["polarity"] == ["positive", "negative"]
    user.press("H")
    assert user.viewer.layers.selection.active.name == "prompts", "back to clicks"


def test_a_moved_scribble_changes_the_mask(bench: Any) -> None:
    user = bench()
    user.press("H")
    user.drag((10, 10), (10, 60))
    regions = user.viewer.layers["regions"]
    regions.mode = "select"
    regions.selected_data = {0}
    user.drag((10, 20), (40, 20))  # not in the middle, where napari has a handle
    assert user.preview[40, 35]
    assert not user.preview[10, 35]
    assert user.dock.state.undo == "moving a shape"


def lasso(user: Bench, places: Any) -> None:
    """Draw with the mouse button held."""
    button = Qt.MouseButton.LeftButton
    user.hover(*places[0])
    user.qtbot.mousePress(user.canvas, button, pos=user.place(*places[0]))
    for place in places[1:]:
        user.hover(*place)
    user.qtbot.mouseRelease(user.canvas, button, pos=user.place(*places[-1]))
    user.wait(user.is_idle)


def test_a_lasso_is_a_rough_mask_and_a_negative_one_cuts_it(bench: Any) -> None:
    user = bench()
    regions = user.viewer.layers["regions"]
    user.viewer.layers.selection.active = regions
    regions.mode = "add_polygon_lasso"
    angles = np.linspace(0, 2 * np.pi, 40)
    lasso(user, [(30 + 20 * np.sin(a), 40 + 20 * np.cos(a)) for a in angles])
    (_, prompts, _) = user.log[-1]
    wanted = disc(SHAPE, 30, 40, 20)
    assert (prompts.mask & wanted).sum() / (prompts.mask | wanted).sum() > 0.85
    assert user.dock.state.areas == 1
    user.dock.controller.set_negative(True)
    lasso(user, [(30 + 8 * np.sin(a), 40 + 8 * np.cos(a)) for a in angles])
    (_, prompts, _) = user.log[-1]
    assert not prompts.mask[30, 40]
    assert prompts.mask[30, 25]
    regions.selected_data = {0, 1}
    regions.remove_selected()
    assert not user.preview.any()


def test_a_label_under_the_mouse_becomes_a_prompt_and_is_kept_as_a_new_object(bench: Any) -> None:
    user = bench()
    labels = np.zeros(SHAPE, int)
    labels[disc(SHAPE, 20, 20, 9)] = 7
    labels[40:50, 50:70] = 3
    user.viewer.add_labels(labels, name="theirs")
    user.hover(20, 20)
    user.press("H", SHIFT)
    (_, prompts, _) = user.log[-1]
    np.testing.assert_array_equal(prompts.mask, labels == 7)
    assert user.dock.state.undo == "label 7 of theirs"
    user.press("K")
    np.testing.assert_array_equal(user.result() == 1, labels == 7)
    np.testing.assert_array_equal(user.viewer.layers["theirs"].data, labels)
    user.press("U")
    user.press("U")
    assert len(user.viewer.layers["regions"].data) == 0
    user.viewer.layers["theirs"].selected_label = 3
    user.dock.prompting.use_label.click()
    user.wait(user.is_idle)
    np.testing.assert_array_equal(user.log[-1][1].mask, labels == 3)


def test_labels_that_do_not_fit_are_refused_in_one_sentence(bench: Any) -> None:
    from napari.utils.notifications import notification_manager

    user = bench()
    user.viewer.add_labels(np.ones(SHAPE, int), name="moved", translate=(9, 9))
    notification_manager.records.clear()
    user.dock.prompting.use_label.click()
    assert "moved does not lie on cells" in notification_manager.records[-1].message
    user.viewer.add_labels(np.ones((9, 9), int), name="small")
    user.dock.prompting.labels.setCurrentText("small")
    user.dock.prompting.use_label.click()
    assert "(9, 9)" in notification_manager.records[-1].message
    assert not user.preview.any()
    assert user.dock.state.undo == ""


def saved_prompts(user: Bench, folder: Path) -> tuple[Path, Path]:
    files = folder / "points.csv", folder / "shapes.csv"
    for name, file in zip(("prompts", "regions"), files, strict=True):
        assert user.viewer.layers[name].save(str(file))
    return files


@pytest.mark.parametrize("layer", [{}, {"scale": (0.5, 0.5), "translate": (3, 4)}])
def test_prompts_that_were_saved_and_opened_work_again(bench: Any, tmp_path: Path, layer: dict[str, Any]) -> None:
    user = bench(**layer)
    image = user.viewer.layers["cells"]
    user.viewer.reset_view()
    choose_apart(user)
    for name, places in (("regions", ((5, 5), (20, 25))), ("regions", ((30, 40), (50, 70)))):
        (y0, x0), (y1, x1) = places
        user.viewer.layers[name].add([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], shape_type="rectangle")
        user.wait(user.is_idle)
    user.dock.controller.set_negative(True)
    user.click(*image.data_to_world((40, 55)))
    before, marked = user.viewer.layers["preview"].data.copy(), features(user, "prompts")
    points, _ = saved_prompts(user, tmp_path)
    copied = Shapes(
        user.viewer.layers["regions"].data, shape_type="rectangle", features=user.viewer.layers["regions"].features
    )
    user.press("W")
    user.viewer.open(str(points), plugin="napari")
    user.viewer.add_layer(copied)
    user.viewer.layers.selection = {user.viewer.layers["points"], copied}
    user.dock.prompting.take_prompts.click()
    user.wait(user.is_idle)
    np.testing.assert_array_equal(user.viewer.layers["preview"].data, before)
    assert features(user, "prompts") == marked
    assert user.dock.state.at_hand == 2
    user.press("U")
    assert not user.preview.any()
    user.press("U", SHIFT)
    np.testing.assert_array_equal(user.viewer.layers["preview"].data, before)


def test_prompts_of_all_kinds_are_saved_by_napari_and_opened_again(bench: Any, tmp_path: Path) -> None:
    user = bench()
    choose_apart(user)
    user.press("Q")
    user.drag((5, 5), (20, 25))
    user.drag((30, 40), (50, 70))
    user.press("N")
    user.dock.controller.set_negative(True)
    user.click(40, 55)
    user.press("H")
    user.drag((8, 8), (8, 15))
    layers = user.viewer.layers
    before, marked = layers["preview"].data.copy(), features(user, "prompts")
    layers.selection = {layers["prompts"], layers["regions"]}
    offered = list(PluginManager.instance().iter_compatible_writers(["points", "shapes"]))
    assert ["prompts", [".json"]] in [[one.display_name, one.filename_extensions] for one in offered]
    assert layers.save(str(tmp_path / "mine.json"), selected=True) == [str(tmp_path / "mine.json")]
    user.press("W")
    assert not user.preview.any()
    opened = user.viewer.open(str(tmp_path / "mine.json"), plugin=None)
    assert [layer.name for layer in opened] == ["prompts (mine)", "regions (mine)"]
    layers.selection = set(opened)
    user.dock.prompting.take_prompts.click()
    user.wait(user.is_idle)
    np.testing.assert_array_equal(layers["preview"].data, before)
    now = features(user, "prompts")
    assert now["object_id"].count(2) == marked["object_id"].count(2) == 1
    assert now["object_id"].count(1) > 1, "the scribble is points now"
    assert set(now["polarity"]) == {"negative"}
    assert features(user)["object_id"] == [1, 2]
    user.press("K")
    assert sorted(np.unique(user.result())) == [0, 1, 2]


def test_shapes_saved_as_csv_come_back_without_what_napari_leaves_out(bench: Any, tmp_path: Path) -> None:
    user = bench()
    user.press("Q")
    user.drag((5, 5), (20, 25))
    user.press("H")
    user.drag((10, 40), (10, 60))
    before = user.preview
    file = tmp_path / "shapes.csv"
    assert user.viewer.layers["regions"].save(str(file))
    user.press("W")
    user.viewer.open(str(file), plugin="napari")
    user.viewer.layers.selection = {user.viewer.layers["shapes"]}
    user.dock.prompting.take_prompts.click()
    user.wait(user.is_idle)
    np.testing.assert_array_equal(user.preview, before)
    assert user.viewer.layers["regions"].shape_type == ["rectangle", "path"]


def test_points_of_the_users_own_mean_the_places_where_they_are_seen(bench: Any) -> None:
    user = bench(scale=(0.5, 0.5))
    own = Points([(10, 20)], name="own")
    user.viewer.add_layer(own)
    user.viewer.layers.selection = {own}
    user.dock.prompting.take_prompts.click()
    user.wait(user.is_idle)
    assert user.log[-1][1].points.tolist() == [[20, 40]]
    user.viewer.layers.selection = {user.viewer.layers["cells"]}
    user.dock.prompting.take_prompts.click()
    assert "no prompts" in user.dock.state.news
