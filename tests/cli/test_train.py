from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from annotated import write_sequence, write_set
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.weights.format import read_weights

SETTINGS = {
    "crop": 128,
    "crops": 1,
    "objects": 1,
    "rounds": 1,
    "long_rounds": 1,
    "scenes": 0,
    "first_prompts": {"click": 1},
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "200"})


def sentence(result: Result) -> str:
    """Return the error of a run that failed as it should."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ")


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_sam2refiner.network.micro import MicroBase
    from napari_sam2refiner.training import base

    tiny_network = partial(MicroBase, 32, 16, widths=(16, 16, 24, 32), depths=(1, 1, 1, 1))
    monkeypatch.setattr(base, "MicroBase", tiny_network)


@pytest.mark.usefixtures("_tiny")
def test_trains_draws_curves_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    data, folder = write_set(tmp_path / "discs", splits=("train",)), tmp_path / "run"
    (tmp_path / "c.json").write_text(json.dumps(SETTINGS))
    arguments = ["base", "--data", data, "--out", folder, "--config", tmp_path / "c.json", "--device", "cpu"]
    result = run(*arguments, "--steps", 20)
    assert result.exit_code == 0, result.output
    for text in (
        f"training micro on cpu, at most 20 steps, into {folder}",
        "training fields: discs 2",
        "held out: none",
        "step 20, ",
        f"wrote {folder / 'base.safetensors'}",
        f"wrote {folder / 'curve.png'}",
        f"napari-sam2refiner evaluate --model {folder / 'base.safetensors'} --data {data}",
    ):
        assert text in result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "base.safetensors",
        "checkpoint.pt",
        "config.json",
        "curve.png",
        "log.csv",
    ]
    assert "going on from step 20" in run(*arguments, "--steps", 21, "--bf16").output
    assert read_weights(folder / "base.safetensors").metadata["steps"] == "21"
    assert "holds a run already" in sentence(run(*arguments, "--no-resume"))
    assert f"wrote {folder / 'curve.png'}" in run("plot", folder).output


def test_trains_a_refiner_and_draws_its_curves(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    data, folder = write_set(tmp_path / "discs"), tmp_path / "run"
    settings = {
        "crops": 1,
        "objects": 2,
        "rounds": 2,
        "scenes": 0,
        "thin_scenes": 0,
        "points": 64,
        "validation_views": 1,
    }
    (tmp_path / "c.json").write_text(json.dumps(settings))
    arguments = ["refiner", "--data", data, "--out", folder, "--config", tmp_path / "c.json", "--device", "cpu"]
    result = run(*arguments, "--steps", 20, "--bf16")
    assert result.exit_code == 0, result.output
    assert f"training a refiner for micro on cpu, at most 20 steps, into {folder}" in result.output
    assert "step 20: held-out IoU" in result.output
    path = folder / "refiner.safetensors"
    assert f"napari-sam2refiner evaluate --model micro --refiner {path} --data {data}" in result.output
    assert (folder / "curve.png").stat().st_size > 1000
    assert "no model named 'nix'" in sentence(run(*arguments, "--backbone", "nix"))


def test_trains_the_scores_of_micro_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from napari_sam2refiner.training import scores
    from napari_sam2refiner.weights import load_model

    monkeypatch.setattr(scores, "FIRST_CROPS", 2)
    data, folder = write_set(tmp_path / "discs", splits=("train",)), tmp_path / "run"
    (tmp_path / "c.json").write_text(json.dumps({"crop": 128, "objects": 2, "scenes": 0}))
    arguments = ["scores", "--data", data, "--out", folder, "--config", tmp_path / "c.json", "--device", "cpu"]
    result = run(*arguments, "--steps", 20)
    assert result.exit_code == 0, result.output
    for text in (
        f"training the scores of micro on cpu, at most 20 steps, into {folder}",
        "of the chosen masks",
        f"wrote {folder / 'curve.png'}",
    ):
        assert text in result.stdout
    before, after = (load_model(name, "none").base.state_dict() for name in ("micro", folder / "base.safetensors"))
    changed = {name for name, value in after.items() if not torch.allclose(value, before[name], atol=1e-3, rtol=1e-3)}
    assert changed
    assert all(name.startswith("mask_quality.") for name in changed)
    assert "going on from step 20" in run(*arguments, "--steps", 21).output


def test_trains_a_memory_that_follows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    movie, folder = write_sequence(tmp_path / "movie"), tmp_path / "run"
    (tmp_path / "c.json").write_text(json.dumps({"crops": 1, "scenes": 0}))
    arguments = ["memory", "--data", movie, "--out", folder, "--config", tmp_path / "c.json", "--device", "cpu"]
    result = run(*arguments, "--steps", 20, "--bf16")
    assert result.exit_code == 0, result.output
    for text in (
        f"training a window memory on cpu, at most 20 steps, into {folder}",
        "sequences: movie 1",
        f"wrote {folder / 'curve.png'}",
        f"use it: napari-sam2refiner propagate STACK --memory {folder / 'memory.safetensors'}",
    ):
        assert text in result.stdout
    weights = read_weights(folder / "memory.safetensors")
    assert weights.memory
    assert (weights.metadata["backbone"], weights.metadata["command"]) == ("any", "train memory")
    chosen = ("evaluate", "--data", str(movie), "--protocol", "video", "--memory", str(folder / "memory.safetensors"))
    measured = CliRunner().invoke(app, [*chosen, "--frames", "2", "--device", "cpu"], env={"COLUMNS": "200"})
    assert measured.exit_code == 0, measured.output
    assert "micro" in measured.stdout


def test_what_cannot_be_trained_is_one_sentence(tmp_path: Path) -> None:
    arguments = ["base", "--out", tmp_path / "run", "--data"]
    assert "holds no data set" in sentence(run(*arguments, tmp_path))
    measuring = write_set(tmp_path / "m", use="eval")
    assert "for measuring only" in sentence(run(*arguments, measuring))
    assert "steps: Input should be greater than" in sentence(run(*arguments, measuring, "--steps", 0))
    assert "no model named 'micor'" in sentence(run(*arguments, measuring, "--start", "micor"))
    assert "device 'quantum' cannot be used here" in sentence(run(*arguments, measuring, "--device", "quantum"))
    assert not (tmp_path / "run").exists()


def test_a_plot_needs_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert "log.csv cannot be read" in sentence(run("plot", tmp_path))
