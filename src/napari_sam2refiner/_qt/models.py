"""The real models and sessions; torch takes seconds to import, so it comes in the worker, with the first model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from napari_sam2refiner._qt.collecting import keep_all
from napari_sam2refiner._qt.importing import import_torch
from napari_sam2refiner.viewer.state import ModelChoice
from napari_sam2refiner.weights import available

if TYPE_CHECKING:
    from napari_sam2refiner.sessions.base import PlaneSession
    from napari_sam2refiner.viewer.segmenter import FollowingSession, Tell

LENDER = "micro"  # whose refiner other models may borrow


def list_models() -> tuple[ModelChoice, ...]:
    """Return the registry's bases; those without a refiner of their own may borrow that of `micro`."""
    return tuple(
        ModelChoice(m.name, m.size, m.on_disk, m.note, borrows=not m.has_refiner and m.name != LENDER)
        for m in available()
        if m.kind == "base"
    )


def load_model(name: str, tell: Tell) -> Any:
    """Load a model in the thread that will use it; `tell` gets the downloaded share, 0 to 1.

    One without a refiner of its own, be it from the registry or from the user's file, may borrow that of `micro`.
    """
    import_torch()
    keep_all()
    import torch

    from napari_sam2refiner.weights.load import lend_refiner
    from napari_sam2refiner.weights.load import load_model as load

    # One core is left to the window: with all of them taken, drawing waits for each convolution.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))
    model = load(name, device="auto", progress=lambda done, total: tell(done / max(total, 1)))
    if model.is_untrained and model.backbone != LENDER:
        lend_refiner(model)
    return model


def make_session(model: Any) -> PlaneSession:
    """Return a session without an image."""
    from napari_sam2refiner.sessions.image import ImageSession

    session: PlaneSession = ImageSession(model)
    return session


def make_stack(model: Any, frames: Any) -> FollowingSession:
    """Return a session that follows objects through frames."""
    from napari_sam2refiner.sessions.stack import StackSession

    stack: FollowingSession = StackSession(model, frames)
    return stack
