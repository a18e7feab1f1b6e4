from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.labels.io import load_labels, save_labels
from napari_sam2refiner.metrics import iou

FRAMES = 6


def truth(t: int) -> np.ndarray:
    rows, columns = np.mgrid[:96, :128]
    first = (rows - 40) ** 2 + (columns - 30 - 4 * t) ** 2 < 15**2
    return np.where(first, 1, 5 * ((rows - 70) ** 2 + (columns - 100) ** 2 < 12**2))


def run(*arguments: object) -> Result:
    command = ["propagate", *map(str, arguments), "--device", "cpu"]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A time-lapse of two discs, one of which moves; labels of its first frame lie beside it."""
    rng = np.random.default_rng(0)
    frames = np.stack([rng.normal(100, 10, (96, 128)) + 200 * (truth(t) > 0) for t in range(FRAMES)])
    tifffile.imwrite(tmp_path / "s.tif", frames.astype(np.uint16), imagej=True, metadata={"axes": "TYX"})
    save_labels(tmp_path / "first.tif", truth(0))
    return tmp_path / "s.tif"


def assert_followed(labels: np.ndarray) -> None:
    assert labels.shape == (FRAMES, 96, 128)
    for t in range(FRAMES):
        for number in (1, 5):
            assert iou(labels[t] == number, truth(t) == number) > 0.8, (t, number)


def test_labels_of_a_frame_are_carried_through_the_stack(stack: Path, tmp_path: Path) -> None:
    output, table = tmp_path / "o.tif", tmp_path / "t.csv"
    result = run(stack, "--labels", tmp_path / "first.tif", "-o", output, "--table", table)
    assert result.exit_code == 0, result.output
    assert_followed(load_labels(output))
    assert "micro: 6 frames in" in result.stdout
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["object"]) for row in rows] == [(str(t), n) for t in range(FRAMES) for n in "15"]
    assert int(rows[-1]["pixels"]) == np.count_nonzero(load_labels(output)[-1] == 5)
    assert {path.name for path in tmp_path.iterdir()} == {"s.tif", "first.tif", "o.tif", "t.csv"}


def test_prompts_on_any_frames_into_zarr_and_in_a_range(stack: Path, tmp_path: Path) -> None:
    entries = [{"id": 1, "points": [[40, 46]], "frame": 4}, {"id": 5, "points": [[70, 100]], "frame": 2}]
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "objects": entries}))
    output = tmp_path / "o.zarr"
    result = run(stack, "--prompts", tmp_path / "p.json", "-o", output)
    assert result.exit_code == 0, result.output
    assert_followed(zarr.open_array(output, mode="r")[:])
    result = run(stack, "--prompts", tmp_path / "p.json", "-o", output)
    assert (result.exit_code, "is there already" in result.stderr) == (2, True)
    result = run(stack, "--prompts", tmp_path / "p.json", "-o", tmp_path / "o.tif", "--frames", 2, 3)
    assert result.exit_code == 0, result.output
    labels = load_labels(tmp_path / "o.tif")
    assert [set(np.unique(plane)) - {0} for plane in labels[:5]] == [set(), set(), {1, 5}, {1, 5}, {1}]


def test_a_frame_that_cannot_be_read_keeps_what_is_done(stack: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(stack) as file:
        frames = file.asarray()
    broken = tmp_path / "frames"
    broken.mkdir()
    for t, frame in enumerate(frames):
        tifffile.imwrite(broken / f"{t}.tif", frame)
    (broken / "4.tif").write_bytes(b"II*\0nothing")
    command = (broken, "--labels", tmp_path / "first.tif", "-o", tmp_path / "o.tif")
    result = run(*command)
    assert result.exit_code == 2
    assert "frame 4 cannot be read" in result.stderr
    assert not (tmp_path / "o.tif").exists()
    other = run(*command, "--direction", "forward")
    assert "done with another direction (both instead of forward)" in other.stderr
    tifffile.imwrite(broken / "4.tif", frames[4])
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "3 frames are done already; going on from there." in result.stderr
    assert_followed(load_labels(tmp_path / "o.tif"))
    assert not (tmp_path / "o.tif.unfinished").exists()


def test_frames_beyond_the_range_are_done_on_the_way_and_not_written(stack: Path, tmp_path: Path) -> None:
    command = (stack, "--labels", tmp_path / "first.tif", "--frames", 3, 4, "-o", tmp_path / "o.tif")
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert [bool(plane.any()) for plane in load_labels(tmp_path / "o.tif")] == [True, False, False, True, True, False]


def test_an_object_in_doubt_may_end_there(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:96, :128]
    truth = np.stack([np.hypot(rows - 40, columns - 60) < r for r in (12, 12, 12, 24, 24, 24)])
    frames = (100 + 200 * truth + np.random.default_rng(0).normal(0, 8, truth.shape)).astype(np.uint16)
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, frame in enumerate(frames):
        tifffile.imwrite(folder / f"{t}.tif", frame)
    tifffile.imwrite(tmp_path / "first.tif", truth[0].astype(np.uint8))
    command = (folder, "--labels", tmp_path / "first.tif", "-o")
    result = run(*command, tmp_path / "all.tif")
    assert result.exit_code == 0, result.output
    assert load_labels(tmp_path / "all.tif").any((1, 2)).all()
    (folder / "5.tif").write_bytes(b"II*\0nothing")
    truth[5] = False
    stopping = (*command, tmp_path / "some.tif", "--early-stop")
    result = run(*stopping)
    assert result.exit_code == 0, "what comes after the end is not even read"
    assert load_labels(tmp_path / "some.tif").any((1, 2)).tolist() == [True, True, True, False, False, False]


def test_an_object_that_is_nowhere_is_said_to_be(stack: Path, tmp_path: Path) -> None:
    entry = {"points": [[5, 120]], "boxes": [[3, 118, 6, 121]]}
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "objects": [{"id": 3, **entry}]}))
    tifffile.imwrite(tmp_path / "flat.tif", np.zeros((3, 96, 128), np.uint8), imagej=True, metadata={"axes": "TYX"})
    result = run(tmp_path / "flat.tif", "--prompts", tmp_path / "p.json", "-o", tmp_path / "o.tif")
    assert result.exit_code == 0, result.output
    assert "wrote" in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL] if sys.platform != "win32" else [])
def test_a_run_that_was_stopped_goes_on(stack: Path, tmp_path: Path, how: signal.Signals) -> None:
    many = np.repeat(tifffile.imread(stack), 8, 0)
    tifffile.imwrite(tmp_path / "many.tif", many, imagej=True, metadata={"axes": "TYX"})
    command = [tmp_path / "many.tif", "--labels", tmp_path / "first.tif", "-o", tmp_path / "o.tif"]
    # Who is started in the background ignores Ctrl-C, and so would this program.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; from napari_sam2refiner.cli import app; app()"
    arguments = [sys.executable, "-c", program, "propagate", *command, "--device", "cpu"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=os.environ) as running:
        while not list(tmp_path.glob("o.tif.unfinished/[0-9]*")):
            assert running.poll() is None, running.stderr
            time.sleep(0.02)
        running.send_signal(how)
        _, said = running.communicate(timeout=60)
    assert not (tmp_path / "o.tif").exists()
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert b"the same command goes on" in said
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "frames are done already; going on from there." in result.stderr
    assert_followed(load_labels(tmp_path / "o.tif")[::8])


def test_what_cannot_be_propagated_is_one_sentence(stack: Path, tmp_path: Path) -> None:
    first, output = tmp_path / "first.tif", tmp_path / "o.tif"
    save_labels(tmp_path / "none.tif", np.zeros((96, 128), int))
    save_labels(tmp_path / "small.tif", truth(0)[:50])
    (tmp_path / "p.json").write_text('{"version": 1, "objects": [{"id": 2, "points": [[200, 3]], "frame": 1}]}')
    for arguments, says in [
        ((stack, "-o", output), "objects are given by --prompts FILE or by --labels FILE"),
        ((stack, "--labels", first, "-o", tmp_path / "o.png"), "end the name in .tif"),
        ((stack, "--labels", first, "--frame", 9, "-o", output), "object 1 is on frame 9; choose one of 0 to 5"),
        ((stack, "--labels", first, "--frames", 3, 9, "-o", output), "--frames is 3 9; choose"),
        ((stack, "--labels", tmp_path / "none.tif", "-o", output), "has no objects"),
        (
            (stack, "--labels", tmp_path / "small.tif", "-o", output),
            "object 1 on frame 0: the mask has shape (50, 128)",
        ),
        ((stack, "--labels", stack, "-o", output), "give the labels (Y, X) of one frame"),
        ((stack, "--prompts", tmp_path / "p.json", "-o", output), "object 2 on frame 1: "),
        ((first, "--labels", first, "-o", output), "has no stacked axis"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2, says
        assert says in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("o.*"))
