"""Where an image is in the viewer and which plane of it is shown; reads layers, makes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.planes.plane import MOST_DIMENSIONS, PlaneIndex
from napari_sam2refiner.viewer.autosave import Identity

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer


TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class ImageView:
    """An image, and where the user is in it. Planes are those of the image's data, in the order of its axes.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer = viewer
        self._image = image

    @property
    def array(self) -> Any:
        """The pixels; of a pyramid, its finest level."""
        return finest(self._image)

    @property
    def extent(self) -> tuple[float, float] | None:
        """How many rows and columns of the plane are on the screen; None where nothing was drawn yet."""
        corners = np.asarray(self._image.corner_pixels, dtype=np.float64)
        if corners.shape[1] <= max(self.axes):  # the image has just got other dimensions
            return None
        if self._image.multiscale:
            corners = corners * np.asarray(self._image.downsample_factors)[self._image.data_level]
        height, width = (float(corners[1][axis] - corners[0][axis]) for axis in self.axes)
        return (height, width) if max(height, width) > 0 else None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape without the colours."""
        return tuple(self.array.shape[: self._image.ndim])

    @property
    def identity(self) -> Identity:
        """Which image it is."""
        path = self._image.source.path
        return Identity(name=str(self._image.name), source=None if path is None else str(path), shape=self.shape)

    @property
    def obstacle(self) -> str:
        """Why nothing can be done in this view, with the remedy; empty when it can."""
        if self._image.ndim > MOST_DIMENSIONS:
            return f"This image has {self._image.ndim} dimensions; split it to at most {MOST_DIMENSIONS}."
        if self._viewer.dims.ndisplay != 2:
            return "Switch to the 2D view (the cube button below the layer list)."
        if self._displayed() is None:
            return "This view does not show a plane of the image; roll its axes back."
        steps = self._steps()
        others = [axis for axis in range(self._image.ndim) if axis not in self.axes]
        if any(not 0 <= steps[axis] < self.shape[axis] for axis in others):
            return "The slider has left this image; move it back to click."
        return ""

    @property
    def plane(self) -> PlaneIndex:
        """The plane that is shown, or the nearest."""
        steps = zip(self._steps(), self.shape, strict=True)
        return self.plane_at([min(max(step, 0), size - 1) for step, size in steps], self.axes)

    @property
    def axes(self) -> tuple[int, int]:
        """The axes of rows and columns of that plane."""
        return self._displayed() or (self._image.ndim - 2, self._image.ndim - 1)

    def plane_at(self, steps: Sequence[int], axes: tuple[int, int]) -> PlaneIndex:
        """Return the plane that two axes span at these steps."""
        inside = tuple(0 if axis in axes else step for axis, step in enumerate(steps))
        return PlaneIndex((*inside, 0), axes, self._image.ndim) if self._image.rgb else PlaneIndex(inside, axes)

    def shape_of(self, plane: PlaneIndex) -> tuple[int, int]:
        """Return rows and columns of a plane; no pixels where the image has no such plane."""
        rows, columns = plane.displayed
        steps = zip(plane.steps, self.shape, strict=False)
        return (self.shape[rows], self.shape[columns]) if all(0 <= step < size for step, size in steps) else (0, 0)

    def as_label_plane(self, plane: PlaneIndex) -> PlaneIndex:
        """Return the plane in an array without colours."""
        return PlaneIndex(plane.steps[: self._image.ndim], plane.displayed)

    def expand(self, plane: PlaneIndex, corners: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64]:
        """Return plane pixels as data coordinates of the image."""
        data = np.tile(np.array(plane.steps[: self._image.ndim], dtype=np.float64), (len(corners), 1))
        data[:, list(plane.displayed)] = np.reshape(np.array(corners, dtype=np.float64), (-1, 2))
        return data

    def go_to(self, plane: PlaneIndex) -> None:
        """Show a plane."""
        if self._image not in self._viewer.layers or (plane == self.plane and not self.obstacle):
            return
        dims, ndim = self._viewer.dims, self._image.ndim
        lead = dims.ndim - ndim
        others = [axis for axis in range(ndim) if axis not in plane.displayed]
        if plane.displayed != self._displayed():
            behind = [axis for axis in dims.order if axis - lead not in plane.displayed]
            dims.order = (*behind, *(axis + lead for axis in plane.displayed))
        point = self._image.world_to_data(dims.point)
        for axis in others:
            point[axis] = plane.steps[axis]
        world = self._image.data_to_world(point)
        for axis in others:
            dims.set_point(axis + lead, world[axis])

    def center_on(self, plane: PlaneIndex, y: float, x: float) -> None:
        """Bring a place of a plane to the middle of the view."""
        dims, camera = self._viewer.dims, getattr(self._viewer, "scene", self._viewer).camera
        world = np.array(dims.point, dtype=np.float64)
        place = self._image.data_to_world(self.expand(plane, [(y, x)])[0])
        world[-len(place) :] = place
        shown = world[list(dims.displayed)]
        camera.center = (*camera.center[: 3 - len(shown)], *shown)

    @property
    def mouse(self) -> tuple[int, int]:
        """The pixel (y, x) of the plane that the mouse is nearest to; it may lie outside."""
        place = self._image.world_to_data(self._viewer.cursor.position)
        y, x = (round(float(place[axis])) for axis in self.axes)
        return y, x

    def _displayed(self) -> tuple[int, int] | None:
        """Return the axes on display, in the image's own order: a transposed view shows the same plane."""
        lead = self._viewer.dims.ndim - self._image.ndim
        axes = tuple(sorted(axis - lead for axis in self._viewer.dims.displayed[-2:]))
        return cast("tuple[int, int]", axes) if len(axes) == 2 and min(axes) >= 0 else None

    def _steps(self) -> list[int]:
        return [round(float(step)) for step in self._image.world_to_data(self._viewer.dims.point)]


def finest(layer: Image | Labels) -> Any:
    """Return the data of a layer; of a pyramid, its finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def levels_of(layer: Image) -> tuple[Any, ...]:
    """Return the pixels, and of a pyramid all smaller versions of them."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def lie_on_each_other(one: Layer, other: Layer) -> bool:
    """Return whether the same pixels of two layers of one shape are in the same place, to half a pixel."""
    corners = np.concatenate([np.zeros((1, one.ndim)), np.diag(finest(other).shape)])
    return all(np.allclose(one.world_to_data(other.data_to_world(c)), c, rtol=0, atol=0.5) for c in corners)


def explain_misfit(image: Image, labels: Labels) -> str:
    """Say why labels are not labels of an image, with the remedy; nothing where they are."""
    shape, wanted = tuple(finest(labels).shape), tuple(finest(image).shape[: image.ndim])
    if shape != wanted:
        seen = f"{labels.name} has shape {shape} but {image.name} has {wanted}"
        return f"{seen}; choose labels and an image of the same shape."
    if not lie_on_each_other(image, labels):
        return f"{labels.name} does not lie on {image.name}; give both layers the same scale, translation and rotation."
    return ""
