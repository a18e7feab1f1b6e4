"""Write synthetic neurons and filaments as a set for `evaluate`; training draws others.

python scripts/draw_scenes.py DATA/thin_scenes
napari-sam2refiner evaluate --data DATA/thin_scenes --clicks 1 --clicks 10
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from skimage.io import imsave

from napari_sam2refiner.training.readers import scene_field
from napari_sam2refiner.training.scenes import THIN

SEED = 10**12  # far from those that any run draws


def main() -> None:
    """Write images, labels and meta.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the set; made if needed")
    parser.add_argument("--scenes", type=int, default=40)
    arguments = parser.parse_args()
    folders = [arguments.folder / "val" / kind for kind in ("images", "labels")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.scenes):
        field = scene_field(SEED + number, kinds=THIN)
        for folder, values in zip(folders, (field.image, field.labels.astype(np.uint16)), strict=True):
            imsave(folder / f"{number:04}.png", values, check_contrast=False)
    meta = {"use": "eval", "kind": "image", "objects": "neurons and filaments, synthetic", "licence": "BSD-3-Clause"}
    (arguments.folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
