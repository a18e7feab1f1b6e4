"""Prompts of several objects in a JSON file, validated; its schema is in docs/prompts-file.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_sam2refiner.errors import InvalidPromptError, ReadError, SAM2RefinerError
from napari_sam2refiner.labels.io import load_labels
from napari_sam2refiner.prompts import Prompts

Pair = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PromptedObject:
    """An object to segment.

    Attributes
    ----------
    object_id : int
        Its label in the result.
    prompts : Prompts
    frame : int
        Of a stack, that they are on.
    """

    object_id: int
    prompts: Prompts
    frame: int = 0


class ObjectEntry(BaseModel):
    """One object of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: (
        Annotated[int, Field(ge=1, lt=2**32, description="Label in the result; the next free one when left out.")]
        | None
    ) = None
    points: Annotated[tuple[Pair, ...], Field(description="Clicks as [y, x], in pixels.")] = ()
    labels: Annotated[
        tuple[Literal[0, 1], ...] | None,
        Field(description="1 for a positive point, 0 for a negative one; all positive when left out."),
    ] = None
    boxes: Annotated[tuple[Box, ...], Field(description="Boxes as [y0, x0, y1, x1], in pixels.")] = ()
    mask: Annotated[
        Path | None, Field(description="TIFF with a rough mask, nonzero inside; relative to this file's folder.")
    ] = None
    frame: Annotated[int, Field(ge=0, description="Frame of a stack that the prompts are on.")] = 0


class PromptsFile(BaseModel):
    """Prompts of several objects of one plane, or of a stack."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[Literal[1], Field(description="Version of this layout.")]
    objects: Annotated[tuple[ObjectEntry, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [(entry.id, entry.frame) for entry in self.objects if entry.id is not None]
        twice = sorted({value for value in ids if ids.count(value) > 1})
        if twice:
            (number, frame), *_ = twice
            msg = f"id {number} is given to two objects" + (f" of frame {frame}" if frame else "")
            raise ValueError(msg)
        return self


def read_prompts_file(path: Path) -> list[PromptedObject]:
    """Read the objects of a prompts file.

    Raises
    ------
    ReadError
        If the file, or a mask that it names, cannot be read.
    InvalidPromptError
        If it does not follow the schema, or prompts contradict themselves; the message names the first.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"prompts file {path} cannot be read: {error}; give a JSON file."
        raise ReadError(msg) from error
    try:
        content = PromptsFile.model_validate_json(text)
    except ValidationError as error:
        raise InvalidPromptError(_sentence(path, error)) from error
    taken = {entry.id for entry in content.objects}
    free = iter(number for number in range(1, 2 * len(content.objects) + 1) if number not in taken)
    return [
        PromptedObject(next(free) if entry.id is None else entry.id, _prompts(path, number, entry), entry.frame)
        for number, entry in enumerate(content.objects)
    ]


def _prompts(path: Path, number: int, entry: ObjectEntry) -> Prompts:
    """Return an entry's prompts."""
    try:
        mask = None if entry.mask is None else load_labels(path.parent / entry.mask)
        return Prompts(entry.points, entry.labels, entry.boxes, mask)
    except SAM2RefinerError as error:
        msg = f"prompts file {path}, objects[{number}]: {error}"
        raise type(error)(msg) from error


def _sentence(path: Path, error: ValidationError) -> str:
    """Say what is wrong first, and where."""
    first, *others = error.errors()
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    more = f" (and {len(others)} more)" if others else ""
    where = f" at {place}" if place else ""
    return f"prompts file {path}{where}: {first['msg']}{more}; see docs/prompts-file.md for the schema."
