"""What was carried comes back from the disk as it was, and a run on it goes on as it would have."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam2refiner.errors import InvalidConfigError, InvalidPromptError, ReadError, SaveError
from napari_sam2refiner.network.backbones import _HIERA, Sam21Base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.journal import Journal
from napari_sam2refiner.sessions.stack import StackSession
from napari_sam2refiner.weights import load_model

TERMS = {"stack": "cells.tif", "model": "micro"}
LIMITS = (3.0, 250.5)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Two discs, one of which moves."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    stack = rng.normal(100, 10, (7, 96, 128))
    for t in range(7):
        stack[t] += 200 * ((rows - 40) ** 2 + (columns - 30 - 4 * t) ** 2 < 15**2)
        stack[t] += 200 * ((rows - 70) ** 2 + (columns - 100) ** 2 < 12**2)
    return stack.astype(np.uint16)


@pytest.fixture(scope="module", params=["micro", "tiny"])
def model(request: Any) -> SAM2Refiner:
    """One that carries masks, one with a memory (with random weights)."""
    if request.param == "micro":
        return load_model("micro", "none", device="cpu")
    torch.manual_seed(0)
    base = Sam21Base(_HIERA["sam2.1_hiera_tiny"], side=256)
    for parameter in (base.maskmem_tpos_enc, base.no_mem_embed):
        torch.nn.init.normal_(parameter, std=0.5)
    return SAM2Refiner(base.eval()).eval()


def prompted(model: SAM2Refiner, frames: np.ndarray) -> StackSession:
    stack = StackSession(model, frames)
    stack.add(1, 3, Prompts([(40, 42)]))
    stack.add(7, 3, Prompts([(70, 100)]))
    return stack


def test_an_interrupted_run_goes_on_as_it_would_have(model: SAM2Refiner, frames: np.ndarray, tmp_path: Path) -> None:
    whole = prompted(model, frames)
    list(whole.propagate())
    begun, journal = prompted(model, frames), Journal(tmp_path / "run", TERMS, LIMITS)
    for found in begun.propagate():
        journal.write(begun, found.index)
        if found.index == 5:
            break
    resumed, journal = prompted(model, frames), Journal(tmp_path / "run", TERMS, LIMITS)
    assert journal.restore(resumed) == {3: set(), 4: {1, 7}, 5: {1, 7}}
    list(resumed.propagate())
    for t in range(7):
        for number, wanted in whole.at(t).objects.items():
            found = resumed.at(t).objects[number]
            assert (found.score, found.object_score) == pytest.approx((wanted.score, wanted.object_score), abs=1e-6)
            np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-5)
    journal.remove()
    assert not (tmp_path / "run").exists()


def test_where_an_object_ended_comes_back(frames: np.ndarray, tmp_path: Path) -> None:
    micro = load_model("micro", "none", device="cpu")
    frames = frames.copy()
    frames[5:, :, :90] = 100  # the first disc is gone
    stack, journal = prompted(micro, frames), Journal(tmp_path / "run", TERMS, LIMITS)
    for found in stack.propagate("forward", early_stop=True):
        journal.write(stack, found.index)
    assert 1 not in stack.at(5).objects
    resumed, journal = prompted(micro, frames), Journal(tmp_path / "run", TERMS, LIMITS)
    journal.restore(resumed)
    again = list(resumed.propagate("forward", early_stop=True))
    assert not any(found.fresh for found in again)
    assert [found.index for found in again if 1 in found.ended] == [5, 6]


def test_another_run_is_not_mixed_with_it(frames: np.ndarray, tmp_path: Path) -> None:
    Journal(tmp_path / "run", TERMS | {"model": "sam2"}, LIMITS)
    assert Journal.limits_in(tmp_path / "run") is None
    journal = Journal(tmp_path / "run", TERMS, LIMITS)  # nothing is kept yet
    stack = prompted(load_model("micro", "none", device="cpu"), frames)
    list(stack.propagate("forward"))
    journal.write(stack, 4)
    Journal(tmp_path / "run", TERMS, LIMITS)
    assert Journal.limits_in(tmp_path / "run") == LIMITS
    with pytest.raises(InvalidConfigError, match=r"done with another model \(micro instead of sam2\); go on with"):
        Journal(tmp_path / "run", TERMS | {"model": "sam2"}, LIMITS)
    for damaged in ("{", "{}"):
        (tmp_path / "run" / "terms.json").write_text(damaged)
        with pytest.raises(ReadError, match="to begin again"):
            Journal.limits_in(tmp_path / "run")
    with pytest.raises(SaveError, match="cannot be made"):
        Journal(tmp_path / "none" / "run", TERMS, LIMITS)


def test_what_is_damaged_or_finds_no_room_is_named(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, journal = (
        prompted(load_model("micro", "none", device="cpu"), frames),
        Journal(tmp_path / "run", TERMS, LIMITS),
    )
    list(stack.propagate("forward"))
    journal.write(stack, 4)

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(SaveError, match="No space left on device"):
            journal.write(stack, 5)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"terms.json", "000004.safetensors"}
    with pytest.raises(InvalidPromptError, match="there is no object 1; add its prompts before"):
        journal.restore(StackSession(load_model("micro", "none", device="cpu"), frames))
    shutil.copy(tmp_path / "run" / "terms.json", tmp_path / "run" / "000005.safetensors")
    with pytest.raises(ReadError, match=r"000005.safetensors cannot be read .* its frame is done again"):
        journal.restore(stack)
