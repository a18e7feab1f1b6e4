"""Time to encode and to answer, against SAM 2.1's own image predictor: ratios in one process, in turn, medians.

Both sides have random weights of the same sizes, as time does not depend on them; the refiner's zero ends are filled so
that its work is done. Not a test: it says what is so. The bars are those of the design.

Run: python benchmarks/predict.py [--repeats 5] [--threads 2] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sam2.build_sam import build_sam2
from sam2.sam2_image_predictor import SAM2ImagePredictor

from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.image import ImageSession
from napari_sam2refiner.simulated_user import random_points

OBJECTS = 64


def refiner(name: str, device: str) -> SAM2Refiner:
    """Return a network with random weights, none of them zero."""
    torch.manual_seed(0)
    network = SAM2Refiner(build_base(name)).eval().to(device)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=1e-3)
    return network


def seconds(call: Callable[[], Any], device: str) -> float:
    """Time one call, to its last kernel."""
    start = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    device = arguments.device
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (1024, 1024, 3), np.uint8)
    plane = rng.integers(0, 255, (512, 512), np.uint8)
    points = random_points(np.ones(image.shape[:2], bool), OBJECTS, rng)
    one = Prompts(points=points[:1])
    many = [Prompts(points=[p]) for p in points]
    official = SAM2ImagePredictor(build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", device=device))
    tiny, micro = ImageSession(refiner("sam2.1_hiera_tiny", device)), ImageSession(refiner("micro", device))

    def encode_official() -> None:
        official.set_image(image)

    def predict_official(count: int = 1) -> None:
        for y, x in points[:count]:
            official.predict(np.array([[x, y]]), np.array([1]))

    def encode_tiny() -> None:
        tiny.set_image(image).encode()

    def predict_micro() -> None:
        micro.set_image(plane).predict(Prompts(points=[(200, 300)]), refine=False)

    def both_official() -> None:
        encode_official()
        predict_official()

    cases: list[tuple[str, str, Callable[[], Any], Callable[[], Any]]] = [
        ("tiny: encode, against set_image", "<= 1.0", encode_tiny, encode_official),
        (
            "tiny: refined click on a cached plane, against predict",
            "<= 1.5",
            lambda: tiny.predict(one, local_detail="off"),
            predict_official,
        ),
        (
            f"tiny: {OBJECTS} objects in one batch, against {OBJECTS} calls of predict",
            "<= 0.25",
            lambda: tiny.predict_many(many, refine=False),
            lambda: predict_official(OBJECTS),
        ),
        (
            f"tiny: {OBJECTS} refined objects, against {OBJECTS} calls of predict",
            "",
            lambda: tiny.predict_many(many, local_detail="off"),
            lambda: predict_official(OBJECTS),
        ),
        (
            "micro: 512-pixel plane and first click, against tiny's set_image and predict",
            "<= 0.10",
            predict_micro,
            both_official,
        ),
    ]
    table = Table("what", "ours, ms", "official, ms", "ratio", "bar", title=f"{arguments.threads} threads, {device}")
    with torch.inference_mode():
        for what, bar, ours, theirs in cases:
            pairs = [(seconds(ours, device), seconds(theirs, device)) for _ in range(arguments.repeats + 1)][1:]
            mine, other = np.median(pairs, 0)
            ratio = np.median([a / b for a, b in pairs])
            table.add_row(what, f"{1000 * mine:.0f}", f"{1000 * other:.0f}", f"{ratio:.2f}", bar)
    Console().print(table)


if __name__ == "__main__":
    main()
