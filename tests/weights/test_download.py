"""Downloads from a real server on this machine: resumed, checked, from the first source that has the file."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from napari_sam2refiner.errors import DownloadError, IntegrityError, SaveError
from napari_sam2refiner.weights import available, fetch, find_path, registry, store
from napari_sam2refiner.weights.download import download, ensure
from napari_sam2refiner.weights.registry import Entry, Registry

CONTENT = bytes(range(256)) * 8192  # 2 MiB


class Server(ThreadingHTTPServer):
    """Serves /whole, /no-ranges, /cut (ends early), /altered; notes every request as (path, range)."""

    daemon_threads = True
    requests: list[tuple[str, str | None]]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        if self.path == "/missing":
            self.send_error(404)
            return
        content = CONTENT[::-1] if self.path == "/altered" else CONTENT
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.path != "/no-ranges" else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start : len(content) // 2] if self.path == "/cut" else content[start:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights"


def entry_of(*urls: str) -> Entry:
    return Entry(
        name="some",
        backbone="sam2.1_hiera_tiny",
        kind="base",
        file="some.pt",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        urls=urls,
        licence="CC0",
        citation="none",
        trained_on="nothing",
    )


def dead_url() -> str:
    """Return an address on which nothing listens."""
    server = Server(("127.0.0.1", 0), Handler)
    server.server_close()
    return server.url("/whole")


def visible(folder: Path) -> list[str]:
    """Names in a folder but for the locks."""
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def test_downloads_whole_and_reports_progress(server: Server, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = ensure(entry_of(server.url("/whole")), progress=lambda done, total: seen.append((done, total)))
    assert path == folder / "some.pt"
    assert path.read_bytes() == CONTENT
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert visible(folder) == ["some.pt"]


def test_two_at_once_download_it_once(server: Server, folder: Path) -> None:
    entry = entry_of(server.url("/whole"))
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: ensure(entry), range(2)))
    assert paths == [folder / "some.pt"] * 2
    assert paths[0].read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_what_is_there_is_not_downloaded_again(server: Server, folder: Path) -> None:
    entry = entry_of(server.url("/whole"))
    assert ensure(entry) == ensure(entry)
    assert len(server.requests) == 1


def test_goes_on_where_it_was_broken_off(server: Server, folder: Path) -> None:
    entry = entry_of(server.url("/whole"))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(entry, progress=stop)
    had = (folder / "some.pt.part").stat().st_size
    assert 0 < had < len(CONTENT)
    assert ensure(entry).read_bytes() == CONTENT
    assert server.requests[-1] == ("/whole", f"bytes={had}-")


def test_begins_again_where_the_server_cannot_resume(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "some.pt.part").write_bytes(CONTENT[:1000])
    assert ensure(entry_of(server.url("/no-ranges"))).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 5])
def test_begins_again_after_another_files_beginning(server: Server, folder: Path, size: int) -> None:
    folder.mkdir()
    (folder / "some.pt.part").write_bytes(b"x" * size)
    assert ensure(entry_of(server.url("/whole"))).read_bytes() == CONTENT
    assert server.requests[-1] == ("/whole", None)


def test_second_source_completes_what_the_first_cut_short(server: Server, folder: Path) -> None:
    path = ensure(entry_of(server.url("/cut"), server.url("/whole")))
    assert path.read_bytes() == CONTENT
    assert server.requests[-1][1] is not None


@pytest.mark.parametrize("first", ["dead", "/missing", "/altered"])
def test_takes_the_first_source_that_has_it(server: Server, folder: Path, first: str) -> None:
    url = dead_url() if first == "dead" else server.url(first)
    assert ensure(entry_of(url, server.url("/whole"))).read_bytes() == CONTENT


def test_offline_says_file_urls_and_where_to_put_it(server: Server, folder: Path) -> None:
    urls = [dead_url(), server.url("/missing"), server.url("/altered")]
    with pytest.raises(DownloadError) as caught:
        ensure(entry_of(*urls))
    message = str(caught.value)
    assert all(url in message for url in urls)
    assert "ConnectionError" in message
    assert "HTTP status 404" in message
    assert "another checksum" in message
    assert f"put it at {folder / 'some.pt'}" in message
    assert visible(folder) == []


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"?"])
def test_truncated_or_altered_file_is_refused_and_left(server: Server, folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "some.pt").write_bytes(content)
    entry = entry_of(server.url("/whole"))
    with pytest.raises(IntegrityError, match="truncated or altered") as caught:
        ensure(entry)
    assert str(folder / "some.pt") in str(caught.value)
    assert entry.urls[0] in str(caught.value)
    assert (folder / "some.pt").read_bytes() == content
    assert not server.requests


def test_fetch_replaces_an_altered_file(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Registry(model=(entry_of(server.url("/whole")),))
    monkeypatch.setattr(registry, "registry", lambda: listed)
    folder.mkdir()
    (folder / "some.pt").write_bytes(b"x")
    assert [line.on_disk for line in available()] == [False]
    assert fetch("some") == find_path("some") == folder / "some.pt"
    assert (folder / "some.pt").read_bytes() == CONTENT
    assert [line.on_disk for line in available()] == [True]
    fetch("some")
    assert len(server.requests) == 1


def test_offline_mirror_needs_no_network(folder: Path) -> None:
    folder.mkdir()
    (folder / "some.pt").write_bytes(CONTENT)
    assert ensure(entry_of(dead_url())) == folder / "some.pt"


def test_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"cannot write .*file/some\.pt"):
        download(entry_of(server.url("/whole")), tmp_path / "file" / "some.pt")


def test_cache_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(store.FOLDER_VARIABLE, raising=False)
    assert "napari-sam2refiner" in str(store.folder())


def test_note_says_that_plain_sam_is_plain() -> None:
    notes = {line.name: line.note for line in available()}
    assert notes["sam2.1_hiera_tiny"] == "SAM 2.1, refiner untrained: plain SAM 2.1"
