"""Garbage is collected while the user rests; torch is imported without stopping the window."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QObject

from napari_sam2refiner._qt.collecting import IdleCollection, keep_all
from napari_sam2refiner._qt.importing import _load_unlocked


class Ring:
    """Something that holds itself, as layers and their events do."""

    def __init__(self) -> None:
        self.held = self


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_removed_is_freed_when_the_user_rests(qtbot: Any) -> None:
    owner = QObject()
    garbage = IdleCollection(owner)
    garbage._timer.setInterval(20)
    ring = Ring()
    gone = weakref.ref(ring)
    keep_all()
    del ring
    gc.collect()
    assert gone() is not None, "kept out of collections"
    garbage.note_work()
    qtbot.wait(100)
    assert gone() is not None, "work alone is no reason to look"
    garbage.note_removed()
    qtbot.waitUntil(lambda: gone() is None)
    assert gc.get_freeze_count() > 0
    garbage.close()
    assert gc.get_freeze_count() == 0


def test_closing_a_dock_leaves_collecting_to_python(bench: Any) -> None:
    user = bench(layer={})
    keep_all()
    user.dock.shut_down()
    assert gc.get_freeze_count() == 0


def test_torch_works_when_its_libraries_were_loaded_before(tmp_path: Path) -> None:
    _load_unlocked(tmp_path)  # where they are not, the import is as it ever was
    code = (
        "from napari_sam2refiner._qt.importing import import_torch; import_torch(); import torch; "
        "assert float(torch.ones(3).sum()) == 3"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
