"""Put trained weights into the package: a base as `micro`, its refiner as `micro_refiner`, a memory as `window_memory`.

Copies the file, and writes its size and checksum into the registry.

python scripts/embed_weights.py runs/micro/base.safetensors
python scripts/embed_weights.py runs/refiner/refiner.safetensors
python scripts/embed_weights.py runs/memory/memory.safetensors
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "napari_sam2refiner" / "weights"


def embed(source: Path, folder: Path = FOLDER) -> None:
    """Copy a weight file into a folder and fill its entry of `registry.toml` there.

    Parameters
    ----------
    source : Path
        A file of ours that loads as a micro base, as a refiner of it alone, or as a window memory.
    folder : Path
        With `registry.toml`.
    """
    from napari_sam2refiner.weights.format import read_weights
    from napari_sam2refiner.weights.load import load_memory, load_model

    content = source.read_bytes()
    values = {"size": str(len(content)), "sha256": f'"{hashlib.sha256(content).hexdigest()}"'}
    weights = read_weights(source)
    if weights.memory:
        load_memory(source, device="cpu")
        name = "window_memory"
    elif not weights.base:
        load_model("micro", source, device="cpu")
        name = "micro_refiner"
    else:
        model = load_model(source, device="cpu")
        if model.backbone != "micro":
            sys.exit(f"{source} is a {model.backbone}; only micro comes with the package.")
        name, values["refiner"] = "micro", str(model.refiner_name is not None).lower()
    registry = folder / "registry.toml"
    before, mark, entry = registry.read_text(encoding="utf-8").partition(f'name = "{name}"\n')
    for key, value in values.items():
        entry = re.sub(rf"^{key} = .*$", f"{key} = {value}", entry, count=1, flags=re.MULTILINE)
    partial = folder / f"{name}.part"
    partial.write_bytes(content)
    os.replace(partial, folder / f"{name}.safetensors")
    registry.write_text(before + mark + entry, encoding="utf-8")
    print(f"{folder / name}.safetensors: {values}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    embed(Path(sys.argv[1]))
