"""A session in one file: the result, the prompts and how the image was shown, to go on with later or elsewhere.

A zip of what is kept of the work on an image (`viewer/autosave.py`), and `view.json`. No Qt, napari or torch here.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError

from napari_sam2refiner.errors import ReadError, SAM2RefinerError
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.autosave import Identity, Restored, read, read_identity, write
from napari_sam2refiner.viewer.segmenter import Job, Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2refiner.viewer.autosave import OriginsByObject
    from napari_sam2refiner.viewer.drafts import Draft
    from napari_sam2refiner.viewer.loader import Submit
    from napari_sam2refiner.viewer.objects import Names
    from napari_sam2refiner.viewer.work import Work

SUFFIX = ".sam2refiner"
VIEW = "view.json"

Look = dict[str, Any]
"""How an image is shown: its place, contrast and colours, as plain values."""


class _View(BaseModel):
    look: Look
    steps: tuple[int, ...]
    displayed: tuple[int, int]
    channel_axis: int | None


class Session(NamedTuple):
    """A session that was read: of which image, how it was shown, which plane, and what was done."""

    identity: Identity
    look: Look
    plane: PlaneIndex
    restored: Restored


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The work on an image, as it is now; labels are those that are painted on."""

    identity: Identity
    look: Look
    plane: PlaneIndex
    labels: npt.NDArray[Any] | None
    drafts: Mapping[PlaneIndex, Draft]
    origins: OriginsByObject
    names: Names


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SessionFiles:
    """Saves the work at hand, and opens what was saved.

    Attributes
    ----------
    submit : callable
        Takes a job and what to call with its outcome.
    at_hand : callable
        Returns the work at hand, None where there is none.
    look_of : callable
        Returns how the image at hand is shown.
    find_image : callable
        Takes identity and look; returns that image in the viewer, opened where it is not there. Raises a
        `SAM2RefinerError` where it cannot be had.
    choose_image : callable
        Makes an image the one at hand.
    bring_back : callable
        Takes up, undoably, what was done.
    say, fail : callable
        Take one sentence.
    """

    submit: Submit
    at_hand: Callable[[], Work | None]
    look_of: Callable[[], Look]
    find_image: Callable[[Identity, Look], Any]
    choose_image: Callable[[Any], None]
    bring_back: Callable[[Work, Restored, str], None]
    say: Callable[[str], None]
    fail: Callable[[str], None]

    def save(self, path: Path) -> None:
        """Save the work at hand, off this thread."""
        work = self.at_hand()
        drafts = {} if work is None else {p: one for p, one in work.drafts.items() if one.marks or one.reopened}
        if work is None or not (drafts or work.canvas.has_result):
            self.say("There is nothing to save yet: click on an object first.")
            return
        canvas = work.canvas
        labels = canvas.labels if canvas.has_result else None
        known = dict(work.origins.known)
        now = Snapshot(canvas.identity, self.look_of(), canvas.plane, labels, drafts, known, dict(canvas.names))
        self.submit(Job("restore", lambda _: save(path, now)), partial(self._on_saved, path))
        self.say(f"Saving {path.name} ...")

    def open(self, path: Path) -> None:
        """Go on with a session that was saved."""
        self.submit(Job("restore", lambda _: load(path)), partial(self._on_loaded, path))
        self.say(f"Opening {path.name} ...")

    def _on_saved(self, path: Path, outcome: Outcome) -> None:
        if outcome.error:
            self.fail(outcome.error)
        else:
            self.say(f"Saved as {path.name}.")

    def _on_loaded(self, path: Path, outcome: Outcome) -> None:
        if outcome.error:
            self.fail(outcome.error)
            return
        session: Session = outcome.value
        try:
            image = self.find_image(session.identity, session.look)
        except SAM2RefinerError as error:
            self.fail(str(error))
            return
        self.choose_image(image)
        work = self.at_hand()
        if work is not None:
            work.canvas.go_to(session.plane)
            self.bring_back(work, session.restored, f"Went on with {path.name}.")


def save(path: Path, now: Snapshot) -> None:
    """Write a session, whole or not at all.

    Raises
    ------
    SaveError
        If it cannot be written; the message has the file and the reason.
    """
    plane = now.plane
    view = _View(look=now.look, steps=plane.steps, displayed=plane.displayed, channel_axis=plane.channel_axis)
    with written_whole(path) as partial_path, TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, now.identity, now.labels, now.drafts, now.origins, now.names)
        (folder / VIEW).write_text(view.model_dump_json(), encoding="utf-8")
        with zipfile.ZipFile(partial_path, "w") as archive:  # the labels' chunks are compressed already
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))


def load(path: Path) -> Session:
    """Read a session.

    Raises
    ------
    ReadError
        If the file is not there, no session, or damaged.
    """
    try:
        with TemporaryDirectory() as name, zipfile.ZipFile(path) as archive:
            folder = Path(name)
            archive.extractall(folder)
            identity = read_identity(folder)
            view = _View.model_validate_json((folder / VIEW).read_text(encoding="utf-8"))
            restored = read(folder)
    except (OSError, zipfile.BadZipFile, ValidationError, ReadError) as error:
        reason = error.strerror if isinstance(error, OSError) else ""
        reason = reason or "it is no session of SAM2Refiner, or damaged"
        msg = f"{path} cannot be opened ({reason}); choose another file."
        raise ReadError(msg) from error
    return Session(identity, view.look, PlaneIndex(view.steps, view.displayed, view.channel_axis), restored)
