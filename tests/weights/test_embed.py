"""`scripts/embed_weights.py` fills an entry of the registry and leaves the others."""

from __future__ import annotations

import runpy
import shutil
import tomllib
from pathlib import Path

import pytest
import torch

from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.network.window_memory import WindowMemory
from napari_sam2refiner.weights import store
from napari_sam2refiner.weights.format import write_weights
from napari_sam2refiner.weights.registry import Registry, registry

SCRIPT = Path(__file__).parents[2] / "scripts" / "embed_weights.py"


@pytest.mark.parametrize("name", ["micro", "micro_refiner", "window_memory"])
def test_embeds_what_was_trained(tmp_path: Path, name: str) -> None:
    torch.manual_seed(3)
    whole = SAM2Refiner(build_base("micro")).state_dict()
    parts = {
        "micro": {"base": {k.removeprefix("base."): v for k, v in whole.items() if k.startswith("base.")}},
        "micro_refiner": {"refiner": {k: v for k, v in whole.items() if not k.startswith("base.")}},
        "window_memory": {"memory": WindowMemory().state_dict()},
    }
    backbone = "any" if name == "window_memory" else "micro"
    write_weights(tmp_path / "new.safetensors", backbone=backbone, **parts[name])
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(store.PACKAGE_FOLDER / "registry.toml", folder)
    runpy.run_path(str(SCRIPT))["embed"](tmp_path / "new.safetensors", folder)
    entries = Registry.model_validate(tomllib.loads((folder / "registry.toml").read_text())).model
    (embedded,) = (entry for entry in entries if entry.name == name)
    store.verify(folder / f"{name}.safetensors", embedded)
    others = [entry for entry in registry().model if entry.name != name]
    assert [entry for entry in entries if entry.name != name] == others
