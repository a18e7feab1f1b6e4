"""The controller on real layers in a viewer model, without a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fakes import FakeSession
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from napari.components import ViewerModel

from napari_sam2refiner.viewer.controller import Controller
from napari_sam2refiner.viewer.layers.image import ImageLayers
from napari_sam2refiner.viewer.segmenter import Job, Outcome, Segmenter, perform
from napari_sam2refiner.viewer.state import DockState, ModelChoice

STACK = (4, 30, 40)


class Table:
    """A viewer model with an image on the table of a controller; what is deferred runs when told."""

    def __init__(self, shape: tuple[int, ...] = STACK) -> None:
        self.log: list[Any] = []
        self.errors: list[str] = []
        self.deferred: list[Callable[[], None]] = []
        self.viewer = ViewerModel()
        self.image = self.viewer.add_image(np.zeros(shape, np.uint8), name="cells")
        self.viewer.dims.set_point(0, 0)
        self.state = DockState()
        segmenter = Segmenter(lambda name, _: name, lambda _: FakeSession(self.log))
        self.controller = Controller(self.state, segmenter, self.submit, self.make, self.errors.append)
        self.controller.set_models((ModelChoice("micro", 1, True),))
        self.controller.choose_model("micro")
        self.controller.choose_image(self.image)

    def submit(self, job: Job, done: Callable[[Outcome], None]) -> None:
        done(perform(job))

    def make(self, image: Any) -> ImageLayers:
        return ImageLayers(self.viewer, image, self.deferred.append)

    @property
    def canvas(self) -> Any:
        assert self.controller._work is not None
        return self.controller._work.canvas

    @property
    def points(self) -> Any:
        return self.viewer.layers["prompts"]

    @property
    def preview(self) -> Any:
        return self.viewer.layers["preview"].data > 0

    def click(self, *place: float) -> None:
        self.points.add(place)

    def delete(self, name: str) -> None:
        self.viewer.layers.remove(name)
        while self.deferred:
            self.deferred.pop(0)()

    @property
    def result(self) -> Any:
        return self.viewer.layers["cells objects"]

    def add(self, name: str, shape: tuple[int, ...] = STACK) -> Any:
        return self.viewer.add_image(np.zeros(shape, np.uint8), name=name)

    def drafts(self) -> dict[Any, Any]:
        assert self.controller._work is not None
        return {plane: draft.marks for plane, draft in self.controller._work.drafts.items() if draft.marks}


@pytest.fixture
def table() -> Table:
    return Table()


def test_prompts_deleted_on_all_planes_come_back_with_one_undo(table: Table) -> None:
    for plane in (0, 2):
        table.viewer.dims.set_point(0, plane)
        table.click(plane, 10, 10)
    before = table.drafts()
    table.delete("prompts")
    assert table.drafts() == {}
    assert not table.preview[2].any()
    assert "undo" in table.state.news
    table.controller.undo()
    assert table.drafts() == table.canvas.marks == before
    table.controller.redo()
    assert table.drafts() == table.canvas.marks == {}


def test_all_points_taken_away_elsewhere_are_one_act(table: Table) -> None:
    for plane in (0, 2):
        table.viewer.dims.set_point(0, plane)
        table.click(plane, 10, 10)
    table.points.selected_data = {0, 1}
    table.points.remove_selected()
    assert table.drafts() == {}
    assert table.state.undo == "deleting a point and more on 2 planes"
    table.controller.undo()
    assert len(table.drafts()) == 2


def test_points_that_came_without_a_word_are_taken_when_the_plane_changes(table: Table) -> None:
    table.canvas._is_quiet = True
    table.click(1, 10, 10)
    table.canvas._is_quiet = False
    table.viewer.dims.set_point(0, 1)
    assert table.state.positives == 1
    assert table.preview[1].any()


def test_a_deleted_prompts_layer_takes_its_preview_along_and_is_there_for_the_next_click(table: Table) -> None:
    table.click(0, 10, 10)
    table.delete("prompts")
    assert not table.preview.any()
    table.click(0, 20, 20)
    assert table.preview[0, 20, 20]
    assert not table.preview[0, 10, 10]


@pytest.mark.parametrize("name", ["preview", "prompts", "regions"])
def test_undo_is_promised_only_where_it_brings_something_back(table: Table, name: str) -> None:
    if name == "preview":
        table.click(0, 10, 10)
    table.delete(name)
    assert table.state.news == f"The {name} layer was deleted."
    assert table.state.undo == ("positive point" if name == "preview" else "")


def test_a_transposed_view_shows_the_same_object(table: Table) -> None:
    table.click(0, 10, 25)
    table.viewer.dims.order = (0, 2, 1)
    assert table.state.positives == 1
    table.click(0, 12, 25)
    table.controller.commit()
    assert table.drafts() == table.canvas.marks == {}
    table.viewer.dims.order = (0, 1, 2)
    assert table.state.positives == 0
    assert not table.preview.any()


def test_a_point_belongs_to_the_plane_it_was_clicked_on(table: Table) -> None:
    table.click(0, 10, 25)
    before = table.drafts()
    table.viewer.dims.order = (1, 0, 2)
    table.viewer.dims.set_point(1, 10)
    assert table.state.positives == 0
    table.click(2, 10, 25)
    assert table.state.positives == 1
    table.controller.undo()
    assert table.drafts() == table.canvas.marks == before


def test_a_click_beyond_the_image_is_taken_back_with_the_reason(table: Table) -> None:
    table.viewer.add_image(np.zeros((9, 30, 40)))
    table.viewer.dims.set_point(0, 8)
    table.click(8, 10, 10)
    (error,) = table.errors
    assert "slider" in error
    assert len(table.points.data) == 0
    table.viewer.dims.set_point(0, 0)
    table.click(8, 10, 10)
    assert "outside" in table.errors[1]
    assert len(table.points.data) == 0


def test_undo_goes_back_to_the_image(table: Table) -> None:
    table.viewer.add_image(np.zeros((9, 30, 40)))
    table.viewer.dims.set_point(0, 3)
    table.click(3, 10, 10)
    table.viewer.dims.set_point(0, 8)
    table.controller.undo()
    assert table.viewer.dims.point[0] == 3
    assert table.state.obstacle == ""


def test_an_image_that_was_moved_while_it_waited_has_its_layers_where_it_is(table: Table) -> None:
    table.click(0, 10, 10)
    table.controller.commit()
    table.controller.choose_image(table.add("other"))
    table.image.translate = (0, 5, 7)
    np.testing.assert_array_equal(table.result.translate, (0, 5, 7), err_msg="a result follows at once")
    table.controller.choose_image(table.image)
    for name in ("prompts", "regions", "preview"):
        np.testing.assert_array_equal(table.viewer.layers[name].translate, (0, 5, 7), err_msg=name)


def test_pixels_that_changed_while_the_image_waited_are_looked_at_again(table: Table) -> None:
    table.click(0, 10, 10)
    table.controller.choose_image(table.add("other"))
    table.image.data = np.ones(STACK, np.uint8)
    table.log.clear()
    table.controller.choose_image(table.image)
    assert [what for what, *_ in table.log] == ["image", "predict"]
    assert table.preview[0, 10, 10]


def test_an_image_of_another_shape_that_waited_begins_anew(table: Table) -> None:
    table.click(0, 10, 10)
    table.controller.choose_image(table.add("other"))
    table.image.data = np.zeros((2, 20, 20), np.uint8)
    table.controller.choose_image(table.image)
    assert table.drafts() == {}
    assert table.preview.shape == (2, 20, 20)


@pytest.mark.parametrize("shape", [(30, 40), (2, 3, 30, 40), (2, 30, 40)])
def test_an_image_of_other_dimensions_begins_anew(table: Table, shape: tuple[int, ...]) -> None:
    table.viewer.dims.set_point(0, 3)
    table.click(3, 10, 10)
    table.image.data = np.zeros(shape, np.uint8)
    assert table.errors == []
    assert "another shape" in table.state.news
    assert table.drafts() == {}
    table.click(*(0,) * (len(shape) - 2), 10, 10)
    table.viewer.dims.set_point(range(len(shape) - 2), (0,) * (len(shape) - 2))
    assert table.preview.any()
    assert table.preview.shape == shape


@pytest.mark.parametrize("first", ["list", "layers"])
def test_a_removed_image_is_named_also_where_another_takes_its_place(table: Table, first: str) -> None:
    other = table.add("other")
    table.click(0, 10, 10)
    table.viewer.layers.remove("cells")
    if first == "list":
        table.controller.choose_image(other)
    while table.deferred:
        table.deferred.pop(0)()
    table.controller.choose_image(other)
    assert table.state.image == "other"
    assert table.state.news == "cells was removed."


def test_an_image_removed_while_it_waits_is_forgotten(table: Table) -> None:
    table.click(0, 10, 10)
    table.controller.choose_image(table.add("other"))
    table.delete("cells")
    assert len(table.controller._works) == 1
    assert table.state.image == "other"


def test_a_result_is_known_by_its_image_whatever_their_names(table: Table) -> None:
    table.click(0, 10, 10)
    table.controller.commit()
    table.image.name = "renamed"
    table.controller.close()
    again = ImageLayers(table.viewer, table.image, table.deferred.append)
    again.attach()
    assert again.next_id() == 2
    again.close()
    namesake = ImageLayers(table.viewer, table.add("cells"), table.deferred.append)
    namesake.attach()
    assert namesake.next_id() == 1


def test_labels_that_came_without_a_word_stay(table: Table) -> None:
    table.result.data[2, 3:9, 3:9] = 5
    table.controller.close()
    assert (table.result.data[2, 3:9, 3:9] == 5).all()


def test_an_empty_result_goes_and_a_deleted_one_stays_away(table: Table) -> None:
    table.click(0, 10, 10)
    table.controller.commit()
    table.controller.choose_image(table.add("other"))
    table.delete("cells objects")
    table.controller.choose_image(table.image)
    assert not table.result.data.any()
    table.controller.close()
    assert [layer.name for layer in table.viewer.layers] == ["cells", "other"]


def test_a_preview_across_the_view_goes_with_its_prompts(table: Table) -> None:
    table.click(0, 5, 5)
    assert table.preview.any()
    table.viewer.dims.order = (1, 0, 2)
    table.delete("prompts")
    assert not table.preview.any()


class Anything(RuleBasedStateMachine):
    """Whatever is done in whatever order, the layers hold what the drafts say."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table((3, 12, 14))

    @rule(y=st.integers(0, 11), x=st.integers(0, 13), negative=st.booleans())
    def click(self, y: int, x: int, negative: bool) -> None:
        table, plane = self.table, self.table.canvas.plane
        rows, columns = plane.displayed
        place = np.array(plane.steps)
        place[rows], place[columns] = y % table.image.data.shape[rows], x % table.image.data.shape[columns]
        table.controller.set_negative(negative)
        table.click(*place)

    @rule(axis=st.integers(0, 2), step=st.integers(0, 13))
    def slide(self, axis: int, step: int) -> None:
        self.table.viewer.dims.set_point(axis, step % self.table.image.data.shape[axis])

    @rule(order=st.permutations(range(3)))
    def roll(self, order: list[int]) -> None:
        self.table.viewer.dims.order = tuple(order)

    @rule(name=st.sampled_from(["prompts", "regions", "preview", "cells objects"]))
    def delete(self, name: str) -> None:
        if name in self.table.viewer.layers:
            self.table.delete(name)

    @rule(chosen=st.sets(st.integers(0, 4)))
    def delete_points(self, chosen: set[int]) -> None:
        self.table.points.selected_data = {index for index in chosen if index < len(self.table.points.data)}
        self.table.points.remove_selected()

    @rule(what=st.sampled_from(["undo", "redo", "commit", "clear", "next_candidate", "start_boxing", "start_clicking"]))
    def act(self, what: str) -> None:
        getattr(self.table.controller, what)()

    @rule(count=st.integers(1, 6))
    def undo_and_redo(self, count: int) -> None:
        before = self.table.drafts()
        names = [self.table.state.undo]
        for _ in range(count):
            self.table.controller.undo()
            names.append(self.table.state.undo)
        for name in reversed(names[:-1]):
            if name:
                self.table.controller.redo()
        assert self.table.drafts() == before

    @invariant()
    def the_layers_hold_the_drafts(self) -> None:
        assert self.table.canvas.marks == self.table.drafts()

    @invariant()
    def without_prompts_there_is_no_preview(self) -> None:
        if not self.table.drafts() and "preview" in self.table.viewer.layers:
            assert not self.table.preview.any()
        assert self.table.errors == []


Anything.TestCase.settings = settings(
    deadline=None,
    max_examples=12,
    stateful_step_count=15,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
test_anything_in_any_order = Anything.TestCase
