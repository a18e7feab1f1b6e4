"""Importing torch in a thread without stopping the window, whose thread waits for the interpreter's lock."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("libtorch_global_deps", "libtorch_python")  # in torch's own order; the second one needs all others


def import_torch() -> None:
    """Import torch, in any thread; does nothing if it is imported.

    Loading its libraries takes 0.3 to 0.6 s, in which an import holds the interpreter's lock, and so stops the window.
    A foreign function does not hold it: what the import then loads is there already.
    """
    if "torch" in sys.modules:
        return
    spec = find_spec("torch")
    if spec is not None and spec.origin is not None and os.name == "posix":  # elsewhere torch itself does as follows
        _load_unlocked(Path(spec.origin).with_name("lib"))
    import torch  # noqa: F401


def _load_unlocked(folder: Path) -> None:
    """Load torch's libraries without the interpreter's lock; those that cannot be are left to the import."""
    load = ctypes.CDLL(None).dlopen
    load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    for name in LIBRARIES:
        scope = os.RTLD_GLOBAL if name == LIBRARIES[0] else os.RTLD_LOCAL  # as torch loads them
        load(os.fsencode(folder / f"{name}{suffix}"), os.RTLD_NOW | scope)
