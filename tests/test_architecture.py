"""What import-linter cannot see: importing `a.b` also runs `a/__init__`."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import napari_sam2refiner

SOURCE = Path(napari_sam2refiner.__file__).parent
WITHOUT_TORCH = (
    "datasets",
    "errors",
    "labels",
    "metrics",
    "planes",
    "prompts",
    "sessions.base",
    "simulated_user",
    "viewer.state",
    "weights.registry",
)


def modules_of(room: str) -> list[str]:
    """Return the full names of a room and of all modules in it."""
    name = f"{napari_sam2refiner.__name__}.{room}"
    folder = SOURCE.joinpath(*room.split("."))
    return [name, *(module.name for module in pkgutil.walk_packages([str(folder)], f"{name}."))]


def test_rooms_of_plain_values_load_neither_torch_nor_qt_nor_napari() -> None:
    names = [name for room in WITHOUT_TORCH for name in modules_of(room)]
    code = f"import sys, json, {', '.join(names)}; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"torch", "sam2", "napari", "qtpy", "superqt", "PyQt6"}.isdisjoint(json.loads(loaded))
