"""Interactive segmentation of microscopy images with SAM 2 and a refiner, in napari and without it.

The public names load on first use, so that importing the package is cheap and needs neither torch nor Qt nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2refiner.errors import SAM2RefinerError
    from napari_sam2refiner.prompts import Prompts
    from napari_sam2refiner.sessions.image import ImageSession
    from napari_sam2refiner.sessions.stack import StackSession
    from napari_sam2refiner.weights import load_model

    __version__: str

__all__ = ["ImageSession", "Prompts", "SAM2RefinerError", "StackSession", "__version__", "load_model"]

_HOME = {
    "ImageSession": "napari_sam2refiner.sessions.image",
    "Prompts": "napari_sam2refiner.prompts",
    "SAM2RefinerError": "napari_sam2refiner.errors",
    "StackSession": "napari_sam2refiner.sessions.stack",
    "load_model": "napari_sam2refiner.weights",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("napari-sam2refiner")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
