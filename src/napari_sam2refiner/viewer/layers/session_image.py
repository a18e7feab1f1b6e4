"""The image of a session: how it is shown, and how it is found again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_sam2refiner.errors import ReadError, reason_of
from napari_sam2refiner.viewer.layers.view import ImageView

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam2refiner.viewer.autosave import Identity
    from napari_sam2refiner.viewer.session_file import Look

NUMBERS = ("scale", "translate", "rotate", "shear", "contrast_limits", "gamma", "opacity")
WORDS = ("blending", "interpolation2d")


def look_of(image: Image) -> Look:
    """Return how an image is shown."""
    look: Look = {name: np.asarray(getattr(image, name)).tolist() for name in NUMBERS}
    look |= {name: str(getattr(image, name)) for name in WORDS}
    return look | {"affine": image.affine.affine_matrix.tolist(), "colormap": image.colormap.name}


def find_image(viewer: ViewerModel, identity: Identity, look: Look) -> Image:
    """Return the image of a session, opened from its file and shown as it was where it is not in the viewer.

    Raises
    ------
    ReadError
        If it is neither there nor to be opened.
    """
    for layer in viewer.layers:
        if isinstance(layer, Image) and ImageView(viewer, layer).identity.is_same(identity):
            return layer
    if identity.source is None:
        msg = f"The session is of {identity.name}, which came from no file; open that image first, then the session."
        raise ReadError(msg)
    image = _open(viewer, identity, Path(identity.source))
    image.name = identity.name
    _show(image, look)
    return image


def _open(viewer: ViewerModel, identity: Identity, path: Path) -> Image:
    """Open the image's file; layers of other shapes that come with it stay too."""
    try:
        layers = viewer.open(path) if path.exists() else []
    except Exception as error:  # whatever a reader raises
        msg = f"The session's image, {path}, cannot be opened: {reason_of(error)}; open it yourself, then the session."
        raise ReadError(msg) from error
    images = [layer for layer in layers if isinstance(layer, Image)]
    fitting = [image for image in images if ImageView(viewer, image).shape == identity.shape]
    if not fitting:
        reason = "has another shape now" if images else "is not there any more"
        msg = f"The session's image, {path}, {reason}; open {identity.name} yourself, then the session."
        raise ReadError(msg)
    return next((image for image in fitting if image.name == identity.name), fitting[0])


def _show(image: Image, look: Look) -> None:
    """Show an image as it was; what this napari does not know of stays as it is."""
    for name, value in look.items():
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            setattr(image, name, _as_given(value))


def _as_given(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value
