"""The command line: what it writes, what it says, and exit code 2 with one sentence where input is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from large import DrawnNuclei
from skimage.io import imread
from typer.testing import CliRunner, Result

from napari_sam2refiner.cli import app
from napari_sam2refiner.labels.io import load_labels
from napari_sam2refiner.planes.image_file import ImageFile
from napari_sam2refiner.weights import store
from napari_sam2refiner.weights.format import write_weights


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def sentence(result: Result) -> str:
    """Return the error of a run that failed as it should."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of a network that answers, if not well."""
    from napari_sam2refiner.network.backbones import build_base

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    write_weights(path, backbone="micro", base=build_base("micro").state_dict())
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    y, x = np.ogrid[:60, :80]
    nuclei = np.hypot(y - 20, x - 25) < 10, np.hypot(y - 40, x - 60) < 9
    noise = np.random.default_rng(0).poisson(20, (60, 80))
    tifffile.imwrite(tmp_path / "nuclei.tif", (noise + 200 * (nuclei[0] | nuclei[1])).astype(np.uint16))
    return tmp_path / "nuclei.tif"


def test_version() -> None:
    from importlib.metadata import version

    assert run("--version").output.strip() == version("napari-sam2refiner")


def test_help_loads_no_torch() -> None:
    code = "import sys, napari_sam2refiner.cli as c; print(sorted({'torch', 'skimage', 'napari'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_segments_one_object_by_points_and_a_box(tmp_path: Path, image: Path, model: Path) -> None:
    out, overlay = tmp_path / "labels.tif", tmp_path / "overlay.png"
    prompts = ["--point", 20, 25, "--point", "22", "27", "--negative", 5, 70, "--box", "-5", "-0.5", 32, 38]
    result = run("segment", image, *prompts, "--model", model, "-o", out, "--overlay", overlay)
    assert result.exit_code == 0, result.output
    assert "2 clicks, 1 negative click, 1 box" in result.output
    assert f"wrote {out}" in result.output
    labels = load_labels(out)
    assert labels.shape == (60, 80)
    assert set(np.unique(labels)) <= {0, 1}
    assert imread(overlay).shape == (60 * 12, 80 * 12, 3)


def test_segments_the_objects_of_a_prompts_file(tmp_path: Path, image: Path, model: Path) -> None:
    objects = [{"points": [[20, 25]]}, {"id": 5, "boxes": [[30, 50, 50, 70]]}]
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "objects": objects}))
    arguments = ["--prompts", tmp_path / "p.json", "--model", model, "-o", tmp_path / "labels.tif"]
    result = run("segment", image, *arguments, "--point", 3, 3, "--no-refine", "--overlap", "overwrite")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()[1:4]] == ["1", "5", "6"], result.output
    assert set(np.unique(load_labels(tmp_path / "labels.tif"))) <= {0, 1, 5, 6}


def test_plane_and_channel_of_a_stack(tmp_path: Path, model: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 99, (3, 2, 40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", ome=True, metadata={"axes": "ZCYX"})
    arguments = ["--point", 3, 3, "--model", model, "-o", tmp_path / "labels.tif"]
    result = run("segment", tmp_path / "s.tif", "--plane", 2, "--channel", 1, *arguments)
    assert result.exit_code == 0, result.output
    assert load_labels(tmp_path / "labels.tif").shape == (40, 50)
    assert "give one for each of these: Z (3)" in sentence(run("segment", tmp_path / "s.tif", *arguments))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "there are no prompts"),
        (["--point", 3], "--point 3 is not 2 numbers; give --point Y X"),
        (["--box", 1, 2, 3], "--box 1 2 3 is not 4 numbers"),
        (["--point", "a,b"], "is not 2 numbers"),
        (["--negative", 3, 3], "no positive prompt"),
        (["--point", 300, 3], "point 0 at (300.0, 3.0) lies outside the plane of shape (60, 80)"),
        (["--box", 3, 3, 3, 9], "box 0 (3.0, 3.0, 3.0, 9.0) has no area"),
        (["--prompts", "none.json"], "none.json cannot be read"),
    ],
)
def test_wrong_prompts(tmp_path: Path, image: Path, model: Path, prompts: list[object], message: str) -> None:
    out = tmp_path / "labels.tif"
    assert message in sentence(
        run("segment", image, *prompts, "--model", model, "-o", out, "--overlay", tmp_path / "o.png")
    )
    assert os.listdir(tmp_path) == ["nuclei.tif"]


