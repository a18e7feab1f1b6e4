"""Layers of one image in a viewer model; no window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import disc
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam2refiner.labels.write import erase
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.viewer.layers.image import ImageLayers
from napari_sam2refiner.viewer.layers.preview import FILL, OUTLINE, paint
from napari_sam2refiner.viewer.marks import Marks, Region

SHAPE = (3, 4, 30, 40)
NUMBERS = st.floats(0, 25, width=32)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS, st.booleans()), max_size=4, unique_by=lambda point: point[:2])
KINDS = st.sampled_from(["rectangle", "ellipse", "polygon", "path"])
PLANES = st.sampled_from(
    [
        PlaneIndex((1, 2, 0, 0), (2, 3)),
        PlaneIndex((0, 0, 0, 0), (2, 3)),
        PlaneIndex((1, 0, 0, 2), (1, 2)),
        PlaneIndex((0, 0, 2, 0), (1, 3)),
    ]
)


@st.composite
def regions(draw: Any) -> Region:
    (y0, x0), (height, width) = draw(st.tuples(NUMBERS, NUMBERS)), draw(st.tuples(st.integers(2, 9), st.integers(2, 9)))
    corners = ((y0, x0), (y0, x0 + width), (y0 + height, x0 + width), (y0 + height, x0))
    kind, positive = draw(KINDS), draw(st.booleans())
    places = tuple((float(np.float32(y)), float(np.float32(x))) for y, x in corners)
    return Region(kind, places, positive or kind == "rectangle")


TRANSFORMED = {"scale": (2, 1, 0.5, 0.5), "translate": (0, 3, -2, 5), "rotate": 30}
OBJECTS = st.builds(Marks, POINTS.map(tuple), st.lists(regions(), max_size=2).map(tuple))
MARKS = st.lists(OBJECTS, max_size=3).map(Marks.of)


def make(shape: tuple[int, ...] = SHAPE, **layer: Any) -> tuple[ViewerModel, ImageLayers]:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(shape, np.uint8), name="cells", **layer)
    canvas = ImageLayers(viewer, image, lambda call: call())
    canvas.attach()
    return viewer, canvas


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(st.lists(st.tuples(PLANES, MARKS), min_size=1, max_size=4))
def test_marks_come_back_as_they_were_written_and_planes_leave_each_other_alone(
    writes: list[tuple[PlaneIndex, Marks]],
) -> None:
    _, canvas = make()
    canvas.set_next(positive=True, object_id=3, apart=False)
    held: dict[PlaneIndex, Marks] = {}
    for plane, marks in writes:
        canvas.write_marks(plane, marks)
        held[plane] = marks
    assert canvas.marks == {plane: marks for plane, marks in held.items() if marks}


def test_only_layers_whose_marks_are_others_are_written() -> None:
    viewer, canvas = make()
    point, box = (1.0, 2.0, True), Region("rectangle", ((3.0, 3.0), (3.0, 9.0), (9.0, 9.0), (9.0, 3.0)))
    canvas.write_marks(canvas.plane, Marks((point,)))
    written: list[str] = []
    for name in ("prompts", "regions"):
        viewer.layers[name].events.features.connect(lambda event, name=name: written.append(name))
    canvas.write_marks(canvas.plane, Marks((point,), (box,)))
    assert set(written) == {"regions"}
    written.clear()
    canvas.write_marks(canvas.plane, Marks((), (box,)))
    assert set(written) == {"prompts"}
    canvas.write_marks(canvas.plane, Marks((), (box,)), first_id=4)
    canvas.write_marks(canvas.plane, Marks())
    assert canvas.marks == {}
    canvas.write_marks(canvas.plane, Marks((point,), (box,)), first_id=4)
    assert [viewer.layers[name].features["object_id"].tolist() for name in ("prompts", "regions")] == [[4], [4]]


def test_colours_follow_the_polarity() -> None:
    viewer, canvas = make()
    canvas.write_marks(canvas.plane, Marks(((1.0, 1.0, True), (2.0, 2.0, False), (3.0, 3.0, True))))
    points = viewer.layers["prompts"]
    assert points.features["polarity"].tolist() == ["positive", "negative", "positive"]
    np.testing.assert_array_equal(points.face_color[0], points.face_color[2])
    assert (points.face_color[0] != points.face_color[1]).any()
    assert points.symbol[0] != points.symbol[1]


def test_own_writing_is_no_news_but_the_users_is() -> None:
    viewer, canvas = make()
    news: list[str] = []
    canvas.marks_changed.connect(lambda: news.append("marks"))
    canvas.write_marks(canvas.plane, Marks(((1.0, 1.0, True),)))
    assert news == []
    viewer.dims.set_point((0, 1), (2, 3))
    viewer.layers["prompts"].add((2, 3, 5, 5))
    viewer.layers["regions"].add([[2, 3, 1, 1], [2, 3, 1, 9], [2, 3, 9, 9]], shape_type="polygon")
    viewer.layers["regions"].add([[2, 3, 1, 1], [2, 3, 1, 9]], shape_type="line")
    assert len(news) == 3
    assert [region.kind for region in canvas.marks[canvas.plane].regions] == ["polygon", "path"]


def test_new_points_take_the_polarity_of_the_dock_whatever_is_selected() -> None:
    viewer, canvas = make()
    points = viewer.layers["prompts"]
    canvas.set_next(positive=False, object_id=1, apart=False)
    points.add((0, 0, 5, 5))
    canvas.set_next(positive=True, object_id=1, apart=False)
    points.selected_data = {0}
    points.add((0, 0, 9, 9))
    assert points.features["polarity"].tolist() == ["negative", "positive"]


def test_plane_follows_sliders_and_axis_order() -> None:
    viewer, canvas = make(scale=(2, 1, 1, 1))
    seen: list[PlaneIndex] = []
    canvas.plane_changed.connect(lambda: seen.append(canvas.plane))
    viewer.dims.set_point(0, 4)
    viewer.dims.set_point(1, 3)
    assert canvas.plane == PlaneIndex((2, 3, 0, 0), (2, 3))
    viewer.dims.order = (0, 2, 3, 1)
    assert canvas.plane.displayed == (1, 3)
    assert seen[-1] == canvas.plane
    seen.clear()
    other = PlaneIndex((1, 2, 0, 0), (2, 3))
    canvas.go_to(other)
    assert canvas.plane == other
    assert seen == [other], "planes on the way are not looked at"
    viewer.dims.order = (0, 1, 3, 2)
    assert canvas.plane == other, "a transposed view shows the same plane"


def test_obstacles_name_the_remedy() -> None:
    viewer, canvas = make(translate=(0, 0, 0, 0))
    assert canvas.obstacle == ""
    viewer.dims.ndisplay = 3
    assert "2D" in canvas.obstacle
    viewer.dims.ndisplay = 2
    viewer.add_image(np.zeros((9, 1, 30, 40)), name="longer")
    viewer.dims.set_point(0, 8)
    assert "slider" in canvas.obstacle
    viewer.dims.set_point(0, 0)
    viewer.add_image(np.zeros((2, 1, 1, 1, 5, 5)), name="more")
    viewer.dims.order = (2, 3, 4, 5, 0, 1)
    assert "axes" in canvas.obstacle


def test_smaller_images_in_a_larger_world() -> None:
    viewer, canvas = make((30, 40))
    viewer.add_image(np.zeros((5, 30, 40)))
    viewer.dims.set_point(0, 3)
    assert canvas.obstacle == ""
    assert canvas.plane == PlaneIndex((0, 0), (0, 1))


def test_result_is_written_on_its_plane_and_given_back() -> None:
    viewer, canvas = make()
    mask = disc((30, 40), 10, 12, 5)
    plane = PlaneIndex((2, 1, 0, 0), (2, 3))
    written = canvas.write_mask(plane, mask, canvas.next_id(), "keep")
    result = viewer.layers["cells objects"]
    np.testing.assert_array_equal(result.data[2, 1], mask)
    assert result.data.sum() == mask.sum() == written.pixels
    assert [layer.name for layer in viewer.layers] == ["cells", "cells objects", "preview", "regions", "prompts"]
    assert canvas.next_id() == 2
    result.data_setitem(tuple(np.array([step]) for step in (2, 1, 10, 12)), 77)
    assert canvas.next_id() == 78
    written.undo()
    assert result.data.sum() == 77
    written.redo()
    assert result.data[2, 1, 10, 13] == 1
    assert result.data[2, 1, 10, 12] == 77


def test_a_result_that_no_longer_fits_is_left_alone() -> None:
    viewer, canvas = make((30, 40))
    mask = disc((30, 40), 10, 12, 5)
    written = canvas.write_mask(canvas.plane, mask, 1, "keep")
    result = viewer.layers["cells objects"]
    result.data = np.full((20, 20), 5, np.uint32)
    written.undo()
    assert (result.data == 5).all()
    canvas.write_mask(canvas.plane, mask, 1, "keep")
    assert viewer.layers["cells objects [1]"].data.shape == (30, 40)
    assert (result.data == 5).all()


@pytest.mark.parametrize("other", [np.ones((30, 40)), np.ones((1, 4, 30, 40)), np.ones(SHAPE)])
def test_undo_leaves_labels_of_other_dimensions_alone(other: Any) -> None:
    viewer, canvas = make()
    written = canvas.write_mask(PlaneIndex((2, 1, 0, 0), (2, 3)), disc((30, 40), 10, 12, 5), 1, "keep")
    labels = other.astype(np.uint32)
    labels.flags.writeable = False
    viewer.layers["cells objects"].data = labels
    written.undo()
    written.redo()
    assert (viewer.layers["cells objects"].data == 1).all()


@pytest.mark.parametrize("width", [1, 2])
def test_preview_has_a_rim_and_a_filling(width: int) -> None:
    mask = np.zeros((12, 12), bool)
    mask[:8, 3:11] = True
    picture = paint(mask, width)
    np.testing.assert_array_equal(picture > 0, mask)
    assert (picture[width : 8 - width, 3 + width : 11 - width] == FILL).all()
    assert (picture[:8, 3] == OUTLINE).all()
    assert (picture[0, 3:11] == OUTLINE).all(), "the image's border is a rim too"


def test_preview_of_one_plane_leaves_the_others() -> None:
    viewer, canvas = make()
    first, second = PlaneIndex((0, 0, 0, 0), (2, 3)), PlaneIndex((2, 3, 0, 0), (2, 3))
    mask = disc((30, 40), 10, 12, 5)
    for plane in (first, second):
        canvas.show_preview(plane, Part.of(mask))
    canvas.show_preview(first, None)
    data = viewer.layers["preview"].data
    assert not data[0, 0].any()
    np.testing.assert_array_equal(data[2, 3] > 0, mask)


def test_detach_takes_the_tools_and_attach_brings_them_back() -> None:
    viewer, canvas = make()
    canvas.write_marks(canvas.plane, Marks(((1.0, 1.0, True),)))
    canvas.write_mask(canvas.plane, disc((30, 40), 9, 9, 3), 1, "keep")
    canvas.detach()
    canvas.detach()
    assert [layer.name for layer in viewer.layers] == ["cells", "cells objects"]
    canvas.attach()
    assert len(viewer.layers["prompts"].data) == 1


def paint_id(result: Any, *place: int) -> None:
    """Paint one pixel; the last number is the id."""
    result.paint(np.array(place[:-1]), place[-1])


def test_ids_of_other_planes_are_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_sam2refiner.viewer.layers.result.LARGEST_SCAN", 10)
    viewer, canvas = make((4, 30, 40))
    viewer.dims.set_point(0, 0)
    canvas.write_mask(canvas.plane, disc((30, 40), 10, 12, 5), 6, "keep")
    viewer.dims.set_point(0, 2)
    assert canvas.next_id() == 7
    canvas.close()
    again = ImageLayers(viewer, viewer.layers["cells"], lambda call: call())
    again.attach()
    assert again.next_id() == 7, "another dock looks at all planes"
    result = viewer.layers["cells objects"]
    paint_id(result, 2, 5, 5, 50)
    viewer.dims.set_point(0, 3)
    assert again.next_id() == 51, "what was painted on the plane before"
    result.n_edit_dimensions = 3
    paint_id(result, 3, 20, 20, 60)
    viewer.dims.set_point(0, 0)
    assert again.next_id() == 61
    result.data = np.full((4, 30, 40), 70, np.uint32)
    assert again.next_id() == 71
    result.data = np.full((4, 9, 9), 80, np.uint32)
    paint_id(result, 3, 2, 2, 90)
    assert again.next_id() == 91, "also where it no longer fits the image"


def test_a_preview_is_drawn_once_and_only_where_it_is() -> None:
    viewer, canvas = make((900, 40))
    drawn: list[None] = []
    viewer.layers["preview"].events.set_data.connect(lambda: drawn.append(None))
    first, second = (Part.of(disc((900, 40), *place)) for place in ((10, 12, 5), (700, 20, 9)))
    for mask in (first, first, second, second):
        canvas.show_preview(canvas.plane, mask)
    assert len(drawn) == 2
    np.testing.assert_array_equal(viewer.layers["preview"].data, paint(second.whole(), 2))
    canvas.show_preview(canvas.plane, Part.nothing((900, 40)))
    assert not viewer.layers["preview"].data.any()


@pytest.mark.parametrize("layer", [{}, TRANSFORMED])
def test_the_object_under_the_mouse_and_in_the_middle(layer: dict[str, Any]) -> None:
    viewer, canvas = make(**layer)
    plane, mask = canvas.plane, np.zeros(SHAPE[-2:], bool)
    mask[20:23, 30:35] = True
    assert canvas.object_under_mouse == 0
    canvas.write_mask(plane, mask, 5, "keep")
    image = viewer.layers["cells"]
    viewer.cursor.position = image.data_to_world((*plane.steps[:2], 21, 32))
    assert canvas.object_under_mouse == 5
    for outside in ((-3, 32), (21, 38)):
        viewer.cursor.position = image.data_to_world((*plane.steps[:2], *outside))
        assert canvas.object_under_mouse == 0
    canvas.center_on(plane, 5)
    center = getattr(viewer, "scene", viewer).camera.center
    assert center[-2:] == pytest.approx(image.data_to_world((*plane.steps[:2], 21, 32))[-2:])


def test_an_object_is_erased_on_one_plane_and_comes_back() -> None:
    _, canvas = make()
    changes: list[tuple[slice, ...]] = []
    canvas.labels_changed.connect(changes.append)
    first, second = PlaneIndex((0, 0, 0, 0), (2, 3)), PlaneIndex((1, 0, 0, 0), (2, 3))
    assert canvas.labels_on(first) is not None
    for plane in (first, second):
        canvas.write_mask(plane, disc(SHAPE[-2:], 10, 10, 4), 2, "keep")
    erased = canvas.write_labels(first, lambda labels: erase(labels, [2]))
    assert not canvas.labels_on(first).any()
    assert canvas.labels_on(second).any()
    erased.undo()
    np.testing.assert_array_equal(canvas.labels_on(first), canvas.labels_on(second))
    ours = [block for block in changes if block[2:] == (slice(6, 15), slice(6, 15))]
    assert ours == [(slice(z, z + 1), slice(0, 1), slice(6, 15), slice(6, 15)) for z in (0, 1, 0, 0)]


def test_strokes_and_naparis_own_undo_of_them_are_told() -> None:
    viewer, canvas = make()
    canvas.write_mask(canvas.plane, disc(SHAPE[-2:], 10, 10, 4), 2, "keep")
    changes: list[tuple[slice, ...]] = []
    canvas.labels_changed.connect(changes.append)
    shown = (*(slice(step, step + 1) for step in canvas.plane.steps[:2]), slice(0, SHAPE[2]), slice(0, SHAPE[3]))
    result = viewer.layers["cells objects"]
    result.paint((*canvas.plane.steps[:2], 20, 20), 7)
    assert set(map(str, changes)) == {str(shown)}
    changes.clear()
    result.undo()
    assert set(map(str, changes)) == {str(shown)}
    changes.clear()
    viewer.dims.set_point(0, 2)
    assert changes == [], "a slider changes nothing"


def test_colors_are_those_of_the_result() -> None:
    viewer, canvas = make()
    assert canvas.colors_of([]) == []
    ours, theirs = canvas.colors_of([1, 300]), viewer.layers["cells objects"]
    assert ours == [pytest.approx(tuple(theirs.get_color(label))) for label in (1, 300)]


def test_more_axes_than_can_be_clicked_are_named() -> None:
    _, canvas = make((1, 1, 1, 1, 30, 40))
    assert "split it" in canvas.obstacle
    assert canvas.labels_on(canvas.plane) is None
    assert canvas.object_under_mouse == 0
