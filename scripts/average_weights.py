"""Average two trained bases whose runs share a part: flatter, and a little better than either.

The idea is that of model soups (Wortsman et al., arXiv 2203.05482).

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
    arguments = parser.parse_args()
    first, second = read_weights(arguments.first), read_weights(arguments.second)
    base = {
        key: torch.lerp(first.base[key].float(), value.float(), arguments.share) for key, value in second.base.items()
    }
    write_weights(arguments.out, backbone=second.metadata["backbone"], base=base, metadata=second.metadata)


if __name__ == "__main__":
    main()
