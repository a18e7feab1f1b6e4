"""The pages of the documentation as they are written: their links, pictures, headings and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCED = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r"(?P<is_picture>!?)\[(?P<text>[^]]*)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Example:
    """A block of code: its language, the line that it begins on, and why it is not run, where it is not."""

    kind: str
    code: str
    line: int
    reason: str | None


@dataclass(frozen=True)
class Link:
    """A link or a picture, with the file that it means; None where that is elsewhere."""

    target: str
    path: Path | None
    anchor: str
    text: str
    is_picture: bool


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def examples(page: Path) -> list[Example]:
    text = page.read_text(encoding="utf-8")
    return [
        Example(found["kind"], found["code"], text.count("\n", 0, found.start("code")) + 1, found["reason"])
        for found in FENCED.finditer(text)
    ]


def links(page: Path) -> Iterator[Link]:
    for found in LINK.finditer(_without_code(page)):
        target, _, anchor = found["target"].partition("#")
        is_elsewhere = re.match(r"[a-z]+:", target) is not None
        path = None if is_elsewhere else (page.parent / target).resolve() if target else page
        yield Link(found["target"], path, anchor, found["text"], bool(found["is_picture"]))


def anchors(page: Path) -> set[str]:
    """Return what can be linked to on a page, as GitHub and the site name it."""
    headings = re.findall(r"^#+ (.+)$", _without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_code(page: Path) -> str:
    """Return the text of a page without blocks and spans of code, but with the words of headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`([^`\n]*)`", lambda found: re.sub(r"[][()]", "", found[1]), text)
