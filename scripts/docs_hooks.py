"""What the documentation's site is told while it is built: lists that would go stale if they were written by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TYPER_USE_RICH", "0")  # help as plain text, without frames
os.environ["COLUMNS"] = "100"

OVERVIEW = "decisions/README.md"
DECISIONS = "<!-- the list of decisions -->"
COMMANDS = "<!-- the help of every command -->"


def on_config(config: Any) -> Any:
    """Put every decision into the site's navigation."""
    nav = {title: pages for part in config["nav"] if isinstance(part, dict) for title, pages in part.items()}
    behind = nav["Behind it"]
    listed = [f"decisions/{path.name}" for path in decisions(config)]
    behind[behind.index(OVERVIEW)] = {"Decisions": [OVERVIEW, *listed]}
    return config


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """Fill in what is listed."""
    if DECISIONS in markdown:
        lines = (f"- [{heading(path)}]({path.name})" for path in decisions(config))
        markdown = markdown.replace(DECISIONS, "\n".join(lines))
    if COMMANDS in markdown:
        parts = (f"### {name}\n\n```text\n{text}\n```\n" for name, text in helps())
        markdown = markdown.replace(COMMANDS, "\n".join(parts))
    return markdown


def decisions(config: Any) -> list[Path]:
    """Return the pages of the decisions, in order."""
    return sorted((Path(config["docs_dir"]) / "decisions").glob("[0-9]*.md"))


def heading(path: Path) -> str:
    """Return the heading of a page."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def helps() -> Iterator[tuple[str, str]]:
    """Yield the name of each command and what its `--help` prints."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from napari_sam2refiner.cli import app

    for words in commands(get_command(app)):
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="napari-sam2refiner")
        assert result.exit_code == 0, result.output
        yield " ".join(words), result.output.rstrip()


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command, without groups."""
    parts: Mapping[str, Any] = getattr(command, "commands", {})
    if not parts:
        yield words
    for name, part in parts.items():
        yield from commands(part, (*words, name))
