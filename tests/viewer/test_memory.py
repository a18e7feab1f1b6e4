from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from desk import SHAPE, Desk
from fakes import FakeCanvas

from napari_sam2refiner.viewer.memory import give_back, resident
from napari_sam2refiner.viewer.state import resolve


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not say")
def test_what_nobody_refers_to_is_given_back() -> None:
    pieces = [np.ones(10_000) for _ in range(2000)]  # too small for the allocator to give back by itself
    before = resident()
    pieces.clear()
    give_back()
    after = resident()
    assert before is not None
    assert after is not None
    assert before - after > 80e6


def test_an_unloaded_model_is_gone_and_a_click_loads_it_again() -> None:
    desk = Desk()
    segmenter = desk.controller._segmenter
    desk.controller.unload_model()
    assert segmenter._model is None
    assert not segmenter._sessions
    assert desk.state.model == "micro"
    assert (desk.state.unloaded, desk.state.can_unload) == (True, False)
    status = resolve(desk.state).status
    assert status.startswith("micro is unloaded")
    assert status.endswith("It loads again when it is needed.")
    assert resolve(desk.state).can_click
    desk.canvas.click(30, 40)
    assert desk.loaded == ["micro", "micro"]
    assert not desk.state.unloaded
    assert desk.preview is not None
    assert desk.preview.any()


def test_what_was_answered_stays_and_is_corrected_after_loading_again() -> None:
    desk = Desk()
    desk.canvas.click(30, 40)
    before = desk.preview.copy()
    desk.controller.unload_model()
    np.testing.assert_array_equal(desk.preview, before)
    desk.canvas.click(30, 60)
    assert desk.predictions[-1][2] is not None, "the mask before is what is corrected"


def test_load_brings_it_back() -> None:
    desk = Desk()
    desk.controller.unload_model()
    desk.controller.reload_model()
    assert desk.loaded == ["micro", "micro"]
    desk.controller.reload_model()
    assert len(desk.loaded) == 2, "it is there"
    assert desk.state.can_unload


def test_looking_for_everything_loads_it() -> None:
    desk = Desk(at_once=False)
    desk.run()
    desk.waiting.clear()
    desk.controller.unload_model()
    desk.controller.everything.find()
    assert [job.kind for job, _ in desk.waiting] == ["unload", "load", "everything"], "in this order, one after another"


def test_another_plane_or_image_alone_does_not_load_it() -> None:
    desk = Desk((4, *SHAPE))
    desk.controller.unload_model()
    desk.canvas.slide(2)
    desk.controller.choose_image(FakeCanvas(np.zeros(SHAPE)))
    assert desk.loaded == ["micro"]


def test_choosing_the_unloaded_model_or_another_loads() -> None:
    desk = Desk()
    for name in ("micro", "tiny"):
        desk.controller.unload_model()
        desk.controller.choose_model(name)
    assert desk.loaded == ["micro", "micro", "tiny"]


def test_while_a_model_loads_or_none_is_chosen_nothing_is_unloaded() -> None:
    desk = Desk(at_once=False)
    desk.controller.unload_model()
    assert [job.kind for job, _ in desk.waiting] == ["load"]
    assert not desk.state.can_unload


def test_a_model_chosen_meanwhile_has_the_last_word() -> None:
    desk = Desk()
    desk.at_once = False
    desk.controller.unload_model()
    desk.controller.choose_model("tiny")
    said: list[Any] = []
    desk.state.events.news.connect(said.append)
    desk.run()
    assert not said, "nobody waits for that any more"
    desk.run()
    assert desk.state.model == "tiny"
    assert not desk.state.unloaded
