from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from annotated import write_set

from napari_sam2refiner.network.micro import MicroBase
from napari_sam2refiner.training import base
from napari_sam2refiner.training.config import BaseTrainingConfig, load_config

tiny_network = partial(MicroBase, 32, 16, widths=(16, 16, 24, 32), depths=(1, 1, 1, 1))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks gain nothing from threads, and lose much where others use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def network() -> MicroBase:
    torch.manual_seed(0)
    return tiny_network()


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the course of a base train a tiny network."""
    monkeypatch.setattr(base, "MicroBase", tiny_network)


@pytest.fixture
def config() -> BaseTrainingConfig:
    return load_config(
        None,
        BaseTrainingConfig,
        crop=128,
        crops=2,
        objects=3,
        rounds=2,
        steps=4,
        warmup=2,
        scenes=3,
        learning_rate=3e-3,
    )


@pytest.fixture
def data(tmp_path: Path) -> list[Path]:
    return [write_set(tmp_path / "discs")]
