"""Every example of the README and the docs is run, page by page, on small files of the names that they use."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pages import DOCS, PAGES, Example, examples, name_of
from skimage import data, measure
from typer.main import get_command
from typer.testing import CliRunner

from napari_sam2refiner.cli import app
from napari_sam2refiner.samples import nuclei_movie
from napari_sam2refiner.weights import store

RUN = ("python", "bash")
SHOWN = (
    "json",
    "text",
    "",
)  # files and layouts; what is read of them is tested where it is read
PROGRAM = "napari-sam2refiner"
WITH_EXAMPLES = [page for page in PAGES if "\n```" in page.read_text(encoding="utf-8")]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with what the examples read, and no weights but the package's."""
    movie = nuclei_movie()[:3, :120, :120]
    nuclei = measure.label(movie > 60)  # also from frame to frame
    largest = np.bincount(nuclei[0].ravel(), minlength=2)[1:].argmax() + 1
    cells = data.immunohistochemistry()[:256, :384]
    spots = np.zeros(cells.shape[:2], np.uint16)
    spots[10:30, 12:34], spots[100:140, 200:260] = 1, 2
    prompts = next(example.code for example in examples(DOCS / "prompts-file.md") if example.kind == "json")
    tifffile.imwrite(tmp_path / "cells.tif", cells, photometric="rgb")
    tifffile.imwrite(tmp_path / "labels.tif", spots)
    tifffile.imwrite(tmp_path / "rough.tif", (spots == 1).astype(np.uint8))
    tifffile.imwrite(
        tmp_path / "movie.tif",
        movie,
        photometric="minisblack",
        metadata={"axes": "TYX"},
    )
    tifffile.imwrite(tmp_path / "first_frame.tif", (nuclei[0] == largest).astype(np.uint16))
    tifffile.imwrite(
        tmp_path / "tracked.tif", nuclei.astype(np.uint16), photometric="minisblack", metadata={"axes": "TYX"}
    )
    (tmp_path / "plate").mkdir()
    tifffile.imwrite(tmp_path / "plate" / "A1.tif", movie[0])
    (tmp_path / "lineage.csv").write_text("object,parent\n2,1\n")
    (tmp_path / "prompts.json").write_text(json.dumps(json.loads(prompts)))
    CliRunner().invoke(
        app,
        ["export", str(tmp_path / "labels.tif"), "-o", str(tmp_path / "RoiSet.zip")],
    )
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    assert {example.kind for example in examples(page)} <= {*RUN, *SHOWN}
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") == 2 * len(examples(page))
    assert text.count("\n<!-- not run") == sum(example.reason is not None for example in examples(page))


def is_run(page: Path) -> bool:
    return any(example.kind in RUN and example.reason is None for example in examples(page))


@pytest.mark.parametrize("page", [*filter(is_run, WITH_EXAMPLES)], ids=name_of)
def test_examples_run(page: Path, files: Path) -> None:
    names: dict[str, object] = {}  # the blocks of a page go on from each other
    for example in examples(page):
        if example.reason is not None:
            continue
        if example.kind == "python":
            exec(compile(example.code, f"{page}, line {example.line}", "exec"), names)
        for words in commands(example):
            assert words[0] == PROGRAM, f"{page}, line {example.line}: mark what cannot be run: {words[0]}"
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{shlex.join(words)}: {result.output}"


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_what_is_not_run_can_be_read(page: Path) -> None:
    for example in examples(page):
        if example.reason is None:
            continue
        if example.kind == "python":
            compile(example.code, str(page), "exec")
        for words in commands(example):
            if words[0] == PROGRAM:
                command, rest = get_command(app), words[1:]
                while rest and rest[0] in getattr(command, "commands", {}):
                    command, rest = command.commands[rest[0]], rest[1:]
                command.make_context(shlex.join(words), rest)  # raises where an option is not known


def commands(example: Example) -> list[list[str]]:
    """Return the words of each command of a block for the shell."""
    if example.kind != "bash":
        return []
    lines = example.code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
