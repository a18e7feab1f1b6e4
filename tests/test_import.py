"""Importing the package is cheap, and its public names are where they should be."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import napari_sam2refiner

HEAVY = {"torch", "sam2", "napari", "qtpy", "superqt", "PyQt6", "PySide6", "skimage", "numpy"}


def run_fresh(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_loads_neither_torch_nor_qt_nor_napari() -> None:
    loaded = run_fresh("import napari_sam2refiner, sys, json; print(json.dumps(sorted(sys.modules)))")
    assert HEAVY.isdisjoint(json.loads(loaded))


def test_prompts_and_errors_need_no_torch() -> None:
    names = "from napari_sam2refiner import Prompts, SAM2RefinerError"
    loaded = run_fresh(f"{names}; import sys, json; print(json.dumps(sorted(sys.modules)))")
    assert (HEAVY - {"numpy"}).isdisjoint(json.loads(loaded))


@pytest.mark.parametrize("name", napari_sam2refiner.__all__)
def test_public_name_loads(name: str) -> None:
    assert getattr(napari_sam2refiner, name) is not None
    assert name in dir(napari_sam2refiner)


def test_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert napari_sam2refiner.__version__ == version("napari-sam2refiner")


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_sam2refiner.nothing
