"""Objects as all formats have them: labels, and what is known of each object."""

from __future__ import annotations

import importlib
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_sam2refiner.errors import InvalidConfigError, InvalidLabelsError

if TYPE_CHECKING:
    from napari_sam2refiner.planes.region import Part

Labels = npt.NDArray[Any]

AXES = ("YX", "TYX", "ZYX", "TZYX")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledObjects:
    """Labels, and what is known of the objects by their ids.

    An object of a time-lapse has its id on all frames; so has one of a z-stack, on all planes.

    Attributes
    ----------
    labels : (Y, X), (T, Y, X), (Z, Y, X) or (T, Z, Y, X) integer array
        0 is background.
    axes : str
        A letter for each axis.
    classes : mapping of int to str
    scores : mapping of int to float
    parents : mapping of int to int
        Which objects came of which, by division say.
    scale : tuple of float, optional
        Size of a pixel along each axis: micrometres, and seconds.
    image : array, optional
        Intensities, of the labels' shape, or with channels behind it.
    image_name : str
        Of the image's file.
    note : str
        What was lost when they were read, as one sentence.
    names : mapping of int to str
        What people call single objects.

    Raises
    ------
    InvalidLabelsError
        If these are no labels, or the axes or the image do not fit them.
    """

    labels: Labels
    axes: str = "YX"
    classes: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    parents: Mapping[int, int] = field(default_factory=dict)
    scale: tuple[float, ...] | None = None
    image: npt.NDArray[Any] | None = None
    image_name: str = ""
    note: str = ""
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what fits what."""
        labels, seen = self.labels, f"the labels have shape {self.labels.shape} and dtype {self.labels.dtype}"
        if self.axes not in AXES or len(self.axes) != labels.ndim:
            msg = f"{seen}, with axes {self.axes!r}; give labels with axes {', '.join(AXES)}."
            raise InvalidLabelsError(msg)
        if labels.dtype.kind not in "biu" or not labels.size or labels.min() < 0:
            msg = f"{seen}; labels are integers, 0 for background and more for objects."
            raise InvalidLabelsError(msg)
        if self.image is not None and self.image.shape[: labels.ndim] != labels.shape:
            msg = f"{seen}, but the image has shape {self.image.shape}; they must agree."
            raise InvalidLabelsError(msg)
        if self.scale is not None and (len(self.scale) != labels.ndim or min(self.scale) <= 0):
            msg = f"{seen}, but the pixel size is {self.scale}; give a positive number for each axis of {self.axes}."
            raise InvalidLabelsError(msg)

    @property
    def known(self) -> dict[str, Mapping[int, Any]]:
        """What is known of the objects, as tables call it: name, class, score and parent."""
        return {"name": self.names, "class": self.classes, "score": self.scores, "parent": self.parents}

    def known_of(self, object_id: int) -> dict[str, Any]:
        """Return what is known of an object; what is not is left out."""
        return {what: values[object_id] for what, values in self.known.items() if object_id in values}

    @property
    def pixel_size(self) -> tuple[float, ...]:
        """Size of a pixel along each axis, 1 where it is not known."""
        return self.scale or (1.0,) * len(self.axes)

    @property
    def frames(self) -> Sequence[Labels]:
        """The labels of each point in time: planes or volumes; all there are, where nothing moves."""
        return list(self.labels) if self.axes.startswith("T") else [self.labels]

    @property
    def space(self) -> str:
        """The axes of a frame."""
        return self.axes.removeprefix("T")

    def planes(self) -> Iterator[tuple[tuple[int, ...], Labels]]:
        """Give each plane (Y, X), with its index along each other axis."""
        for steps in itertools.product(*map(range, self.labels.shape[:-2])):
            yield steps, self.labels[steps]


def boxes_in(labels: Labels) -> dict[int, tuple[slice, ...]]:
    """Return the box of each object in an array of any dimensions, by its id; ids may be of any size."""
    ids, places = np.unique(labels, return_inverse=True)
    numbered = places.reshape(labels.shape) + int(ids[0] != 0)
    boxes = ndimage.find_objects(numbered)
    return {int(n): box for n, box in zip(ids[ids > 0], boxes, strict=True)}


def guess_axes(ndim: int) -> str:
    """Return the axes that labels of so many dimensions have if nobody says otherwise; stacks are time-lapses.

    Raises
    ------
    InvalidLabelsError
        If they have none.
    """
    known = {len(axes): axes for axes in reversed(AXES)}
    if ndim not in known:
        msg = f"the labels have {ndim} axes; give labels with axes {', '.join(AXES)}."
        raise InvalidLabelsError(msg)
    return known[ndim]


def one_line(text: str) -> str:
    """Return a text for where line breaks and control characters have no place."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class Sheet:
    """Labels that objects are put into one after another; an earlier one keeps its pixels.

    Parameters
    ----------
    shape : tuple of int
    most : int
        The largest id.
    """

    def __init__(self, shape: tuple[int, ...], most: int) -> None:
        self.labels: Labels = np.zeros(shape, np.promote_types(np.uint16, np.min_scalar_type(most)))
        self._lost = 0

    @property
    def note(self) -> str:
        """What did not find room."""
        if not self._lost:
            return ""
        return f"Objects overlap in {self._lost:,} pixels, which labels cannot hold; the first of them has these."

    def put(self, steps: tuple[int, ...], part: Part, object_id: int) -> None:
        """Put an object into a plane."""
        region = self.labels[steps][part.window]
        self._lost += int(np.count_nonzero(part.pixels & (region != 0) & (region != object_id)))
        region[part.pixels & (region == 0)] = object_id


def load_library(module: str, name: str, what: str) -> Any:
    """Import a library that not everybody has.

    Parameters
    ----------
    module : str
    name : str
        By which it is installed.
    what : str
        The format that needs it.

    Raises
    ------
    InvalidConfigError
        If it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what it will drop itself
            return importlib.import_module(module)
    except ImportError as error:
        msg = f"{what} needs {name}; install it by: pip install 'napari-sam2refiner[export]'."
        raise InvalidConfigError(msg) from error
