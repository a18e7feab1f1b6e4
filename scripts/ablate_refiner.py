"""Write a trained refiner with parts of it switched off, to see what each is worth: a file for each, to be evaluated.

A part is switched off by the zeros that it was fresh with, so that the others go on as they were trained. Localization
Augment has a switch of its own, `evaluate --local-detail off`.

python scripts/ablate_refiner.py micro runs/ablated
napari-sam2refiner evaluate --model runs/ablated/without-retargeting.safetensors --data DATA
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from napari_sam2refiner.weights import load_model
from napari_sam2refiner.weights.format import write_weights

PARTS = {
    "without-retargeting": ("retargeting.leave.",),
    "without-refinement": (
        "refinement.coarse.readout.",
        "refinement.middle.readout.",
        "refinement.fine.readout.",
    ),
    "without-fine-stages": ("refinement.middle.readout.", "refinement.fine.readout."),
    "without-context": ("refinement.coarse.context.leave.",),
    "without-gate": ("refinement.gate.",),
}


def main() -> None:
    """Write a file for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name, or a file with base and refiner")
    parser.add_argument("folder", type=Path, help="where the files go")
    arguments = parser.parse_args()
    model = load_model(arguments.model, device="cpu")
    if model.is_untrained or model.backbone is None:
        parser.error(f"{arguments.model} has no trained refiner")
    base = model.base.state_dict()
    trained = {name: value for name, value in model.state_dict().items() if not name.startswith("base.")}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for part, beginnings in PARTS.items():
        off = {name for name in trained if name.startswith(beginnings)}
        assert off, part
        refiner = {name: torch.zeros_like(value) if name in off else value for name, value in trained.items()}
        path = arguments.folder / f"{part}.safetensors"
        write_weights(path, backbone=model.backbone, base=base, refiner=refiner)
        print(path)


if __name__ == "__main__":
    main()
