"""Labels that objects are followed in, frame by frame."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.labels.write import replace_objects
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.layers.pair import LabelledPair
from napari_sam2refiner.viewer.layers.result import WrittenPatches
from napari_sam2refiner.viewer.layers.source import ArraySource
from napari_sam2refiner.viewer.layers.view import finest
from napari_sam2refiner.viewer.segmenter import FollowRequest, Written
from napari_sam2refiner.viewer.state import StackAxis

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari_sam2refiner.viewer.state import Direction


class FollowedLabels(LabelledPair):
    """Labels and their image in a viewer, which show objects on one frame and take them on all others."""

    @property
    def obstacle(self) -> str:
        """Why nothing can be followed in this view, with the remedy; empty when it can."""
        if super().obstacle:
            return super().obstacle
        if not self.axes:
            return f"{self._image.name} has shape {self._shape} and no frames; choose a time-lapse or a z-stack."
        if self._labels.multiscale:
            return f"{self.name} is a pyramid; copy its finest level into a layer of its own, and choose that."
        if not isinstance(self._array, np.ndarray) or not self._array.flags.writeable:
            return f"{self.name} cannot be written; copy it in the layer list, and choose the copy."
        return ""

    @property
    def loss(self) -> str:
        """What has become of a layer, so that there is nothing to write; empty when nothing."""
        if not super().loss and finest(self._labels) is not self._array:
            return f"{self.name} holds another array now"
        return super().loss

    @property
    def key(self) -> Hashable:
        """Another value for another image or other labels."""
        return str(self._image.unique_id), id(self._view.array), str(self._labels.unique_id), id(self._array)

    @property
    def axes(self) -> tuple[StackAxis, ...]:
        """Those that frames may follow each other on: longer than 1 and not on display."""
        lead = self._viewer.dims.ndim - len(self._shape)
        names = self._viewer.dims.axis_labels
        return tuple(
            StackAxis(axis, str(names[axis + lead]), size)
            for axis, size in enumerate(self._shape)
            if axis not in self._view.axes and size > 1
        )

    def planes(self, axis: int) -> tuple[PlaneIndex, ...]:
        """Return the planes along an axis; the other steps are those that are shown."""
        plane = self.plane
        return tuple(_at(plane, axis, step) for step in range(self._shape[axis]))

    def request(
        self, axis: int, frames: range, direction: Direction, written: Written, *, early_stop: bool
    ) -> FollowRequest:
        """Return what to ask for: the objects of the plane that is shown, on these frames."""
        planes = self.planes(axis)
        return FollowRequest(
            self.key,
            ArraySource(self._view.array),
            planes,
            ArraySource(self._array),
            tuple(map(self._label_plane, planes)),
            self.plane.steps[axis],
            frames,
            direction,
            early_stop,
            written,
        )

    def write(self, plane: PlaneIndex, labels: npt.NDArray[Any], ids: Iterable[int]) -> WrittenPatches:
        """Write objects into a plane; other objects keep their pixels."""
        plane = self._label_plane(plane)
        patch = replace_objects(plane.get(self._array), labels, ids)
        if patch.changed and plane == self._label_plane(self.plane):
            self._labels.refresh()
        on_change = partial(self._on_written, self._labels, plane, patch.window)
        if patch.changed:
            on_change()
        return WrittenPatches(self._labels, ((plane, patch),), on_change)

    def go_to(self, plane: PlaneIndex) -> None:
        """Show a plane."""
        self._view.go_to(plane)

    def _label_plane(self, plane: PlaneIndex) -> PlaneIndex:
        return self._view.as_label_plane(plane)


def _at(plane: PlaneIndex, axis: int, step: int) -> PlaneIndex:
    steps = (*plane.steps[:axis], step, *plane.steps[axis + 1 :])
    return PlaneIndex(steps, plane.displayed, plane.channel_axis)
