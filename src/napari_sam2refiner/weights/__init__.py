"""Weight files: what there is, where it is, how it is loaded. Torch comes with `load_model` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2refiner.weights.download import fetch
from napari_sam2refiner.weights.store import available, find_path

if TYPE_CHECKING:
    from napari_sam2refiner.weights.load import load_model

__all__ = ["available", "fetch", "find_path", "load_model"]


def __getattr__(name: str) -> Any:
    """Load `load_model`, and torch with it, on first use."""
    if name != "load_model":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from napari_sam2refiner.weights.load import load_model

    globals()[name] = load_model
    return load_model
