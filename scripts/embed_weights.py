"""Put a trained base into the package as `micro`: copy its file, write its size and checksum into the registry.

python scripts/embed_weights.py runs/micro/base.safetensors
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "napari_sam2refiner" / "weights"


def embed(source: Path, folder: Path = FOLDER) -> None:
    """Copy a weight file to `micro.safetensors` and fill the first entry of `registry.toml`, which is micro's.

    Parameters
    ----------
    source : Path
        A file of ours that loads as a micro base.
    folder : Path
        With `registry.toml`.
    """
    from napari_sam2refiner.weights.load import load_model

    model = load_model(source, device="cpu")
    if model.backbone != "micro":
        sys.exit(f"{source} is a {model.backbone}; only micro comes with the package.")
    content = source.read_bytes()
    registry = folder / "registry.toml"
    text = registry.read_text(encoding="utf-8")
    text = re.sub(r"^size = \d+$", f"size = {len(content)}", text, count=1, flags=re.MULTILINE)
    digest = hashlib.sha256(content).hexdigest()
    text = re.sub(r'^sha256 = "\w+"$', f'sha256 = "{digest}"', text, count=1, flags=re.MULTILINE)
    trained = str(model.refiner_name is not None).lower()
    text = re.sub(r"^refiner = \w+$", f"refiner = {trained}", text, count=1, flags=re.MULTILINE)
    partial = folder / "micro.part"
    partial.write_bytes(content)
    os.replace(partial, folder / "micro.safetensors")
    registry.write_text(text, encoding="utf-8")
    print(f"{folder / 'micro.safetensors'}: {len(content)} bytes, sha256 {digest}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    embed(Path(sys.argv[1]))
