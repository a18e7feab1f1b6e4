"""The documentation holds together: its links, its pictures, its site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from pages import DOCS, PAGES, ROOT, anchors, links, name_of
from typer.main import get_command

from napari_sam2refiner.cli import app

IMAGES = DOCS / "images"
MOST_BYTES = {".png": 200_000, ".webp": 600_000}
MOST_BYTES_OF_ALL = 3_500_000


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.path is None:
            continue
        assert link.path.exists(), f"{name_of(page)} links to {link.target}, which is not there"
        if link.anchor:
            assert link.anchor in anchors(link.path), f"{name_of(page)} links to {link.target}: no such heading"


def test_pages_link_to_nothing_that_the_site_does_not_have() -> None:
    for page in DOCS.rglob("*.md"):
        outside = [link.target for link in links(page) if link.path and not link.path.is_relative_to(DOCS)]
        assert not outside, f"{name_of(page)}: {outside}"


def test_every_picture_is_used_and_described_and_small() -> None:
    used = [link for page in PAGES for link in links(page) if link.is_picture]
    assert all(len(link.text) > 10 for link in used)
    pictures = sorted(IMAGES.iterdir())
    assert {link.path for link in used} == set(pictures)
    for picture in pictures:
        assert picture.stat().st_size <= MOST_BYTES[picture.suffix], picture.name
    assert sum(picture.stat().st_size for picture in pictures) <= MOST_BYTES_OF_ALL


def test_what_the_reference_names_is_there() -> None:
    names = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 10
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert find_spec(name) if _is_module(name) else hasattr(import_module(module), attribute), name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built with every warning an error."""
    pytest.importorskip("mkdocstrings", reason="the site needs the extra [docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_has_every_page_and_asks_nobody_else_for_anything(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        place = page.relative_to(DOCS).with_suffix("")
        if place.name == "index":
            continue
        address = f"{(place.parent if place.name == 'README' else place).as_posix()}/"
        assert (site / address / "index.html").exists()
        assert f'href="{address}"' in home, f"{address} is not in the navigation"
    for page in site.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(http[^"]*)"', page.read_text())
        assert not fetched, f"{page.relative_to(site)} fetches {fetched}"


def test_the_site_names_every_command_and_decision(site: Path) -> None:
    text = (site / "command-line" / "index.html").read_text(encoding="utf-8")
    for words in _commands(get_command(app)):
        assert f"Usage: napari-sam2refiner {words} " in text, words
    text = (site / "decisions" / "index.html").read_text(encoding="utf-8")
    for page in (DOCS / "decisions").glob("[0-9]*.md"):
        assert f'href="{page.stem}/"' in text, page.name


def test_the_reference_is_built_from_the_docstrings(site: Path) -> None:
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert ":::" not in text.partition("<article")[2].partition("Public names")[2]
    for name in ("load_model", "ImageSession.predict_many", "StackSession.propagate", "errors.DownloadError"):
        assert f'id="napari_sam2refiner.{name}"' in text, name


def _is_module(name: str) -> bool:
    return (ROOT / "src" / f"{name.replace('.', '/')}.py").exists()


def _commands(command: object, words: str = "") -> list[str]:
    parts = getattr(command, "commands", {})
    if not parts:
        return [words]
    return [found for name, part in parts.items() for found in _commands(part, f"{words} {name}".strip())]
