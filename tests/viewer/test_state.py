from __future__ import annotations

import pytest

from napari_sam2refiner.viewer.keys import DEFAULTS, Bindings
from napari_sam2refiner.viewer.state import DockState, ModelChoice, default_model, resolve

MICRO = ModelChoice("micro", 25_000_000, True)
TINY = ModelChoice("sam2.1_hiera_tiny", 156_000_000, False, "SAM 2.1, refiner untrained: plain SAM 2.1")


def state(**values: object) -> DockState:
    return DockState(**{"image": "cells", "models": (MICRO, TINY), "model": "micro", **values})


def test_nothing_can_be_done_without_an_image_and_the_hint_says_where_to_get_one() -> None:
    snapshot = resolve(state(image=None))
    assert not (snapshot.can_click)
    assert not (snapshot.can_keep)
    assert not (snapshot.can_clear)
    assert not (snapshot.can_cycle)
    assert "Open an image" in snapshot.hint


def test_first_hint_is_to_click() -> None:
    snapshot = resolve(state())
    assert snapshot.can_click
    assert snapshot.hint == "Click on an object."


def test_hints_name_the_keys_that_were_chosen() -> None:
    chosen = Bindings({**DEFAULTS, "switch": "F2"})
    assert resolve(state(cutting=True, keys=chosen)).hint.endswith("; F2 goes back to clicks.")
    assert resolve(state(cutting=True, keys=chosen.without(["switch"]))).hint.endswith("from outside to outside.")


def test_negative_prompts_alone_ask_for_a_positive_one() -> None:
    assert "positive point" in resolve(state(negatives=1)).hint


def test_preview_can_be_kept_and_says_how_sure_and_how_long() -> None:
    snapshot = resolve(state(positives=1, candidates=3, pixels=1234, score=0.934, seconds=0.081, next_id=7))
    assert snapshot.can_keep
    assert snapshot.can_cycle
    assert snapshot.status == "1,234 pixels, 93 % sure, 0.08 s."
    assert snapshot.keep == "Keep as 7 (K)"
    assert snapshot.cycle == "Guess 1 of 3 (G)"


@pytest.mark.parametrize("blocked", [{"pixels": 0}, {"candidates": 0}, {"obstacle": "3D"}])
def test_keep_waits_for_a_mask(blocked: dict[str, object]) -> None:
    values: dict[str, object] = {"positives": 1, "candidates": 1, "pixels": 5, **blocked}
    assert not resolve(state(**values)).can_keep


def test_an_obstacle_is_said_with_its_remedy() -> None:
    snapshot = resolve(state(obstacle="Switch to the 2D view."))
    assert snapshot.hint == "Switch to the 2D view."
    assert not snapshot.can_click


def test_empty_mask_says_so() -> None:
    snapshot = resolve(state(positives=1, candidates=1, pixels=0))
    assert snapshot.status == "Nothing found there."
    assert "box" in snapshot.hint


def test_loading_tells_a_download_from_a_file() -> None:
    assert resolve(state(loading=True)).status == "Loading micro ..."
    tiny = state(loading=True, model=TINY.name)
    assert resolve(tiny).status.startswith("Downloading sam2.1_hiera_tiny")
    tiny.loaded = 0.42
    assert resolve(tiny).status == "Downloading sam2.1_hiera_tiny: 42 % ..."
    assert resolve(state(loading=True, model="/somewhere/mine.pt")).status == "Loading mine.pt ..."


def test_prompts_wait_for_a_model_that_loads() -> None:
    assert "go on clicking" in resolve(state(loading=True, positives=1)).hint
    assert resolve(state(loading=True)).hint == "Click on an object."


def test_untrained_refiner_is_said() -> None:
    assert state(model=TINY.name).model_note == "SAM 2.1, refiner untrained: plain SAM 2.1"


def test_first_model_on_disk_is_the_default() -> None:
    large = ModelChoice("sam2.1_hiera_large", 898_000_000, True)
    assert default_model([TINY, MICRO, large]) == "micro"
    assert default_model([TINY]) == TINY.name
    assert default_model([]) is None


def test_labels_say_size_and_place_and_files_are_named_without_folder() -> None:
    assert MICRO.label == "micro (25 MB, on disk)"
    assert TINY.label == "sam2.1_hiera_tiny (156 MB, download)"
    assert ModelChoice("/somewhere/mine.pt", 0, True).label == "mine.pt"
