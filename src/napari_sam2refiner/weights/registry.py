"""The models that can be named: `registry.toml`, validated. Torch is not needed to read it."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from napari_sam2refiner.errors import UnknownModelError

Backbone = Literal[
    "any", "micro", "sam2.1_hiera_tiny", "sam2.1_hiera_small", "sam2.1_hiera_base_plus", "sam2.1_hiera_large"
]
Kind = Literal["base", "refiner", "memory"]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
FileName = Annotated[str, StringConstraints(pattern=r"^[\w.+-]+\.(pt|safetensors)$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


class Entry(BaseModel):
    """One weight file.

    Attributes
    ----------
    name : str
        What users call it.
    backbone : str
        Builder of the network that the weights fit; "any" for a memory, which fits all.
    kind : {"base", "refiner", "memory"}
        Whether it holds a base (with or without its refiner), a refiner alone or a window memory.
    file : str
        File name, in the package or the cache folder.
    size : int
        Bytes.
    sha256 : str
        Of the file, in hexadecimal.
    urls : tuple of str
        Where to get it; the first that answers is taken. None for an embedded file.
    embedded : bool
        Whether the file comes with the package.
    refiner : bool
        Whether the file of a base also holds its trained refiner.
    licence, citation, trained_on : str
        Of the weights, not of the code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    backbone: Backbone
    kind: Kind
    file: FileName
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256
    urls: tuple[Url, ...]
    embedded: bool = False
    refiner: bool = False
    licence: Text
    citation: Text
    trained_on: Text

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.embedded == bool(self.urls):
            msg = f"model {self.name!r} must either be embedded or have URLs"
            raise ValueError(msg)
        return self


class Registry(BaseModel):
    """All entries, under the key `model`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: tuple[Entry, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for field in ("name", "file"):
            values = [getattr(entry, field) for entry in self.model]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                msg = f"{field} {twice[0]!r} is listed twice"
                raise ValueError(msg)
        return self


@cache
def registry() -> Registry:
    """Read the packaged registry, once."""
    text = (files("napari_sam2refiner.weights") / "registry.toml").read_text(encoding="utf-8")
    return Registry.model_validate(tomllib.loads(text))


def entries(kind: Kind | None = None) -> tuple[Entry, ...]:
    """Return the listed models, all or of one kind."""
    return tuple(entry for entry in registry().model if kind in (None, entry.kind))


def find_entry(name: str) -> Entry:
    """Return the model of that name.

    Raises
    ------
    UnknownModelError
        If there is none; the message suggests the nearest names.
    """
    names = [entry.name for entry in entries()]
    if name in names:
        return entries()[names.index(name)]
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    suggestion = f"did you mean {' or '.join(map(repr, near))}?" if near else f"choose one of {', '.join(names)}."
    msg = f"there is no model named {name!r} and no weight file at that path; {suggestion}"
    raise UnknownModelError(msg)
