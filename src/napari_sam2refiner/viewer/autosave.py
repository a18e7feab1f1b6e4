"""What users do is kept on disk within two seconds, off the GUI thread, for after a crash or a closed window.

A folder for each image that was worked on: `about.json` (which image), `labels.zarr` (its result), `prompts.json` (of
the objects at hand, and of those that were kept, with the names of these). No Qt, napari or torch here.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import platformdirs
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_sam2refiner.errors import ReadError
from napari_sam2refiner.labels.backup import Block, LabelsBackup, holds_labels
from napari_sam2refiner.labels.write import ids_in
from napari_sam2refiner.planes.files import written_whole
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.marks import Marks, Region, RegionKind
from napari_sam2refiner.viewer.objects import Named, Names, Origin

if TYPE_CHECKING:
    from napari_sam2refiner.viewer.drafts import Draft

ABOUT, LABELS, CONTENTS, LOCK = "about.json", "labels.zarr", "prompts.json", ".lock"
FOLDER_VARIABLE = "NAPARI_SAM2REFINER_STATE"
DELAY = 0.5  # seconds in which acts are gathered
AGAIN = 5.0  # seconds after which what could not be written is tried again
LAST_WORDS = 2.0  # seconds that closing waits for what is not kept yet
LARGEST_ID = 2**32 - 1  # that a result holds
KEPT_DAYS, KEPT_FOLDERS = 30, 50  # older work than this, and more of it, is thrown away


class Identity(BaseModel):
    """Which image was worked on: its name, the file it comes from, and its shape without colours."""

    model_config = ConfigDict(frozen=True)

    name: str
    source: str | None
    shape: tuple[int, ...]

    def is_same(self, other: Identity) -> bool:
        """Return whether it is the same image, as far as one can tell; the channels of a file have other names."""
        is_elsewhere = None not in (self.source, other.source) and self.source != other.source
        return (self.name, self.shape) == (other.name, other.shape) and not is_elsewhere


class _Plane(BaseModel):
    steps: tuple[int, ...]
    displayed: tuple[int, int]
    channel_axis: int | None

    def index(self) -> PlaneIndex:
        return PlaneIndex(self.steps, self.displayed, self.channel_axis)


class _Region(BaseModel):
    kind: RegionKind
    corners: tuple[tuple[float, float], ...]
    positive: bool = True


class _Marks(BaseModel):
    points: tuple[tuple[float, float, bool], ...]
    regions: tuple[_Region, ...]

    @classmethod
    def of(cls, marks: Marks) -> _Marks:
        regions = (_Region(kind=one.kind, corners=one.corners, positive=one.positive) for one in marks.regions)
        return cls(points=marks.points, regions=tuple(regions))

    def marks(self) -> Marks:
        return Marks(self.points, tuple(Region(one.kind, one.corners, one.positive) for one in self.regions))


class _Entry(_Marks):
    """Prompts of one object, at hand or kept, and of others that were at hand with it."""

    plane: _Plane
    others: tuple[_Marks, ...] = ()
    object_id: int | None = None
    choice: int = 0
    score: float | None = None

    @classmethod
    def on(cls, plane: PlaneIndex, marks: Marks, **more: Any) -> _Entry:
        at = _Plane(steps=plane.steps, displayed=plane.displayed, channel_axis=plane.channel_axis)
        others = tuple(_Marks.of(one) for one in marks.others)
        return cls(**_Marks.of(marks).model_dump(), plane=at, others=others, **more)

    def marks(self) -> Marks:
        return replace(super().marks(), others=tuple(one.marks() for one in self.others))


class _Name(BaseModel):
    """What users call an object."""

    object_id: int
    name: str = ""
    kind: str = ""


class _Contents(BaseModel):
    at_hand: tuple[_Entry, ...] = ()
    kept: tuple[_Entry, ...] = ()
    names: tuple[_Name, ...] = ()  # not there in older work


@dataclass(frozen=True, slots=True)
class Prompted:
    """Prompts of an object at hand: its marks, which guess was chosen, and which object of the result it is."""

    marks: Marks
    choice: int
    object_id: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """Earlier work on an image: where it is, and when it was last added to (seconds since the epoch)."""

    folder: Path
    when: float


OriginsByObject = Mapping[tuple[PlaneIndex, int], Origin]


@dataclass(frozen=True, slots=True)
class Restored:
    """Earlier work, read.

    Attributes
    ----------
    blocks : tuple of (block, array)
        Labels, by where they are.
    at_hand : mapping of PlaneIndex to Prompted
    origins : mapping of (PlaneIndex, int) to Origin
        How objects came about, by plane and id.
    names : mapping of int to Named
        Names and classes of objects, by id.
    """

    blocks: tuple[tuple[Block, npt.NDArray[Any]], ...]
    at_hand: Mapping[PlaneIndex, Prompted]
    origins: OriginsByObject
    names: Names

    def numbered_after(self, last: int) -> Restored:
        """Return it with ids that begin after one that is taken."""
        blocks = tuple((block, labels + (labels > 0) * labels.dtype.type(last)) for block, labels in self.blocks)
        at_hand = {
            plane: replace(one, object_id=None if one.object_id is None else one.object_id + last)
            for plane, one in self.at_hand.items()
        }
        origins = {(plane, object_id + last): origin for (plane, object_id), origin in self.origins.items()}
        names = {object_id + last: named for object_id, named in self.names.items()}
        return Restored(blocks, at_hand, origins, names)

    def found_in(self, labels: npt.NDArray[Any]) -> tuple[Restored, int]:
        """Return what is left of it in labels that it was written into, and of how many objects nothing is.

        What was there before keeps its pixels; of an object that has none there is nothing to be named or reopened.
        """
        wanted, there = set[int](), set[int]()
        for block, given in self.blocks:
            wanted.update(ids_in(given))
            there.update(ids_in(np.where(labels[block] == given, given, 0)))
        origins = {key: origin for key, origin in self.origins.items() if key[1] in there}
        names = {object_id: named for object_id, named in self.names.items() if object_id in there}
        return replace(self, origins=origins, names=names), len(wanted - there)


@dataclass(slots=True, eq=False)
class _Pending:
    """What is not kept yet: of which labels, in which blocks (None: everywhere), and prompts."""

    labels: npt.NDArray[Any] | None = None
    blocks: list[Block] | None = field(default_factory=list)
    contents: Callable[[], _Contents] | None = None

    def add(self, labels: npt.NDArray[Any], block: Block | None) -> None:
        """Add a change of labels; those of another array before are void, and `block` is None then."""
        self.labels = labels
        if block is None or self.blocks is None:
            self.blocks = None
        elif block not in self.blocks:  # a brush says the same plane with every move
            self.blocks.append(block)


class Record:
    """What is kept of the work on one image.

    Parameters
    ----------
    autosave : Autosave
    identity : Identity
    folder : Path
    lock : FileLock, optional
        Of that folder, where it is held already.

    Attributes
    ----------
    folder : Path
    pending : _Pending
        Touched with `Autosave.changing` held.
    """

    def __init__(self, autosave: Autosave, identity: Identity, folder: Path, lock: FileLock | None) -> None:
        self.folder = folder
        self.pending = _Pending()
        self._autosave, self._identity = autosave, identity
        self._lock = lock
        self._backup: LabelsBackup | None = None
        self._touched: Callable[[], npt.NDArray[Any] | None] = lambda: None

    def touch(self, labels: npt.NDArray[Any], block: Block | None) -> None:
        """Labels have changed.

        Parameters
        ----------
        labels : (..., Y, X) integer array
            All of them; kept as they are when their turn comes.
        block : tuple of slice or None
            Where; None: anywhere.
        """
        with self._autosave.changing:
            is_same = self._touched() is labels
            self._touched = weakref.ref(labels)
            self.pending.add(labels, block if is_same else None)
            self._autosave.wake(self)

    def note(self, drafts: Mapping[PlaneIndex, Draft], origins: OriginsByObject, names: Names) -> None:
        """Prompts have changed, of objects at hand, by plane, or of those that were kept; or names of these."""
        drafts, origins = dict(drafts), dict(origins)  # the thread must see them as they are now
        with self._autosave.changing:
            self.pending.contents = lambda: _noted(drafts, origins, names)
            self._autosave.wake(self)

    def copy_contents(self, folder: Path) -> None:
        """Keep the prompts and names that another folder has, where they can be read."""
        with self._autosave.changing:
            self.pending.contents = lambda: _copied(folder)
            self._autosave.wake(self)

    def keep(self, pending: _Pending) -> None:
        """Keep what has changed; called by the thread alone, raises what a disk or a codec does."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._lock or _locked(folder)
        _write(folder / ABOUT, self._identity)  # its time is that of the latest change
        if pending.contents is not None:
            _write(folder / CONTENTS, pending.contents())
            pending.contents = None
        if pending.labels is not None:
            self._backup = self._backup or LabelsBackup(folder / LABELS)
            if not self._backup.fits(pending.labels):
                shutil.rmtree(folder / LABELS)
                self._backup, pending.blocks = LabelsBackup(folder / LABELS), None
            for block in [None] if pending.blocks is None else pending.blocks:
                self._backup.keep(pending.labels, block)
            pending.labels = None

    def close(self) -> None:
        """Let others see it; called by the thread alone."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class Autosave:
    """A thread that keeps what users do.

    Parameters
    ----------
    root : Path
        Folder of all that is kept.
    report : callable
        Takes one sentence about what went wrong, on the thread; once until it works again.

    Attributes
    ----------
    changing : Condition
        Held while anything that waits for the thread is changed.
    """

    def __init__(self, root: Path, report: Callable[[str], None]) -> None:
        self.root = root
        self.changing = threading.Condition()
        self._report = report
        self._waiting: dict[Record, None] = {}
        self._ending: list[Record] = []
        self._open: dict[Record, None] = {}
        self._is_closed = self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="sam2refiner-autosave", daemon=True)
        self._thread.start()

    def begin(self, identity: Identity, folder: Path | None = None) -> Record:
        """Return where the work on an image is kept: in an earlier folder where nobody is at that, or a new one."""
        lock = None if folder is None else _locked(folder)
        if folder is None or lock is None:
            folder = self.root / uuid.uuid4().hex
        record = Record(self, identity, folder, lock)
        with self.changing:
            self._open[record] = None
        return record

    def end(self, record: Record) -> None:
        """Let others see a record, when all of it is kept."""
        with self.changing:
            self._ending.append(record)
            self.changing.notify()

    def find(self, identity: Identity) -> Found | None:
        """Return the latest work on an image that nobody is at now; prompts alone count less than any labels."""
        found = []
        for folder, when, other in self._folders():
            if identity.is_same(other):
                has_labels = holds_labels(folder / LABELS)
                if has_labels or _has_prompts(folder):
                    found.append((has_labels, when, folder))
        free = (Found(folder, when) for _, when, folder in sorted(found, reverse=True) if _is_free(folder))
        return next(free, None)

    def wake(self, record: Record) -> None:
        """Have a record kept soon; called with `changing` held."""
        self._waiting[record] = None
        self.changing.notify()

    def close(self) -> None:
        """Keep what is not kept yet, and end; waits no longer than two seconds. May be called again."""
        with self.changing:
            self._is_closed = True
            self.changing.notify()
        self._thread.join(LAST_WORDS)

    def _run(self) -> None:
        with suppress(OSError):
            self._clean()
        while self._turn():
            pass
        for record in self._open:
            record.close()

    def _turn(self) -> bool:
        """Wait for something to keep, and keep it; return whether there may be more."""
        with self.changing:
            self.changing.wait_for(lambda: self._waiting or self._ending or self._is_closed)
            self.changing.wait_for(lambda: self._is_closed, AGAIN if self._has_failed else DELAY)
            due = [(record, record.pending) for record in self._waiting]
            ending, self._ending = self._ending, []
            self._waiting.clear()
            for record, _ in due:
                record.pending = _Pending()
            is_last = self._is_closed
        for record, pending in due:
            self._keep(record, pending)
        for record in ending:
            record.close()
            with self.changing:
                self._open.pop(record, None)
        return not is_last

    def _keep(self, record: Record, pending: _Pending) -> None:
        try:
            record.keep(pending)
        except Exception as error:  # the work must go on, whatever a disk or a codec does
            if not self._has_failed:
                reason = (error.strerror if isinstance(error, OSError) else None) or error
                lost = "what you do now would be lost in a crash, so save your layers"
                with suppress(Exception):  # whoever would show it may be gone
                    self._report(f"{record.folder} cannot be written ({reason}): {lost}.")
            self._has_failed = True
            with self.changing:
                later = record.pending
                later.contents = later.contents or pending.contents
                if pending.labels is not None:
                    later.labels = pending.labels if later.labels is None else later.labels
                    later.blocks = None
                self.wake(record)
        else:
            self._has_failed = False

    def _folders(self) -> list[tuple[Path, float, Identity]]:
        """Return what is kept, with when and of which image."""
        known = []
        for about in self.root.glob(f"*/{ABOUT}"):
            with suppress(OSError, ValidationError):
                known.append((about.parent, about.stat().st_mtime, read_identity(about.parent)))
        return known

    def _clean(self) -> None:
        """Throw away what is old, what is too much, and what holds nothing."""
        known = sorted(self._folders(), key=lambda one: -one[1])
        oldest = time.time() - KEPT_DAYS * 86400
        number = 0
        for folder, when, _ in known:
            holds = holds_labels(folder / LABELS) or _has_prompts(folder)
            number += holds
            if not holds or number > KEPT_FOLDERS or when < oldest:
                discard(folder)


def root() -> Path:
    """Return where work is kept: in the environment variable's folder, or the user's."""
    named = os.environ.get(FOLDER_VARIABLE)
    return (Path(named).expanduser() if named else platformdirs.user_state_path("napari-sam2refiner")) / "work"


def write(
    folder: Path,
    identity: Identity,
    labels: npt.NDArray[Any] | None,
    drafts: Mapping[PlaneIndex, Draft],
    origins: OriginsByObject,
    names: Names,
) -> None:
    """Write work on an image into an empty folder, as `read` reads it; raises what a disk or a codec does."""
    _write(folder / ABOUT, identity)
    _write(folder / CONTENTS, _noted(drafts, origins, names))
    if labels is not None:
        LabelsBackup(folder / LABELS).keep(labels)


def read_identity(folder: Path) -> Identity:
    """Read which image was worked on; raises `OSError` or `ValidationError` where that is not there or damaged."""
    return Identity.model_validate_json((folder / ABOUT).read_text(encoding="utf-8"))


def read(folder: Path) -> Restored:
    """Read earlier work.

    Raises
    ------
    ReadError
        If it is damaged, somebody else is at it, or a result cannot hold its labels.
    """
    lock = _locked(folder)
    if lock is None:
        msg = "Earlier work on this image is open in another window; close that one first."
        raise ReadError(msg)
    try:
        labels = folder / LABELS
        kept = LabelsBackup(labels).blocks() if labels.exists() else ()
        blocks = tuple((block, _as_ids(folder, values)) for block, values in kept)
        return replace(read_prompts(folder), blocks=blocks)
    finally:
        lock.release()


def _as_ids(folder: Path, labels: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Return labels as a result has them; those of the user's own layers may be of any type, and below zero."""
    largest = int(labels.max(initial=0))
    if largest > LARGEST_ID:
        msg = f"{folder} has a label {largest} but results hold 1 to {LARGEST_ID}; open its {LABELS} in napari instead."
        raise ReadError(msg)
    return np.where(labels > 0, labels, 0).astype(np.uint32)


