"""Average two trained bases whose runs share a part: a little better than either, or as good at more.

The ideas are those of model soups (Wortsman et al., arXiv 2203.05482) and of WiSE-FT (arXiv 2109.01903).

python scripts/average_weights.py runs/third/base.safetensors runs/fourth/base.safetensors out.safetensors --share 0.6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from napari_sam2refiner.weights.format import read_weights, write_weights


def main() -> None:
    """Average two files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second")
    parser.add_argument("--keep", metavar="START", help="weights whose name starts so stay those of the second")
    arguments = parser.parse_args()
    first, second = read_weights(arguments.first), read_weights(arguments.second)
    kept = () if arguments.keep is None else (arguments.keep,)
    base = {
        key: value if key.startswith(kept) else torch.lerp(first.base[key].float(), value.float(), arguments.share)
        for key, value in second.base.items()
    }
    write_weights(arguments.out, backbone=second.metadata["backbone"], base=base, metadata=second.metadata)


if __name__ == "__main__":
    main()
