from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.evaluation.protocols import FieldScore
from napari_sam2refiner.evaluation.report import (
    SetScore,
    check_place,
    markdown,
    mean_of_sets,
    save_json,
    save_text,
    summarise,
)


def scores() -> SetScore:
    crowded = FieldScore("a", {"1 click": [0.2, 0.4, 0.6, 0.8]}, {"1 click": [0.1] * 4})
    lonely = FieldScore("b", {"1 click": [1.0]}, {"1 click": [0.5]})
    return summarise("cells", [crowded, lonely])


def test_averages_are_over_objects_first_then_over_images() -> None:
    found = scores()
    assert (found.name, found.images, found.objects) == ("cells", 2, 5)
    cell = found.cells["1 click"]
    assert cell.mean == pytest.approx(0.75)
    assert cell.boundary == pytest.approx(0.3)
    assert 0.5 <= cell.low <= 0.75 <= cell.high <= 1.0


def test_the_mean_of_sets_counts_each_once() -> None:
    other = summarise("one", [FieldScore("c", {"1 click": [0.25]}, {"1 click": [0.2]})])
    assert mean_of_sets([scores(), other]) == {"1 click": pytest.approx(0.5)}


def test_markdown() -> None:
    lines = markdown([scores()]).splitlines()
    assert lines[0] == "| set | images | objects | 1 click |"
    assert lines[1] == "|---|---|---|---|"
    assert lines[2].startswith("| cells | 2 | 5 | 0.750 (0.")
    assert len(lines) == 3
    assert markdown([scores(), scores()]).splitlines()[-1] == "| mean of 2 sets | | | 0.750 |"


def test_json_holds_all_measures(tmp_path: Path) -> None:
    save_json(tmp_path / "m.json", [scores()], {"model": "micro"})
    content = json.loads((tmp_path / "m.json").read_text())
    assert content["about"] == {"model": "micro"}
    assert content["sets"][0]["cells"]["1 click"]["mean"] == pytest.approx(0.75)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    check_place(None)
    check_place(tmp_path / "m.md")
    with pytest.raises(SaveError, match="there is no folder"):
        check_place(tmp_path / "none" / "m.md")
    with pytest.raises(SaveError, match="cannot be written"):
        save_text(tmp_path, "text")