def read_prompts(folder: Path) -> Restored:
    """Read earlier work without its labels; raise `ReadError` if it is damaged."""
    contents = _read_contents(folder)
    at_hand = {one.plane.index(): Prompted(one.marks(), one.choice, one.object_id) for one in contents.at_hand}
    origins = {
        (one.plane.index(), one.object_id): Origin(one.marks(), one.score)
        for one in contents.kept
        if one.object_id is not None
    }
    names = {one.object_id: Named(one.name, one.kind) for one in contents.names}
    return Restored((), at_hand, origins, names)


def discard(folder: Path) -> None:
    """Throw earlier work away, unless somebody is at it."""
    lock = _locked(folder)
    if lock is not None:
        (folder / ABOUT).unlink(missing_ok=True)  # from now on nobody finds it
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _read_contents(folder: Path) -> _Contents:
    path = folder / CONTENTS
    try:
        return _Contents.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else _Contents()
    except (OSError, ValidationError) as error:
        msg = f"{path} cannot be read; it is damaged."
        raise ReadError(msg) from error


def _copied(folder: Path) -> _Contents:
    """Return the contents of another folder; what cannot be read there is told of when that is brought back."""
    try:
        return _read_contents(folder)
    except ReadError:
        return _Contents()


def _has_prompts(folder: Path) -> bool:
    """Return whether there are prompts of an object at hand; what is damaged counts, so that it is told of."""
    try:
        return bool(_read_contents(folder).at_hand)
    except ReadError:
        return True


def _noted(drafts: Mapping[PlaneIndex, Draft], origins: OriginsByObject, names: Names) -> _Contents:
    at_hand = (
        _Entry.on(plane, draft.marks, choice=draft.choice, object_id=draft.object_id) for plane, draft in drafts.items()
    )
    kept = (
        _Entry.on(plane, origin.marks, object_id=object_id, score=origin.score)
        for (plane, object_id), origin in origins.items()
    )
    named = (_Name(object_id=one, name=named.name, kind=named.kind) for one, named in names.items())
    return _Contents(at_hand=tuple(at_hand), kept=tuple(kept), names=tuple(named))


def _write(path: Path, content: BaseModel) -> None:
    with written_whole(path) as partial:
        partial.write_text(content.model_dump_json(), encoding="utf-8")


def _locked(folder: Path) -> FileLock | None:
    """Return the lock of a folder, None where somebody else is at work there; a crash leaves it free."""
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return None
    return lock


def _is_free(folder: Path) -> bool:
    """Return whether nobody is at work in a folder."""
    lock = _locked(folder)
    if lock is not None:
        lock.release()
    return lock is not None
