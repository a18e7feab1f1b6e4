"""Where weight files lie, and whether what lies there is what it should be; no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pooch

from napari_sam2refiner.errors import IntegrityError
from napari_sam2refiner.weights.registry import Entry, Kind, entries, find_entry

FOLDER_VARIABLE = "NAPARI_SAM2REFINER_WEIGHTS"
PACKAGE_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Listing:
    """What a user wants to know of a model before choosing it.

    Attributes
    ----------
    name : str
    kind : {"base", "refiner", "memory"}
    size : int
        Bytes of the file.
    on_disk : bool
        Whether the model can be had without a network.
    note : str
        What it is, in a few words.
    has_refiner : bool
        Of a base: whether a refiner has been trained for it.
    """

    name: str
    kind: Kind
    size: int
    on_disk: bool
    note: str
    has_refiner: bool


def folder() -> Path:
    """Return the folder of downloaded weights: the environment variable's (an offline mirror), or the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("napari-sam2refiner") / "weights"


def location(entry: Entry) -> Path:
    """Return where a model's file lies or would lie."""
    return (PACKAGE_FOLDER if entry.embedded else folder()) / entry.file


def find_path(name: str) -> Path:
    """Return where the file of a named model lies or would lie.

    Raises
    ------
    UnknownModelError
        If no model has that name.
    """
    return location(find_entry(name))


def matches(path: Path, entry: Entry) -> bool:
    """Whether a file has a model's size and checksum."""
    return path.stat().st_size == entry.size and pooch.file_hash(str(path), alg="sha256") == entry.sha256


def verify(path: Path, entry: Entry) -> None:
    """Raise unless a file has a model's size and checksum.

    Raises
    ------
    IntegrityError
        If it has not, or is missing; the message says how to replace it.
    """
    if not path.is_file():
        msg = f"weight file {path} is missing; {_remedy(entry)}"
        raise IntegrityError(msg)
    if not matches(path, entry):
        msg = (
            f"weight file {path} is truncated or altered ({path.stat().st_size} bytes, {entry.size} expected, "
            f"with sha256 {entry.sha256[:12]}…); {_remedy(entry)}"
        )
        raise IntegrityError(msg)


def available() -> tuple[Listing, ...]:
    """Return every listed model, with whether it is on disk; files are not opened, so that this is quick."""
    return tuple(Listing(e.name, e.kind, e.size, _is_on_disk(e), _note(e), e.refiner) for e in entries())


def _is_on_disk(entry: Entry) -> bool:
    path = location(entry)
    return path.is_file() and path.stat().st_size == entry.size


def _note(entry: Entry) -> str:
    """Say what a model is."""
    if entry.kind == "memory":
        return "follows objects through stacks, comes with the package"
    if entry.kind == "refiner":
        return f"refiner of {entry.backbone}, where it is asked for"
    if entry.embedded:
        about = "small, for microscopy, comes with the package"
        return about if entry.refiner else f"{about}; unrefined"
    if entry.refiner:
        return "SAM 2.1 with a trained refiner"
    return "SAM 2.1, refiner untrained: plain SAM 2.1"


def _remedy(entry: Entry) -> str:
    """Say how to get an intact file."""
    if entry.embedded:
        return "reinstall napari-sam2refiner."
    return f"run `napari-sam2refiner weights fetch {entry.name}`, or download {entry.urls[0]} and put it there."
