from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from desk import MODELS

import napari_sam2refiner
from napari_sam2refiner.labels.tidy import Tidying
from napari_sam2refiner.viewer.preferences import AUTOMATIC, OVERLAPS, Preferences, preferences_from
from napari_sam2refiner.weights import available


@pytest.fixture
def properties() -> dict[str, Any]:
    from pathlib import Path

    manifest = Path(napari_sam2refiner.__file__).with_name("napari.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(manifest)["contributions"]["configurations"]["segment"]["properties"]
    return found


def test_the_manifest_has_what_is_read_with_our_defaults(properties: dict[str, Any]) -> None:
    defaults = {name: one["default"] for name, one in properties.items()}
    assert preferences_from(SimpleNamespace(**defaults)) == Preferences()
    assert list(defaults) == list(Preferences.__slots__)


def test_what_can_be_chosen_is_there(properties: dict[str, Any]) -> None:
    bases = [model.name for model in available() if model.kind == "base"]
    assert properties["model"]["enum"] == [AUTOMATIC, *bases]
    assert properties["overlap"]["enum"] == list(OVERLAPS)


def test_what_is_set_is_taken() -> None:
    preferences = preferences_from(SimpleNamespace(model="tiny", overlap="new object wins", smooth=1.5, specks=9))
    assert preferences.tidying == Tidying(1.5, False, 9)
    assert preferences.overlap_rule == "overwrite"
    assert preferences.model_among(MODELS) == "tiny"


def test_without_settings_and_for_models_that_are_gone_there_are_defaults() -> None:
    assert preferences_from(None) == Preferences()
    assert preferences_from(SimpleNamespace(model="gone")).model_among(MODELS) == "micro"
    assert Preferences().model_among(()) is None
