"""Channels and contrast in a real viewer, ticked by the mouse."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes import disc
from qtpy.QtCore import QObject, QPoint, Qt
from qtpy.QtWidgets import QApplication
from skimage.filters import gaussian

from napari_sam2refiner._qt.channel_panel import ChannelPanel
from napari_sam2refiner._qt.models import load_model, make_session
from napari_sam2refiner._qt.settling import Settling
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.viewer.channels import ChannelItem, ChannelOffer

if TYPE_CHECKING:
    from bench import Bench

SHAPE = (60, 80)
RANDOM = np.random.default_rng(0)
SPLIT = RANDOM.integers(0, 200, (3, *SHAPE)).astype(np.uint8)


def tick(user: Bench, name: str) -> None:
    """Click on the box before a name."""
    rows = user.dock.channels.layers
    (item,) = rows.findItems(name, Qt.MatchFlag.MatchExactly)
    box = rows.visualItemRect(item)
    user.qtbot.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(box.left() + 10, box.center().y()))


def listed(user: Bench) -> dict[str, bool]:
    rows = user.dock.channels.layers
    items = [rows.item(row) for row in range(rows.count())]
    return {item.text(): item.checkState() == Qt.CheckState.Checked for item in items}


@pytest.fixture
def user(bench: Any, make_napari_viewer_proxy: Any) -> Bench:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(SPLIT, channel_axis=0, name=["cells", "membranes", "dye"])
    viewer.layers.selection.active = viewer.layers["cells"]
    user: Bench = bench(viewer=viewer)
    user.dock.channels.section._title.click()
    return user


def looked_at(user: Bench) -> list[Any]:
    return [entry[1] for entry in user.log if entry[0] == "image"]


def test_a_channel_is_ticked_contrast_is_as_shown_and_the_layer_removed(user: Bench) -> None:
    panel = user.dock.channels
    assert user.dock.state.image == "cells"
    assert listed(user) == {"membranes": False, "dye": False}
    user.click(12, 15)
    user.press("K")
    kept = user.result().copy()
    user.click(30, 40)
    preview, undo = user.preview.copy(), user.dock.state.undo
    tick(user, "membranes")
    user.wait(lambda: listed(user)["membranes"] and len(looked_at(user)) == 2 and user.is_idle())
    assert looked_at(user) == [SHAPE, (*SHAPE, 2)]
    np.testing.assert_array_equal(user.preview, preview)
    assert panel.section.text() == "Channels and contrast (on)"
    panel.contrast.setCurrentIndex(1)
    panel.contrast.activated.emit(1)
    user.wait(lambda: len(looked_at(user)) == 3 and user.is_idle())
    for high in (90, 91, 92):
        user.viewer.layers["membranes"].contrast_limits = (5, high)
    user.wait(lambda: len(looked_at(user)) == 4 and user.is_idle())
    source = user.dock.controller.in_hand[1].canvas.source
    assert [one.limits for one in source.channels][1] == (5, 92)
    user.viewer.layers.remove("membranes")
    user.wait(lambda: len(looked_at(user)) == 5 and user.is_idle())
    assert looked_at(user)[-1] == SHAPE
    assert listed(user) == {"dye": False}
    np.testing.assert_array_equal(user.result(), kept)
    np.testing.assert_array_equal(user.preview, preview)
    assert user.dock.state.undo == undo


def test_the_list_follows_the_layers_and_three_are_the_most(user: Bench) -> None:
    user.viewer.add_image(SPLIT[0], name="more")
    user.wait(lambda: "more" in listed(user))
    user.viewer.layers["dye"].name = "stain"
    user.wait(lambda: "stain" in listed(user))
    for name in ("membranes", "more"):
        tick(user, name)
        user.wait(lambda name=name: user.is_idle() and user.dock.state.channels.is_full == (name == "more"))
    assert "Three channels" in user.dock.channels.note.text()
    tick(user, "stain")
    user.wait(user.is_idle)
    assert listed(user) == {"membranes": True, "stain": False, "more": True}
    assert looked_at(user)[-1] == (*SHAPE, 3)
    tick(user, "more")
    user.wait(lambda: not listed(user)["more"] and user.is_idle())
    assert looked_at(user)[-1] == (*SHAPE, 2)
    user.choose("membranes")
    user.wait(lambda: listed(user) == {"cells": False, "stain": False, "more": False})
    user.choose("cells")
    user.wait(lambda: listed(user)["membranes"])
    user.viewer.layers.clear()
    user.wait(lambda: not user.dock.channels.isVisible())
    user.viewer.add_image(SPLIT[0], name="alone")
    user.wait(lambda: user.dock.channels.isVisible() and user.dock.state.image == "alone" and user.is_idle())
    assert "No other image layer" in user.dock.channels.note.text()


def test_a_tick_by_the_keyboard(qtbot: Any) -> None:
    panel = ChannelPanel()
    qtbot.addWidget(panel)
    panel.section._title.click()
    panel.show()
    panel.set_offer(ChannelOffer((ChannelItem("a", "a long name " * 9), ChannelItem("b", "b"))))
    panel.layers.setCurrentRow(1)
    with qtbot.waitSignal(panel.channel_chosen) as told:
        qtbot.keyClick(panel.layers, Qt.Key.Key_Space)
    assert told.args == ["b", True]
    assert panel.minimumSizeHint().width() < 300


def test_what_is_dragged_is_waited_for(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held, looked, called = [True], [], []

    def buttons() -> Any:
        looked.append(held[0])
        return Qt.MouseButton.LeftButton if held[0] else Qt.MouseButton.NoButton

    monkeypatch.setattr(QApplication, "mouseButtons", buttons)
    owner = QObject()
    settling = Settling(owner)
    tell = partial(called.append, "once")
    for _ in range(3):
        settling.add(tell)
    qtbot.waitUntil(lambda: len(looked) == 2)
    assert called == []
    held[0] = False
    qtbot.waitUntil(lambda: bool(called))
    assert called == ["once"]


def test_membranes_in_one_channel_and_nuclei_in_another_make_a_cell(bench: Any, make_napari_viewer_proxy: Any) -> None:
    """The membranes say how large a cell is, of which the image has only the nucleus."""
    cells = {place: disc((160, 200), *place, 26) for place in ((45, 50), (50, 135), (115, 90))}
    nuclei = np.zeros((160, 200))
    membranes = np.zeros((160, 200))
    for (y, x), cell in cells.items():
        nuclei[disc(nuclei.shape, y, x, 8)] = 1
        membranes[cell & ~disc(cell.shape, y, x, 22)] = 1
    viewer = make_napari_viewer_proxy(show=True)
    for name, image, bright in (("nuclei", nuclei, 3000), ("membranes", membranes, 40)):
        noisy = gaussian(image, 1) * bright + RANDOM.normal(0, 0.05 * bright, image.shape)
        viewer.add_image(noisy, name=name)
    viewer.layers.selection.active = viewer.layers["nuclei"]
    user = bench(viewer=viewer, load=load_model, session=make_session)
    user.click(*next(iter(cells)))
    assert max(iou(guess, next(iter(cells.values()))) for guess in _guesses(user)) < 0.3
    user.dock.controller.clear()
    user.dock.channels.section._title.click()
    tick(user, "membranes")
    user.wait(lambda: listed(user)["membranes"] and user.is_idle())
    for place, cell in cells.items():
        user.click(*place)
        found = max(iou(guess, cell) for guess in _guesses(user))
        assert found > 0.8, place
        user.dock.controller.clear()


def _guesses(user: Bench) -> list[Any]:
    """Return all masks that a click may mean."""
    masks = []
    for choice in range(max(1, user.dock.state.candidates)):
        user.dock.controller.choose_candidate(choice)
        masks.append(user.preview.copy())
    return masks
