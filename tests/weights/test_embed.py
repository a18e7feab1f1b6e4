"""`scripts/embed_weights.py` fills the registry's first entry and leaves the others."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import torch

from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.weights import store
from napari_sam2refiner.weights.format import write_weights
from napari_sam2refiner.weights.registry import Registry, registry

SCRIPT = Path(__file__).parents[2] / "scripts" / "embed_weights.py"


def test_embeds_a_trained_base(tmp_path: Path) -> None:
    import tomllib

    torch.manual_seed(3)
    write_weights(tmp_path / "base.safetensors", backbone="micro", base=build_base("micro").state_dict())
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(store.PACKAGE_FOLDER / "registry.toml", folder)
    runpy.run_path(str(SCRIPT))["embed"](tmp_path / "base.safetensors", folder)
    micro, *others = Registry.model_validate(tomllib.loads((folder / "registry.toml").read_text())).model
    store.verify(folder / "micro.safetensors", micro)
    assert tuple(others) == registry().model[1:]
