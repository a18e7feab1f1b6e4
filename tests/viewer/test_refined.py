"""Refined labels in a viewer model; no window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.layers.pair import choose_pair
from napari_sam2refiner.viewer.layers.refined import RefinedLabels
from napari_sam2refiner.viewer.segmenter import Relabelled

SHAPE = (4, 30, 40)
AFFINE = np.array([[0.8, 0.3, 5], [-0.2, 1.1, -9], [0, 0, 1]])
PLACED = {"scale": (0.5, 2), "translate": (7, -30), "rotate": 30, "affine": AFFINE}


def make(shape: tuple[int, ...] = SHAPE, image_shape: Any = None, **layer: Any) -> tuple[ViewerModel, RefinedLabels]:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(image_shape or shape, np.float32), name="image", **layer)
    data = np.zeros(shape, np.uint16)
    data[..., 5:15, 10:20] = 7
    labels = viewer.add_labels(data, name="cells", **{n: v for n, v in layer.items() if n != "rgb"})
    return viewer, RefinedLabels(viewer, image, labels)


def refine(pair: RefinedLabels) -> str:
    """Write what the model would have found: the object, one row longer."""
    plane = pair.plane
    request = pair.request(plane, 0.5, refine=True)
    before = np.array(request.labels.read(request.labels_plane))
    after = before.copy()
    after[15][before[14] > 0] = 7
    whole = None if request.copy is None else request.copy()
    return pair.write(plane, Relabelled(before, after, (), 0.0, whole))


@pytest.mark.parametrize("rgb", [False, True])
def test_the_result_is_a_new_layer_in_the_same_place(rgb: bool) -> None:
    viewer, pair = make((30, 40), (30, 40, 3) if rgb else None, rgb=rgb, **PLACED)
    labels = viewer.layers["cells"]
    before = labels.data.copy()
    assert pair.obstacle == ""
    assert refine(pair) == "cells refined"
    result = viewer.layers["cells refined"]
    np.testing.assert_array_equal(labels.data, before)
    assert result.data.dtype == before.dtype
    assert (result.data != before).sum() == 10
    for corner in ((0, 0), (29, 39), (3, 17)):
        np.testing.assert_allclose(result.data_to_world(corner), labels.data_to_world(corner))
    viewer.layers.remove(result)
    assert [layer.name for layer in viewer.layers] == ["image", "cells"]


def test_the_next_plane_goes_into_the_same_layer_and_the_same_plane_into_a_new_one() -> None:
    viewer, pair = make()
    for step in (1, 3):
        viewer.dims.set_point(0, step)
        assert refine(pair) == "cells refined"
    result = viewer.layers["cells refined"]
    changed = (result.data != viewer.layers["cells"].data).any(axis=(1, 2))
    assert changed.tolist() == [False, True, False, True]
    result.undo()
    changed = (result.data != viewer.layers["cells"].data).any(axis=(1, 2))
    assert changed.tolist() == [False, True, False, False]
    result.data[2, 0, 0] = 9  # painted by hand
    for step, name in ((1, "cells refined [1]"), (2, "cells refined [1]"), (3, "cells refined")):
        viewer.dims.set_point(0, step)
        again = RefinedLabels(viewer, viewer.layers["image"], viewer.layers["cells"])
        assert refine(again) == name
    assert result.data[2, 0, 0] == 9


def test_any_plane_of_a_volume_can_be_refined() -> None:
    viewer, _ = make()
    data = np.zeros(SHAPE, np.uint16)
    data[:, :, 10:20] = 7
    pair = RefinedLabels(viewer, viewer.layers["image"], viewer.add_labels(data, name="slabs"))
    viewer.dims.order = (2, 0, 1)
    viewer.dims.set_point(2, 12)
    plane = pair.plane
    assert plane == PlaneIndex((0, 0, 12), (0, 1))
    for number, name in ((7, "slabs refined"), (8, "slabs refined")):
        request = pair.request(plane, 0.5, refine=True)
        before = np.array(request.labels.read(request.labels_plane))
        after = np.full_like(before, number)
        after[0, 0] = 3
        pair.write(plane, Relabelled(before, after, (), 0.0, None))
        np.testing.assert_array_equal(plane.get(viewer.layers[name].data), after)
        viewer.dims.set_point(2, 13)
        plane = pair.plane
    assert (viewer.layers["slabs refined"].data != data).sum() == 1 + SHAPE[0] * SHAPE[1]


def test_what_does_not_fit_is_said_in_one_sentence() -> None:
    viewer, pair = make((30, 40), (31, 40))
    assert "cells has shape (30, 40) but image has (31, 40)" in pair.obstacle
    viewer, pair = make()
    viewer.layers["cells"].translate = (0, 0.4, 0)
    assert pair.obstacle == ""
    viewer.layers["cells"].translate = (0, 3, 0)
    assert "cells does not lie on image" in pair.obstacle
    viewer.layers["cells"].translate = (0, 0, 0)
    viewer.dims.ndisplay = 3
    assert "2D" in pair.obstacle


def test_layers_that_go_or_change_are_noticed() -> None:
    viewer, pair = make()
    assert pair.loss == ""
    viewer.layers["cells"].data = np.zeros((4, 30, 41), np.uint16)
    assert "another shape" in pair.loss
    viewer.layers.remove("cells")
    assert pair.loss == "cells was removed"
    viewer, pair = make()
    viewer.layers.remove("image")
    assert pair.loss == "image was removed"


def test_an_object_is_selected_and_centred() -> None:
    viewer, pair = make(scale=(3, 2, 2), translate=(0, 100, 0))
    viewer.dims.set_point(0, 6)
    plane = pair.plane
    assert not pair.show_object(plane, 7)
    refine(pair)
    result = viewer.layers["cells refined"]
    viewer.dims.set_point(0, 0)
    viewer.layers.selection.active = viewer.layers["image"]
    assert pair.show_object(plane, 7)
    assert viewer.dims.point[0] == 6
    assert viewer.layers.selection.active is result
    assert result.selected_label == 7
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((100 + 2 * 10, 2 * 14.5))
    result.data[2] = 0
    camera.center = (0, 0, 0)
    assert pair.show_object(plane, 7), "an object that is gone is looked for where it was"
    assert camera.center[-2:] == pytest.approx((100 + 2 * 9.5, 2 * 14.5))
    viewer.layers.remove(result)
    assert not pair.show_object(plane, 7)


def test_one_begins_with_the_active_layer_and_what_fits_it() -> None:
    viewer = ViewerModel()
    assert choose_pair(viewer) == (None, None)
    small, large = (viewer.add_image(np.zeros(shape)) for shape in ((20, 20), (30, 30)))
    assert choose_pair(viewer) == (large, None)
    on_small, on_large = (viewer.add_labels(np.zeros(image.data.shape, int)) for image in (small, large))
    viewer.add_labels(np.zeros((20, 20), int), metadata={"napari_sam2refiner": {"role": "preview"}})
    for active, pair in (
        (small, (small, on_small)),
        (on_small, (small, on_small)),
        (large, (large, on_large)),
        (None, (large, on_large)),
    ):
        viewer.layers.selection.active = active
        assert choose_pair(viewer) == pair
