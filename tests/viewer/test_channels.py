"""Images that are looked at together: the choice, its source and what follows from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from desk import SHAPE, Desk
from fakes import RADII, FakeSession, FakeSource, disc
from napari.components import ViewerModel

from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.channels import ChannelItem, ChannelOffer
from napari_sam2refiner.viewer.layers.image import ImageLayers
from napari_sam2refiner.viewer.segmenter import Request, Segmenter

RANDOM = np.random.default_rng(0)
NUCLEI = RANDOM.integers(0, 200, (3, 30, 40)).astype(np.uint8)
MEMBRANES = RANDOM.uniform(50, 90, (3, 30, 40))
PLACE: dict[str, Any] = {"scale": (2, 0.5, 0.5), "rotate": 30, "translate": (0, 3, 4)}
PLANE = PlaneIndex((2, 0, 0), (1, 2))


class Layers:
    """An image among others in a viewer model, and what its channels say."""

    def __init__(self, **main: Any) -> None:
        self.viewer = ViewerModel()
        self.image = self.viewer.add_image(NUCLEI, name="nuclei", **{**PLACE, **main})
        self.other = self.viewer.add_image(MEMBRANES, name="membranes", **PLACE)
        self.canvas = ImageLayers(self.viewer, self.image, lambda call: call())
        self.canvas.attach()
        self.news: list[str] = []
        self.offered = 0
        self.canvas.channels.changed.connect(self.news.append)
        self.canvas.channels.offered.connect(self._on_offered)

    def _on_offered(self) -> None:
        self.offered += 1

    @property
    def listed(self) -> dict[str, bool]:
        return {item.name: item.chosen for item in self.canvas.channels.offer.items}

    def choose(self, layer: Any, *, wanted: bool = True) -> None:
        self.canvas.channels.choose(str(layer.unique_id), wanted=wanted)

    @property
    def plane(self) -> Any:
        """What a session makes of a plane."""
        source = self.canvas.source
        return rescale(source.open(PLANE).whole(), limits=source.limits)


def alone(array: Any, limits: tuple[float, float] | None = None) -> Any:
    return rescale(array[2], limits=limits)[..., 0]


def test_one_channel_is_looked_at_as_ever() -> None:
    layers = Layers()
    source = layers.canvas.source
    assert source.limits is None
    assert np.shares_memory(source.open(PLANE).whole(), NUCLEI)
    assert source.open(PLANE).dtype == np.uint8
    assert layers.listed == {"membranes": False}
    assert layers.canvas.channels.offer.is_default


def test_channels_are_looked_at_together_and_no_more() -> None:
    layers = Layers()
    first = layers.canvas.source
    layers.choose(layers.other)
    assert layers.canvas.source.key != first.key
    assert layers.news == ["Looked at nuclei, membranes; contrast automatic."]
    np.testing.assert_array_equal(layers.plane[..., 0], alone(NUCLEI))
    np.testing.assert_array_equal(layers.plane[..., 1], alone(MEMBRANES))
    assert not layers.plane[..., 2].any()
    assert layers.listed == {"membranes": True}
    layers.choose(layers.other, wanted=False)
    assert layers.canvas.source.limits is None
    assert layers.news[1:] == ["Looked at nuclei; contrast automatic."]


def test_the_contrast_is_as_shown_and_follows_it() -> None:
    layers = Layers()
    layers.image.contrast_limits = (20, 120)
    assert layers.news == [], "nobody looks at it"
    layers.canvas.channels.set_as_shown(True)
    assert layers.canvas.source.limits == (20, 120)
    np.testing.assert_array_equal(layers.plane[..., 0], alone(NUCLEI, (20, 120)))
    layers.choose(layers.other)
    layers.other.contrast_limits = (60, 70)
    assert len(layers.news) == 3
    np.testing.assert_array_equal(layers.plane[..., 0], alone(NUCLEI, (20, 120)))
    np.testing.assert_array_equal(layers.plane[..., 1], alone(MEMBRANES, (60, 70)))
    layers.other.contrast_limits = (60, 70)
    assert len(layers.news) == 3, "it is the same"
    layers.canvas.channels.set_as_shown(False)
    np.testing.assert_array_equal(layers.plane[..., 1], alone(MEMBRANES))


def test_only_layers_of_the_same_shape_and_place_are_listed() -> None:
    layers = Layers()
    layers.viewer.add_image(MEMBRANES, name="elsewhere")
    layers.viewer.add_image(MEMBRANES[:, :20], name="smaller", **PLACE)
    layers.viewer.add_image(RANDOM.integers(0, 9, (3, 30, 40, 3)).astype(np.uint8), name="colours", rgb=True, **PLACE)
    layers.viewer.add_labels(np.zeros(NUCLEI.shape, int), name="cells", **PLACE)
    assert layers.listed == {"membranes": False}
    layers.viewer.layers["elsewhere"].scale = PLACE["scale"]
    assert layers.listed == {"membranes": False}
    layers.viewer.layers["elsewhere"].rotate = PLACE["rotate"]
    layers.viewer.layers["elsewhere"].translate = PLACE["translate"]
    assert layers.listed == {"membranes": False, "elsewhere": False}
    assert layers.news == []
    assert layers.offered == 1


def test_a_channel_that_moves_away_is_left_out_until_it_is_back() -> None:
    layers = Layers()
    layers.choose(layers.other)
    layers.image.translate = (0, 30, 30)
    assert layers.listed == {}
    assert layers.canvas.source.limits is None
    layers.other.translate = (0, 30, 30)
    assert layers.listed == {"membranes": True}
    np.testing.assert_array_equal(layers.plane[..., 1], alone(MEMBRANES))
    assert len(layers.news) == 3


def test_a_channel_that_is_removed_renamed_or_gets_other_data() -> None:
    layers = Layers()
    layers.choose(layers.other)
    source = layers.canvas.source
    layers.other.name = "walls"
    assert layers.listed == {"walls": True}
    assert layers.canvas.source is source, "its pixels are the same"
    layers.other.data = MEMBRANES[::-1]
    assert layers.canvas.source is not source
    np.testing.assert_array_equal(layers.plane[..., 1], alone(MEMBRANES[::-1]))
    layers.viewer.layers.remove(layers.other)
    assert layers.listed == {}
    assert layers.canvas.source.limits is None
    assert layers.news[1:] == [
        "Looked at nuclei, walls; contrast automatic.",
        "Looked at nuclei; contrast automatic.",
    ]
    layers.other.data = MEMBRANES
    layers.other.contrast_limits = (1, 2)
    assert len(layers.news) == 3, "what is gone is not listened to"


def test_other_data_of_the_image_stay_with_its_channels() -> None:
    layers = Layers()
    layers.choose(layers.other)
    layers.image.data = NUCLEI[::-1]
    assert layers.listed == {"membranes": True}
    np.testing.assert_array_equal(layers.plane[..., 0], alone(NUCLEI[::-1]))
    np.testing.assert_array_equal(layers.plane[..., 1], alone(MEMBRANES))
    assert len(layers.news) == 1, "the image says it itself"


def test_three_channels_are_the_most() -> None:
    layers = Layers()
    more = [layers.viewer.add_image(MEMBRANES + n, name=f"dye {n}", **PLACE) for n in range(2)]
    for layer in (more[0], layers.other, more[1]):
        layers.choose(layer)
    assert layers.listed == {"membranes": True, "dye 0": True, "dye 1": False}
    assert layers.canvas.channels.offer.is_full
    assert "Three channels are the most" in layers.canvas.channels.offer.note
    assert layers.news[-1] == "Looked at nuclei, dye 0, membranes; contrast automatic."


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255.0), (np.float32, 1.0)])
def test_a_colour_image_takes_no_other(dtype: Any, white: float) -> None:
    viewer = ViewerModel()
    colours = viewer.add_image(RANDOM.uniform(0, 1, (30, 40, 3)).astype(dtype), name="colours", rgb=True)
    viewer.add_image(np.zeros((30, 40)), name="grey")
    canvas = ImageLayers(viewer, colours, lambda call: call())
    assert canvas.channels.offer.items == ()
    assert "three channels" in canvas.channels.offer.note
    canvas.channels.set_as_shown(True)
    assert canvas.source.limits == (0.0, white)


def test_pyramids_and_lazy_layers_go_together() -> None:
    viewer = ViewerModel()
    fine = RANDOM.uniform(0, 9, (64, 64))
    pyramid = viewer.add_image([fine, fine[::2, ::2]], name="pyramid", multiscale=True)
    flat = viewer.add_image(fine + 3, name="flat")
    canvas = ImageLayers(viewer, pyramid, lambda call: call())
    canvas.channels.choose(str(flat.unique_id), wanted=True)
    plane = canvas.source.open(PlaneIndex((0, 0), (0, 1)))
    np.testing.assert_array_equal(plane[slice(0, 9), slice(0, 9)][..., 0], rescale(fine)[:9, :9, 0])
    assert canvas.source.read(PlaneIndex((0, 0), (0, 1))).shape == (64, 64, 2)


def test_contrast_waits_until_the_slider_is_let_go() -> None:
    layers, waiting = Layers(), []
    canvas = ImageLayers(layers.viewer, layers.image, lambda call: call(), settle=waiting.append)
    canvas.channels.set_as_shown(True)
    for high in (100, 101, 102):
        layers.image.contrast_limits = (10, high)
    assert canvas.source.limits != (10, 102)
    waiting[-1]()
    assert canvas.source.limits == (10, 102)
    canvas.close()
    layers.image.contrast_limits = (10, 50)
    waiting[-1]()
    assert canvas.source.limits == (10, 102), "what is closed looks no more"


# -- what follows from it ----------------------------------------------------------------------------------------------


def test_the_limits_of_a_source_go_to_the_session() -> None:
    sessions = []

    def make(_: Any) -> FakeSession:
        sessions.append(FakeSession())
        return sessions[-1]

    segmenter = Segmenter(lambda name, _: name, make)
    segmenter.load("micro", lambda _: None)
    for limits in (None, (2.0, 5.0)):
        segmenter.prepare(Request(FakeSource(np.zeros((20, 30)), limits), PlaneIndex((0, 0), (0, 1))), lambda _: None)
    assert [session.limits for session in sessions] == [None, (2.0, 5.0)]


def test_another_choice_asks_again_and_keeps_what_is_kept() -> None:
    desk = Desk()
    desk.canvas.click(10, 10)
    desk.controller.commit()
    kept = desk.canvas.labels.copy()
    desk.canvas.click(30, 40)
    assert desk.state.channels.items == (ChannelItem("other", "membranes"),)
    undo, asked = desk.state.undo, len(desk.predictions)
    desk.controller.channels.choose("other", True)
    assert desk.log[-2] == ("image", (*SHAPE, 2)), "the plane is looked at anew"
    assert len(desk.predictions) == asked + 1
    assert desk.predictions[-1][2] is None, "what was answered before counts no more"
    np.testing.assert_array_equal(desk.preview, disc(SHAPE, 30, 40, RADII[0]))
    np.testing.assert_array_equal(desk.canvas.labels, kept)
    assert desk.state.undo == undo, "it is no act"
    assert desk.state.channels.items[0].chosen
    desk.controller.channels.set_as_shown(True)
    assert len(desk.predictions) == asked + 2
    assert desk.errors == []
    desk.controller.commit()
    assert sorted(np.unique(desk.canvas.labels)) == [0, 1, 2]


def test_each_image_has_its_own_choice() -> None:
    desk = Desk()
    desk.controller.channels.set_as_shown(True)
    other = type(desk.canvas)(np.zeros(SHAPE), name="other")
    desk.controller.choose_image(other)
    assert not desk.state.channels.as_shown
    desk.controller.choose_image(desk.canvas)
    assert desk.state.channels.as_shown
    desk.controller.choose_image(None)
    assert desk.state.channels == ChannelOffer()
    desk.controller.channels.choose("other", True)
    desk.controller.channels.set_as_shown(False)
    assert desk.errors == [], "there is nothing to choose for"


def test_an_image_that_waits_disturbs_nothing_at_hand() -> None:
    desk = Desk()
    other = type(desk.canvas)(np.zeros(SHAPE), name="other")
    desk.controller.choose_image(other)
    other.click(30, 40)
    desk.canvas.channels.set_as_shown(True)
    assert desk.state.image == "other"
    assert desk.state.pixels == disc(SHAPE, 30, 40, RADII[0]).sum()
    desk.controller.commit()
    assert other.labels.any()
