"""What every test has: a place of its own for what docks keep."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: what tests set is not the user's, and not kept

import pytest

from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that work is kept in, not the user's."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_preferences() -> Iterator[None]:
    """Begin with the plugin's defaults, and forget what a test has set."""
    yield
    settings, ours = (sys.modules.get(name) for name in ("napari.settings", "napari_sam2refiner._qt.preferences"))
    if hasattr(settings, "_clear_plugin_settings_cache"):
        settings._clear_plugin_settings_cache()
    if ours is not None:
        ours.PreferenceStore._knows_first_steps = False
