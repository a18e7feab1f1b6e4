"""What the controller needs of the layers of an image; no napari here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy.typing as npt
    from psygnal import SignalInstance

    from napari_sam2refiner.labels.backup import Block
    from napari_sam2refiner.labels.patch import Patch
    from napari_sam2refiner.planes.plane import PlaneIndex
    from napari_sam2refiner.planes.region import Part, Picture, Window
    from napari_sam2refiner.viewer.autosave import Identity
    from napari_sam2refiner.viewer.channels import Channels
    from napari_sam2refiner.viewer.marks import Marks, Region
    from napari_sam2refiner.viewer.objects import Color, Described, Names
    from napari_sam2refiner.viewer.segmenter import PlaneSource
    from napari_sam2refiner.viewer.state import Overlap


class Written(Protocol):
    """A change of the result layer."""

    def undo(self) -> None:
        """Take it back, but nothing that the user painted since."""

    def redo(self) -> None:
        """Make it again."""

    @property
    def size(self) -> int:
        """Bytes that are kept of it."""


class WrittenMask(Written, Protocol):
    """A mask that was written into the result layer."""

    @property
    def pixels(self) -> int:
        """How many pixels the object has on the plane."""


class WrittenObjects(Written, Protocol):
    """Several new objects that were written into the result layer at once."""

    @property
    def areas(self) -> Mapping[int, int]:
        """How many pixels each has, by id; those without any are left out."""


class Canvas(Protocol):
    """The layers of one image, and where the user is in it. Plane coordinates are (y, x) pixels."""

    marks_changed: SignalInstance
    plane_changed: SignalInstance
    image_changed: SignalInstance
    image_renamed: SignalInstance
    image_removed: SignalInstance
    layer_lost: SignalInstance
    labels_changed: SignalInstance
    names_changed: SignalInstance
    line_drawn: SignalInstance

    @property
    def channels(self) -> Channels:
        """What is looked at together with the image."""

    @property
    def exists(self) -> bool:
        """Whether the image is still in the viewer."""

    @property
    def name(self) -> str:
        """The image's name."""

    @property
    def source(self) -> PlaneSource:
        """Where its planes come from."""

    @property
    def obstacle(self) -> str:
        """Why this view cannot be clicked; empty when it can."""

    @property
    def plane(self) -> PlaneIndex:
        """The plane that is shown."""

    @property
    def marks(self) -> dict[PlaneIndex, Marks]:
        """What is marked, by plane; planes without a mark may be left out."""

    @property
    def extent(self) -> tuple[float, float] | None:
        """How many rows and columns of the plane are on the screen; None where that is not known."""

    def shape_of(self, plane: PlaneIndex) -> tuple[int, int]:
        """Return rows and columns of a plane; no pixels where the image has no such plane."""

    def attach(self) -> None:
        """Put the layers into the viewer."""

    def detach(self) -> None:
        """Take them out, all but the result; they keep what they hold."""

    def close(self) -> None:
        """Detach, and take no more notice of the image."""

    def go_to(self, plane: PlaneIndex) -> None:
        """Show a plane."""

    def start_clicking(self) -> None:
        """Make the next click on the image a point."""

    def start_boxing(self) -> None:
        """Make the next drag on the image a box."""

    def start_scribbling(self) -> None:
        """Make the next drag on the image a scribble."""

    @property
    def is_boxing(self) -> bool:
        """Whether the next drag on the image is a box."""

    @property
    def is_scribbling(self) -> bool:
        """Whether the next drag on the image is a scribble."""

    def set_next(self, *, positive: bool, object_id: int, apart: bool) -> None:
        """Say what the next mark is, and whether each box is an object of its own."""

    def write_marks(self, plane: PlaneIndex, marks: Marks, first_id: int) -> None:
        """Replace what is marked on a plane; its objects are numbered from there."""

    def show_preview(self, plane: PlaneIndex, mask: Part | Picture | None) -> None:
        """Show a mask on a plane, or a picture of several objects, numbered from 1, or none."""

    def bring_back(self, layer: Any) -> None:
        """Put a deleted result layer into the viewer again."""

    def take_away(self, layer: Any) -> None:
        """Take a result layer out of the viewer."""

    def next_id(self) -> int:
        """Return the next free id of the result layer."""

    def fill(self, blocks: Sequence[tuple[Block, npt.NDArray[Any]]]) -> Written:
        """Write labels into blocks of the result layer, one plane high, where there are none; all or nothing."""

    kept_in: Path | None
    """Where the result layer is kept, as it says itself."""

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """All labels of the result layer; None where there is no such layer."""

    @property
    def has_result(self) -> bool:
        """Whether anything was ever written into the result layer, as far as it is known."""

    @property
    def identity(self) -> Identity:
        """Which image it is."""

    def labels_on(self, plane: PlaneIndex) -> npt.NDArray[Any] | None:
        """Return a view (Y, X) of the result layer's labels of a plane; None where there is no such layer."""

    def colors_of(self, ids: Sequence[int]) -> list[Color]:
        """Return the colours that labels have in the result layer; none where there is no such layer."""

    def write_mask(
        self,
        plane: PlaneIndex,
        mask: Part,
        object_id: int,
        overlap: Overlap,
        instead_of: Part | None = None,
    ) -> WrittenMask:
        """Write a mask into the result layer, instead of what it had of this object on the plane."""

    def write_objects(self, plane: PlaneIndex, picture: Picture, overlap: Overlap) -> WrittenObjects:
        """Write several new objects into the result layer, at once; their numbers in the picture are their ids."""

    def outline_label(self, layer: Any = None) -> tuple[str, tuple[Region, ...]]:
        """Return what to call a label of other labels on the plane that is shown, and its outline.

        Of a layer its selected label, by default the one under the mouse in the uppermost that can be seen. Raises a
        `SAM2RefinerError` where there is none, or the layer does not fit.
        """

    def read_prompts(self, layers: Sequence[Any]) -> dict[PlaneIndex, Marks]:
        """Return what is marked in layers of the user's, by plane.

        Raises a `SAM2RefinerError` where nothing is, or they do not fit.
        """

    def write_labels(self, plane: PlaneIndex, act: Callable[[npt.NDArray[Any]], Patch]) -> Written:
        """Change the result layer's labels (Y, X) of a plane by an act, which returns what it changed."""

    @property
    def parents(self) -> Mapping[int, int]:
        """Which objects of the result came of which, by id."""

    @property
    def names(self) -> Names:
        """Names and classes of objects, as the result layer has them; another mapping after each change."""

    def describe(self, described: Mapping[int, Described]) -> None:
        """Note in the result layer what is known of objects."""

    def start_cutting(self) -> None:
        """Make the next drag on the image a line that objects are cut along."""

    @property
    def is_cutting(self) -> bool:
        """Whether the next drag on the image is such a line."""

    def place_of(self, plane: PlaneIndex, object_id: int) -> Window | None:
        """Return rows and columns that hold all of an object of the result layer; None where all of the plane may."""

    def center_on(self, plane: PlaneIndex, object_id: int) -> None:
        """Show an object of the result layer in the middle of the view."""

    @property
    def object_under_mouse(self) -> int:
        """Id of the object that the mouse is on, 0 where there is none."""
