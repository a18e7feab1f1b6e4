"""Prompt layers are saved and opened by napari's own ways, and mean the same to the command line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points, Shapes
from npe2 import PluginManager

from napari_sam2refiner.errors import InvalidPromptError, ReadError, SaveError
from napari_sam2refiner.sessions.prompts_file import read_prompts_file
from napari_sam2refiner.viewer.layers.image import ImageLayers
from napari_sam2refiner.viewer.layers.saved_prompts import get_reader, read_prompts, write_prompts
from napari_sam2refiner.viewer.marks import Marks, Region

BOX = Region("rectangle", ((2.0, 3.0), (2.0, 12.5), (9.0, 12.5), (9.0, 3.0)))
HALF = Region("polygon", ((20.0, 20.0), (20.0, 40.0), (30.0, 40.0), (30.0, 20.0)))
HOLE = Region("polygon", ((23.0, 25.0), (23.0, 30.0), (26.0, 30.0), (26.0, 25.0)), positive=False)
LINE = Region("path", ((45.0, 5.0), (45.0, 60.0)))
SEVERAL = Marks(
    ((5.0, 6.0, True), (8.25, 3.0, False)), (BOX,), (Marks(regions=(HALF, HOLE)), Marks(((50.0, 5.0, False),), (LINE,)))
)


@pytest.fixture
def open_image() -> Callable[..., tuple[ViewerModel, ImageLayers]]:
    PluginManager.instance().discover()  # as a window does

    def make(*shape: int, **layer: Any) -> tuple[ViewerModel, ImageLayers]:
        viewer = ViewerModel()
        image = viewer.add_image(np.zeros(shape), name="cells", **layer)
        canvas = ImageLayers(viewer, image, lambda call: call())
        canvas.attach()
        return viewer, canvas

    return make


def save(viewer: ViewerModel, path: Path) -> list[str]:
    viewer.layers.selection = {viewer.layers["prompts"], viewer.layers["regions"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # how napari says that there is no writer
        return viewer.layers.save(str(path), selected=True)


@pytest.mark.parametrize("layer", [{}, {"scale": (0.5, 0.25), "rotate": 30, "translate": (7, -3)}])
def test_what_comes_back_means_the_same(open_image: Any, tmp_path: Path, layer: dict[str, Any]) -> None:
    viewer, canvas = open_image(60, 80, **layer)
    canvas.write_marks(canvas.plane, SEVERAL, 4)
    wanted = [one.prompts((60, 80)) for one in SEVERAL.objects]
    written = save(viewer, tmp_path / "mine.json")
    assert [Path(path).name for path in written] == ["mine.json", "mine-outline-1.tif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(Path(path).name for path in written)
    for found, one in zip(read_prompts_file(tmp_path / "mine.json"), wanted, strict=True):
        np.testing.assert_array_equal(found.prompts.points, one.points)
        np.testing.assert_array_equal(found.prompts.labels, one.labels)
        np.testing.assert_array_equal(found.prompts.boxes, one.boxes)
        assert (found.prompts.mask is None) == (one.mask is None)
        if one.mask is not None:
            np.testing.assert_array_equal(found.prompts.mask, one.mask)
    opened = viewer.open(str(tmp_path / "mine.json"), plugin=None)
    assert [(type(one).__name__, one.name) for one in opened] == [
        ("Points", "prompts (mine)"),
        ("Shapes", "regions (mine)"),
    ]
    assert set(opened[0].features["object_id"]) == {4, 6}
    (marks,) = canvas.read_prompts(opened).values()
    for one, again in zip(wanted, marks.objects, strict=True):
        back = again.prompts((60, 80))
        np.testing.assert_array_equal(back.points, one.points)
        np.testing.assert_array_equal(back.labels, one.labels)
        np.testing.assert_array_equal(back.boxes, one.boxes)
        assert (back.mask is None) == (one.mask is None)
        if one.mask is not None:
            np.testing.assert_array_equal(back.mask, one.mask)
    again = write_prompts(str(tmp_path / "again"), [one.as_layer_data_tuple() for one in opened])
    assert Path(again[0]).read_text() == (tmp_path / "mine.json").read_text().replace("mine-", "again-")


def test_prompts_of_a_stack_come_back_on_their_frames(open_image: Any, tmp_path: Path) -> None:
    viewer, canvas = open_image(3, 60, 80)
    wanted = {}
    for step, marks in ((0, Marks(((5.0, 6.0, True),))), (2, Marks(regions=(BOX, HALF)))):
        viewer.dims.set_current_step(0, step)
        wanted[canvas.plane] = marks
        canvas.write_marks(canvas.plane, marks, 7)
    save(viewer, tmp_path / "a.json")
    assert [(one.object_id, one.frame) for one in read_prompts_file(tmp_path / "a.json")] == [(7, 0), (7, 2)]
    found = canvas.read_prompts(viewer.open(str(tmp_path / "a.json"), plugin=None))
    assert set(found) == set(wanted)
    for plane, marks in wanted.items():
        assert found[plane].points == marks.points
        assert [one.box for one in found[plane].boxes] == [one.box for one in marks.boxes]


def test_those_of_the_first_frame_alone_are_of_a_stack_too(open_image: Any, tmp_path: Path) -> None:
    viewer, canvas = open_image(3, 60, 80)
    canvas.write_marks(canvas.plane, Marks(((5.0, 6.0, True),)), 1)
    save(viewer, tmp_path / "a.json")
    (points,) = viewer.open(str(tmp_path / "a.json"), plugin=None)
    assert points.ndim == 3
    assert list(canvas.read_prompts([points])) == [canvas.plane]


def test_another_shape_of_the_image_is_that_of_later_outlines(open_image: Any, tmp_path: Path) -> None:
    viewer, canvas = open_image(60, 80)
    viewer.layers["cells"].data = np.zeros((70, 90))
    canvas.write_marks(canvas.plane, Marks(regions=(HALF,)), 1)
    save(viewer, tmp_path / "a.json")
    (one,) = read_prompts_file(tmp_path / "a.json")
    assert one.prompts.mask is not None
    assert one.prompts.mask.shape == (70, 90)


def test_layers_of_the_users_own_are_written_too(tmp_path: Path) -> None:
    own = Points([(10, 20), (12, 21)]).as_layer_data_tuple()
    write_prompts(str(tmp_path / "a.json"), [own])
    (one,) = json.loads((tmp_path / "a.json").read_text())["objects"]
    assert one == {"points": [[10, 20], [12, 21]], "labels": [1, 1]}


def test_files_of_others_are_left_to_others(tmp_path: Path) -> None:
    for name, text in (("coco", '{"images": [], "annotations": []}'), ("broken", "{"), ("list", "[1, 2]")):
        (tmp_path / f"{name}.json").write_text(text)
        assert get_reader(str(tmp_path / f"{name}.json")) is None
    assert get_reader(str(tmp_path / "none.json")) is None
    (tmp_path / "hand.json").write_text('{"version": 1, "objects": [{"points": [[1, 2]]}, {"boxes": [[1, 1, 9, 9]]}]}')
    reader = get_reader([str(tmp_path / "hand.json")])
    assert reader is not None
    points, shapes = reader([str(tmp_path / "hand.json")])
    assert points[0].tolist() == [[1, 2]]
    assert shapes[1]["features"]["object_id"].tolist() == [2]
    assert get_reader([str(tmp_path / "hand.json")] * 2) is None


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"version": 1, "objects": [{"points": [[1]]}]}')
    with pytest.raises(InvalidPromptError, match=r"a\.json at objects\[0\]\.points"):
        read_prompts(str(tmp_path / "a.json"))
    (tmp_path / "b.json").write_text('{"version": 1, "objects": [{"mask": "gone.tif"}]}')
    with pytest.raises(ReadError, match=r"gone\.tif"):
        read_prompts(str(tmp_path / "b.json"))


SHAPED = {"napari_sam2refiner": {"shape": (60, 80)}}
PATH = Shapes([[(1, 1), (9, 9)]], shape_type="path", metadata=SHAPED)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Points(ndim=2)], "There are no prompts to save; select the layers prompts and regions"),
        ([Points([(0, 1, 2, 3)], name="mine")], "mine has 4 dimensions; prompts of planes and of stacks"),
        ([Points([(1, 2)], features={"polarity": ["negative"]})], "object 0: there is no positive prompt; add"),
        ([Points([(61, 2)], metadata=SHAPED)], r"object 0: point 0 at .* lies outside the plane of shape \(60, 80\)"),
        ([Points([(-1, 1, 2)])], "lie on frame -1; move them to one that is there"),
        ([Points([(3, 1, 2)], features={"axes": ["0, 1"]})], r"lie on axes \(0, 1\); those on the last two axes"),
        ([Shapes([[(1, 1), (9, 9)]], shape_type="path")], "scribbles cannot be saved, nothing says of which image"),
        (
            [PATH, Points([(1, 2)], metadata={"napari_sam2refiner": {"shape": (9, 9)}})],
            r"of images of shapes \[\(9, 9\), \(60, 80\)\]",
        ),
    ],
)
def test_what_cannot_be_saved_is_said_and_nothing_is_left(layers: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=message):
        write_prompts(str(tmp_path / "a.json"), [layer.as_layer_data_tuple() for layer in layers])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_keeps_no_outlines(tmp_path: Path) -> None:
    square = Shapes([[(1, 1), (1, 9), (9, 9)]], shape_type="polygon", metadata=SHAPED).as_layer_data_tuple()
    (tmp_path / "a.json").mkdir()
    with pytest.raises(SaveError, match=r"a\.json cannot be written"):
        write_prompts(str(tmp_path / "a.json"), [square])
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(SaveError, match=r"a\.json is there already; choose another name"):
        write_prompts(str(tmp_path / "a"), [square])
    with pytest.raises(SaveError, match="cannot be written"):
        write_prompts(str(tmp_path / "nowhere" / "a.json"), [square])
