from __future__ import annotations

import json
from pathlib import Path

import pytest
from annotated import write_sequence, write_set
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.weights.format import write_weights


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


def sentence(result: Result) -> str:
    """Return the error of a run that failed as it should."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of a network that answers, if not well."""
    import torch

    from napari_sam2refiner.network.backbones import build_base

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    write_weights(path, backbone="micro", base=build_base("micro").state_dict())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_set(tmp_path / "sets" / "discs", fields=3)
    write_set(tmp_path / "sets" / "more", use="eval", splits=("val",), fields=1)
    write_set(tmp_path / "sets" / "unmeasured", splits=("train",), fields=1)
    return tmp_path / "sets"


def test_measures_every_set_into_a_table_and_files(tmp_path: Path, data: Path, model: Path) -> None:
    files = ["--json", tmp_path / "m.json", "--markdown", tmp_path / "m.md"]
    files += ["--plot", tmp_path / "plot.png", "--cases", tmp_path / "cases.png"]
    choice = ["--objects", 2, "--fields", 2, "--clicks", 2, "--clicks", 1]
    result = run("--data", data, "--model", model, "--device", "cpu", *choice, *files)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert " ".join(lines[0]) == "set fields objects by best candidate 1 click 2 clicks box noisy box"
    assert ["discs", "2", "4", "base"] in [line[:4] for line in lines]
    assert ["more", "1", "2", "base"] in [line[:4] for line in lines]
    assert [line[0] for line in lines].count("Otsu") == 3
    assert ["mean", "of", "2", "sets", "base"] in [line[:5] for line in lines]
    content = json.loads((tmp_path / "m.json").read_text())
    assert content["about"]["model"] == str(model)
    assert content["about"]["refined"] is False  # there is none
    assert [s["name"] for s in content["sets"]] == ["discs", "more"]
    assert content["sets"][0]["cells"]["otsu"]["1 click"]["mean"] > 0.8
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("plot.png", "cases.png"))
    assert (tmp_path / "m.md").read_text().startswith("| set | images | objects | by | best candidate | 1 click |")


def test_one_set_with_random_points_without_rival(data: Path, model: Path) -> None:
    arguments = [
        "--set",
        "more",
        "--rival",
        "none",
        "--protocol",
        "random-points",
        "--protocol",
        "clicks",
        "--clicks",
        2,
        "--objects",
        1,
        "--noc",
        0.5,
    ]
    result = run("--data", data, "--model", model, *arguments)
    assert result.exit_code == 0, result.output
    header, values = result.stdout.splitlines()
    assert header.split()[-4:] == ["2", "random", "points", "NoC@50"]
    assert 1 <= float(values.split()[-1]) <= 20


def test_objects_are_followed_through_sequences(tmp_path: Path) -> None:
    write_set(tmp_path / "data" / "stills")
    write_sequence(tmp_path / "data" / "movie")
    chosen = ("--data", tmp_path / "data", "--protocol", "video", "--device", "cpu")
    result = run(*chosen, "--frames", 3, "--json", tmp_path / "v.json", "--correct")
    assert result.exit_code == 0, result.output
    assert "gone, still drawn" in result.stdout
    assert "after the worst frame, corrected" in result.stdout
    content = json.loads((tmp_path / "v.json").read_text())
    assert set(content["sets"]) == {"movie"}
    by = content["sets"]["movie"]
    assert set(by) == {"micro", "copied", "Otsu, by overlap", "Otsu, by centroid"}
    assert {who: one["objects"] for who, one in by.items()} == dict.fromkeys(by, 3)
    assert set(by["micro"]["j_by_distance"]) == {"1", "2", "3"}
    assert by["micro"]["j"] > by["copied"]["j"]
    assert by["micro"]["j_after_worst_frame_corrected"] > 0.8
    assert by["copied"]["j_after_worst_frame_corrected"] is None
    assert "--correct is for objects" in sentence(run("--data", tmp_path / "data", "--correct"))
    assert 0.7 < by["micro"]["j_interval"][0] <= by["micro"]["j"] <= by["micro"]["j_interval"][1]
    assert by["micro"]["f"] > by["copied"]["f"]
    assert "--protocol video goes without another protocol" in sentence(run(*chosen, "--protocol", "box"))
    assert "goes without --rival" in sentence(run(*chosen, "--rival", "grabcut"))
    assert "goes without --fields" in sentence(run(*chosen, "--fields", 2))
    assert "stills holds no sequences" in sentence(run(*chosen, "--set", "stills"))


def test_objects_are_tracked_from_one_click(tmp_path: Path) -> None:
    write_sequence(tmp_path / "data" / "movie")
    chosen = ("--data", tmp_path / "data", "--protocol", "ctc", "--device", "cpu")
    result = run(*chosen, "--frames", 3, "--json", tmp_path / "t.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["set", "frames", "tracks", "by", "SEG", "TRA"]
    by = json.loads((tmp_path / "t.json").read_text())["sets"]["movie"]
    assert set(by) == {"micro", "Otsu, by overlap"}
    (one,) = by["micro"]
    assert (one["frames"], one["tracks"]) == (3, 3)
    assert one["seg"] > 0.7
    assert "--protocol ctc goes without --objects" in sentence(run(*chosen, "--objects", 2))


def test_what_cannot_be_measured_is_one_sentence(tmp_path: Path, data: Path, model: Path) -> None:
    assert "no set 'disks' with a split 'val'; choose discs or more" in sentence(run("--data", data, "--set", "disks"))
    assert "holds no set with a split 'train'" in sentence(run("--data", data / "more", "--split", "train"))
    assert "holds no data set" in sentence(run("--data", tmp_path / "none"))
    assert "there is no folder" in sentence(run("--data", data, "--json", tmp_path / "none" / "m.json"))
    assert "show clicks" in sentence(run("--data", data, "--protocol", "box", "--plot", tmp_path / "plot.png"))
    assert "did you mean 'micro'?" in sentence(run("--data", data, "--model", "micor"))


def test_everything_is_found_without_a_click_and_counted(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "everything.json"
    result = run("--data", data, "--set", "more", "--protocol", "everything", "--device", "cpu", "--json", file)
    assert result.exit_code == 0, result.output
    assert "F1 at 0.5" in result.stdout
    content = json.loads(file.read_text())
    by = content["sets"]["more"]
    assert content["protocol"] == "everything"
    assert set(by) == {"micro", "Otsu + watershed"}
    assert by["micro"]["objects"] == 3
    assert by["micro"]["f1"] == 1.0
    assert by["micro"]["ap_by_iou"]["0.5"] == 1.0
    assert by["micro"]["ap"] > 0.9
    assert by["micro"]["fields"][0]["seconds"] > 0


def test_everything_goes_alone(data: Path) -> None:
    assert "goes without --noc" in sentence(run("--data", data, "--protocol", "everything", "--noc", 0.9))
    assert "another protocol" in sentence(run("--data", data, "--protocol", "everything", "--protocol", "box"))
