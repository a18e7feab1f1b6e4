"""What users install holds all that the package reads while it runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READ = (
    "napari.yaml",
    "py.typed",
    "weights/registry.toml",
    "weights/micro.safetensors",
    "weights/micro_refiner.safetensors",
    "weights/window_memory.safetensors",
)


def test_the_wheel_holds_manifest_registry_and_weights(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the version comes from git, and this is no clone")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        sizes = {info.filename: info.file_size for info in file.infolist()}
        metadata = file.read(next(name for name in sizes if name.endswith("METADATA"))).decode()
    for name in READ:
        source = ROOT / "src" / "napari_sam2refiner" / name
        assert sizes[f"napari_sam2refiner/{name}"] == source.stat().st_size
    assert "License-Expression: BSD-3-Clause" in metadata
    assert sum(sizes.values()) < 25e6
