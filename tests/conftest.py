"""What every test has: a place of its own for what docks keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_sam2refiner.viewer.autosave import FOLDER_VARIABLE


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that work is kept in, not the user's."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder
