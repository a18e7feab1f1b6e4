"""Frames per second and memory of a stack, against SAM 2.1's own video predictor: in one process, in turn, medians.

Both sides have the same random weights (tiny, 1024 pixels), as time does not depend on them. Objects are discs, given
as masks on the first frame. Not a test: it says what is so. The bars are those of the design.

Run: python benchmarks/stack.py [--objects 1 8 32] [--frames 8] [--threads 2] [--growth]
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sam2.build_sam import build_sam2_video_predictor

from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.stack import StackSession
from napari_sam2refiner.weights import load_model

SIDE = 1024
GROWTH = (50, 400)  # frames


class Discs:
    """A stack of so many discs that drift; drawn when a frame is read."""

    def __init__(self, count: int, frames: int, side: int = SIDE) -> None:
        self.count, self.frames, self.side = count, frames, side
        self.rows, self.columns = np.ogrid[:side, :side]
        across = int(np.ceil(np.sqrt(count)))
        step = side / across
        self.centres = [((n // across + 0.5) * step, (n % across + 0.4) * step) for n in range(count)]
        self.radius = 0.25 * step

    def __len__(self) -> int:
        return self.frames

    def masks(self, t: int) -> Iterator[Any]:
        """Give each disc's mask."""
        for y, x in self.centres:
            yield (self.rows - y) ** 2 + (self.columns - x - 0.02 * self.radius * t) ** 2 < self.radius**2

    def __getitem__(self, t: int) -> Any:
        image = np.full((self.side, self.side), 60, np.uint8)
        for mask in self.masks(t):
            image[mask] = 180
        return image


class Official:
    """The official predictor on frames in memory, its reading of JPEG files left out."""

    def __init__(self, predictor: Any, stack: Discs) -> None:
        images = torch.stack([torch.from_numpy(stack[t]).float() / 255 for t in range(len(stack))])
        images = ((images - 0.45) / 0.225)[:, None].expand(-1, 3, -1, -1)
        with mock.patch("sam2.sam2_video_predictor.load_video_frames", return_value=(images, SIDE, SIDE)):
            self.state = predictor.init_state("frames")
        self.predictor = predictor
        for number, mask in enumerate(stack.masks(0), 1):
            predictor.add_new_mask(self.state, 0, number, mask)

    def seconds(self) -> list[float]:
        """Time each frame after the first."""
        with mock.patch("sam2.sam2_video_predictor.tqdm", lambda order, **_: order):
            return timed(self.predictor.propagate_in_video(self.state))


def ours(model: SAM2Refiner, stack: Discs) -> list[float]:
    """Time each frame after the first."""
    session = StackSession(model, stack, limits=(0.0, 255.0))
    for number, mask in enumerate(stack.masks(0), 1):
        session.add(number, 0, Prompts(mask=mask))
    return timed(session.propagate("forward"))


def timed(frames: Iterator[Any]) -> list[float]:
    """Time each item but the first."""
    times, start = [], time.perf_counter()
    for _ in frames:
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return times[1:]


def growth(model: SAM2Refiner, side: int) -> float:
    """Return how many MB the peak grows by for each frame of a long stack."""
    peaks = []
    stack = Discs(8, GROWTH[1], side)
    session = StackSession(model, stack, limits=(0.0, 255.0))
    for number, mask in enumerate(stack.masks(0), 1):
        session.add(number, 0, Prompts(mask=mask))
    for found in session.propagate("forward"):
        if found.index + 1 in GROWTH:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return (peaks[1] - peaks[0]) / (GROWTH[1] - GROWTH[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--growth", action="store_true", help="also how much memory micro's peak grows by, 8 objects")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    console = Console(width=140)
    micro = load_model("micro", "none", device="cpu")
    if arguments.growth:  # before anything else has raised the peak
        console.print(f"micro: {growth(micro, 512):.3f} MB more for each frame from {GROWTH[0]} to {GROWTH[1]}")
    predictor = build_sam2_video_predictor("configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu")
    tiny = SAM2Refiner(build_base("sam2.1_hiera_tiny")).eval()
    tiny.base.load_state_dict(predictor.state_dict())
    table = Table(
        "objects",
        "official, s per frame",
        "tiny, exact",
        "ratio",
        "micro",
        "ratio",
        title=f"{arguments.threads} threads",
    )
    with torch.inference_mode():
        for count in arguments.objects:
            stack = Discs(count, arguments.frames)
            times = [
                float(np.median(call))
                for call in (Official(predictor, stack).seconds(), ours(tiny, stack), ours(micro, stack))
            ]
            theirs, exact, small = times
            table.add_row(
                str(count),
                f"{theirs:.2f}",
                f"{exact:.2f}",
                f"{theirs / exact:.2f} x",
                f"{small:.2f}",
                f"{theirs / small:.1f} x",
            )
    console.print(table)


if __name__ == "__main__":
    main()
