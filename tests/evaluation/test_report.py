from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_sam2refiner.errors import ReadError, SaveError
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


def scored(name: str, base: list[float], refined: list[float] | None = None) -> FieldScore:
    """A field whose boundary IoU is half of its IoU."""
    ious = {"base": {"1 click": base}} | ({} if refined is None else {"refined": {"1 click": refined}})
    return FieldScore(
        name,
        list(range(len(base))),
        ious,
        {w: {c: [v / 2 for v in vs] for c, vs in of.items()} for w, of in ious.items()},
    )


def scores() -> SetScore:
    return summarise("cells", [scored("a", [0.2, 0.4, 0.6, 0.8]), scored("b", [1.0])])


def test_averages_are_over_objects_first_then_over_images() -> None:
    found = scores()
    assert (found.name, found.images, found.objects) == ("cells", 2, 5)
    cell = found.cells["base"]["1 click"]
    assert cell.mean == pytest.approx(0.75)
    assert cell.boundary == pytest.approx(0.375)
    assert 0.5 <= cell.low <= 0.75 <= cell.high <= 1.0
    assert cell.harm is None


def test_harm_is_what_falls_below_the_base() -> None:
    fields = [scored("a", [0.5] * 4, [0.4, 0.485, 0.9, 0.47]), scored("b", [0.5], [0.5])]
    found = summarise("cells", fields).cells["refined"]["1 click"]
    assert found.mean == pytest.approx((0.56375 + 0.5) / 2)
    assert found.harm is not None
    assert found.harm.share == pytest.approx(0.25)
    assert found.harm.loss == pytest.approx(0.065)
    unharmed = summarise("cells", [scored("a", [0.5], [0.6])]).cells["refined"]["1 click"].harm
    assert unharmed is not None
    assert (unharmed.share, unharmed.loss) == (0.0, 0.0)


def test_harm_to_labels_is_what_falls_below_the_labels() -> None:
    score = FieldScore("a", [1, 2])
    for who, values in {"drawn": [0.8, 0.8], "base": [0.9, 0.7], "refined": [0.9, 0.79]}.items():
        score.ious[who] = score.boundary_ious[who] = {"eroded": values}
    cells = summarise("cells", [score]).cells
    assert cells["drawn"]["eroded"].harm is None
    shares = [harm.share for who in ("base", "refined") if (harm := cells[who]["eroded"].harm) is not None]
    assert shares == [0.5, 0.0]


def test_a_set_without_objects_is_one_sentence() -> None:
    with pytest.raises(ReadError, match="no field of cells"):
        summarise("cells", [FieldScore("a")])


def test_the_mean_of_sets_counts_each_once() -> None:
    other = summarise("one", [scored("c", [0.25])])
    assert mean_of_sets([scores(), other]) == {"base": {"1 click": pytest.approx(0.5)}}


def test_markdown() -> None:
    refined = summarise("cells", [scored("a", [0.5, 0.5], [0.6, 0.4])])
    lines = markdown([refined]).splitlines()
    assert lines[0] == "| set | images | objects | by | 1 click |"
    assert lines[1] == "|---|---|---|---|---|"
    assert lines[2].startswith("| cells | 1 | 2 | base | 0.500 (0.")
    assert lines[3].startswith("| cells | 1 | 2 | refined | 0.500 (0.")
    assert lines[3].endswith(", 50.0% harmed |")
    assert len(lines) == 4
    assert markdown([scores(), scores()]).splitlines()[-1] == "| mean of 2 sets |  |  | base | 0.750 |"


def test_a_table_of_boundaries() -> None:
    lines = markdown([scores(), scores()], "boundary").splitlines()
    assert lines[2] == "| cells | 2 | 5 | base | 0.375 |"
    assert lines[-1] == "| mean of 2 sets |  |  | base | 0.375 |"


def test_who_was_not_asked_has_no_text() -> None:
    both = FieldScore(
        "a",
        [1],
        {"base": {"box": [0.5]}, "otsu": {"1 click": [0.4]}},
        {"base": {"box": [0.5]}, "otsu": {"1 click": [0.4]}},
    )
    lines = markdown([summarise("cells", [both])]).splitlines()
    assert lines[0] == "| set | images | objects | by | box | 1 click |"
    assert lines[2] == "| cells | 1 | 1 | base | 0.500 |  |"
    assert lines[3].startswith("| cells | 1 | 1 | Otsu |  | 0.400 (")


def test_clicks_needed_have_a_column_and_no_mean_over_sets() -> None:
    fields = [scored("a", [0.5]), scored("b", [0.7])]
    for one, needed in zip(fields, ([3, 20], [4]), strict=True):
        one.clicks_needed = {"base": {"NoC@85": needed}}
    lines = markdown([summarise("cells", fields)] * 2).splitlines()
    assert lines[0].endswith("| by | 1 click | NoC@85 |")
    assert lines[2].endswith("| 7.8 |")
    assert lines[-1].endswith("|  |")


def test_json_holds_all_measures(tmp_path: Path) -> None:
    save_json(tmp_path / "m.json", [scores()], {"model": "micro"})
    content = json.loads((tmp_path / "m.json").read_text())
    assert content["about"] == {"model": "micro"}
    assert content["sets"][0]["cells"]["base"]["1 click"]["mean"] == pytest.approx(0.75)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    check_place(None)
    check_place(tmp_path / "m.md")
    with pytest.raises(SaveError, match="there is no folder"):
        check_place(tmp_path / "none" / "m.md")
    with pytest.raises(SaveError, match="cannot be written"):
        save_text(tmp_path, "text")
