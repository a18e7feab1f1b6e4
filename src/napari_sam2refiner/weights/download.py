"""Download of weight files: resumed where the server allows it, checked before anything opens them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pooch
from filelock import FileLock

from napari_sam2refiner.errors import DownloadError, SaveError
from napari_sam2refiner.weights.registry import Entry, find_entry
from napari_sam2refiner.weights.store import FOLDER_VARIABLE, location, matches, verify

# Called with the bytes there are and the bytes there will be. What it raises ends the download; what has come
# stays on disk and the next call goes on from there.
Progress = Callable[[int, int], None]

_CHUNK = 1 << 18
_TIMEOUT = 30.0


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """Return the file of a named model, downloaded if it is not there or not intact.

    Parameters
    ----------
    name : str
        A name of the registry.
    progress : callable, optional
        Called with (bytes there are, bytes there will be).

    Raises
    ------
    UnknownModelError
        If no model has that name.
    DownloadError
        If no source has the file; the message says where to put it by hand.
    SaveError
        If it cannot be written.
    IntegrityError
        If it is the embedded model, and that was altered.
    """
    entry = find_entry(name)
    path = location(entry)
    if entry.embedded:
        return ensure(entry)
    if path.is_file() and matches(path, entry):
        return path
    return download(entry, path, progress=progress)


def ensure(entry: Entry, *, progress: Progress | None = None) -> Path:
    """Return a model's file: the intact one on disk, or downloaded where there is none.

    Raises
    ------
    IntegrityError
        If there is one that is truncated or altered; it is left as it is.
    DownloadError, SaveError
        As `fetch`.
    """
    path = location(entry)
    if not path.is_file() and not entry.embedded:
        return download(entry, path, progress=progress)
    verify(path, entry)
    return path


def download(entry: Entry, path: Path, *, progress: Progress | None = None) -> Path:
    """Download a model's file from the first source that has it, and put it at `path` when it is whole."""
    part = path.with_name(path.name + ".part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):  # another program may be at it
            if path.is_file() and matches(path, entry):
                return path
            for url in entry.urls:
                reason = _download_from(url, part, entry, progress)
                if reason is None:
                    os.replace(part, path)
                    return path
                failures.append(f"{url} ({reason})")
    except OSError as error:
        msg = f"cannot write {path} ({error.strerror}); free space there, or name another folder in {FOLDER_VARIABLE}."
        raise SaveError(msg) from error
    msg = (
        f"no source has {entry.file}: {', '.join(failures)}; go online, or get the file elsewhere and put it at {path}."
    )
    raise DownloadError(msg)


def _download_from(url: str, part: Path, entry: Entry, progress: Progress | None) -> str | None:
    """Complete the partial file from one source; return why it failed, or None."""
    had = part.stat().st_size if part.exists() else 0
    if had < entry.size:
        try:
            _append(url, part, had, entry.size, progress)
        except OSError as error:
            # An error with a number is the file system's, for the caller; the network's come without.
            if error.errno is not None:
                raise
            return _reason(error)
    if matches(part, entry):
        return None
    part.unlink()
    # The beginning may have been another file's.
    return "what it sends has another checksum" if had == 0 else _download_from(url, part, entry, progress)


def _append(url: str, part: Path, had: int, total: int, progress: Progress | None) -> None:
    """Append what is missing of a file, or begin again where the server sends all of it."""
    with part.open("ab") as file:

        def begin_again_if_whole(response: Any, **_: Any) -> None:
            if response.status_code == 200:
                file.truncate(0)

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
        get = pooch.HTTPDownloader(
            chunk_size=_CHUNK, timeout=_TIMEOUT, headers=headers, hooks={"response": begin_again_if_whole}
        )
        get(url, _Counted(file, total, progress), None)


class _Counted:
    """A file to write to that reports how much it holds."""

    def __init__(self, file: IO[bytes], total: int, progress: Progress | None) -> None:
        self._file = file
        self._total = total
        self._progress = progress

    def write(self, chunk: bytes) -> None:
        """Write a chunk and report."""
        self._file.write(chunk)
        if self._progress is not None:
            self._progress(self._file.tell(), self._total)

    def flush(self) -> None:
        """Hand what is written to the system."""
        self._file.flush()


def _reason(error: OSError) -> str:
    """Say in a few words why a source failed."""
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP status {response.status_code}"