def test_wrong_files(tmp_path: Path, image: Path, model: Path) -> None:
    prompts = ["--point", 20, 25, "--model", model]
    out = tmp_path / "labels.tif"
    (tmp_path / "text.tif").write_text("no image")
    assert "text.tif cannot be read" in sentence(run("segment", tmp_path / "text.tif", *prompts, "-o", out))
    assert "end the name in .tif" in sentence(run("segment", image, *prompts, "-o", tmp_path / "labels.png"))
    assert "no folder" in sentence(run("segment", image, *prompts, "-o", tmp_path / "none" / "labels.tif"))
    assert "end the name in .png" in sentence(
        run("segment", image, *prompts, "-o", out, "--overlay", tmp_path / "o.tif")
    )
    assert sorted(os.listdir(tmp_path)) == ["nuclei.tif", "text.tif"]


def test_wrong_model_and_device(tmp_path: Path, image: Path, model: Path) -> None:
    arguments = ["segment", image, "--point", 20, 25, "-o", tmp_path / "labels.tif"]
    assert "did you mean 'micro'?" in sentence(run(*arguments, "--model", "micor"))
    assert "device 'quantum' cannot be used here" in sentence(run(*arguments, "--model", model, "--device", "quantum"))


def test_image_with_holes_is_segmented_with_a_warning(tmp_path: Path, model: Path) -> None:
    pixels = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    pixels[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "holes.tif", pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = run("segment", tmp_path / "holes.tif", "--point", 20, 25, "--model", model, "-o", tmp_path / "l.tif")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("Warning: 1 of 2000 values")
    assert result.stderr.count("\n") == 1


def test_weights_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    output = run("weights", "list").output
    assert "sam2.1_hiera_tiny" in output
    assert "SAM 2.1, refiner untrained: plain SAM 2.1" in output
    assert f"Downloads go to {tmp_path}" in output


def test_weights_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    result = run("weights", "path", "sam2.1_hiera_large")
    assert result.stdout == f"{tmp_path / 'sam2.1_hiera_large.pt'}\n"
    assert "weights fetch sam2.1_hiera_large" in result.stderr
    assert "did you mean 'sam2.1_hiera_tiny'" in sentence(run("weights", "path", "sam2.1_hiera_tinny"))


def test_weights_fetch_offline_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # the port on which nobody answers
    message = sentence(run("weights", "fetch", "sam2.1_hiera_tiny"))
    assert "https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt" in message
    assert f"put it at {tmp_path / 'sam2.1_hiera_tiny.pt'}" in message


def test_train_refuses_settings_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"stepps": 3}')
    arguments = ["train", "base", "--data", tmp_path, "--out", tmp_path / "out", "--config", tmp_path / "c.json"]
    assert "stepps: Extra inputs are not permitted" in sentence(run(*arguments))
    assert not (tmp_path / "out").exists()


def test_a_large_image_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nuclei = DrawnNuclei((4200, 4200))
    blocks = (nuclei[y : y + 512, x : x + 512] for y in range(0, 4200, 512) for x in range(0, 4200, 512))
    image = tmp_path / "slide.tif"
    padded = (np.pad(block, [(0, 512 - n) for n in block.shape]) for block in blocks)
    tifffile.imwrite(
        image,
        padded,
        shape=(4200, 4200),
        dtype=np.uint16,
        tile=(512, 512),
        compression="zlib",
        photometric="minisblack",
    )
    monkeypatch.setattr(ImageFile, "read", None)
    y, x = nuclei.middle((20, 30))
    out = tmp_path / "labels.tif"
    done = run("segment", image, "--point", round(y), round(x), "-o", out)
    assert done.exit_code == 0, done.output
    labels = tifffile.imread(out)
    truth = nuclei.truth((20, 30), (slice(0, 4200), slice(0, 4200)))
    assert (truth & (labels == 1)).sum() / (truth | (labels == 1)).sum() > 0.85
