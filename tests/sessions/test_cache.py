"""Frames are encoded once, in memory as far as it reaches, and on disk where there is a folder."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from annotated import discs

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.network.backbones import _HIERA, Sam21Base
from napari_sam2refiner.network.base import Features
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.cache import EmbeddingCache, fingerprint, frame_key
from napari_sam2refiner.sessions.stack import StackSession
from napari_sam2refiner.weights.load import load_memory

CPU = torch.device("cpu")


class Encoder:
    """Encodes by counting."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Features:
        self.calls += 1
        return Features(*(torch.full((1, 4, 8, 8), float(self.calls)) for _ in range(3)))


SIZE = sum(value.nbytes for value in Encoder()())


def test_the_latest_frames_stay_in_memory() -> None:
    cache, encode = EmbeddingCache(limit=2 * SIZE), Encoder()
    for key in "aabab":
        cache.get(key, CPU, encode)
    assert encode.calls == 2
    cache.get("c", CPU, encode)
    assert cache.size == 2 * SIZE
    assert float(cache.get("b", CPU, encode).embedding.mean()) == 2.0
    cache.get("a", CPU, encode)  # the one that was asked for least lately
    assert encode.calls == 4
    small = EmbeddingCache(limit=1)
    assert small.get("a", CPU, encode) is small.get("a", CPU, encode)


def test_a_folder_remembers_and_may_be_damaged(tmp_path: Path) -> None:
    encode = Encoder()
    first = EmbeddingCache(folder=tmp_path / "cache").get("a", CPU, encode)
    again = EmbeddingCache(folder=tmp_path / "cache").get("a", CPU, encode)
    assert encode.calls == 1
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    (tmp_path / "cache" / "a.safetensors").write_bytes(b"nothing")
    EmbeddingCache(folder=tmp_path / "cache").get("a", CPU, encode)
    assert encode.calls == 2
    EmbeddingCache(folder=tmp_path / "cache").get("a", CPU, encode)
    assert encode.calls == 2


def test_a_full_disk_costs_the_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache, encode = EmbeddingCache(folder=tmp_path), Encoder()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(UserWarning, match=r"No space left on device.* encoded again where they are needed"):
        cache.get("a", CPU, encode)
    cache.get("b", CPU, encode)
    cache.get("a", CPU, encode)
    assert encode.calls == 2
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match="cannot be made"):
        EmbeddingCache(folder=tmp_path / "file" / "cache")


def test_going_again_with_a_folder_neither_encodes_nor_answers_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = SAM2Refiner(Sam21Base(_HIERA["sam2.1_hiera_tiny"], side=256).eval()).eval()
    other = SAM2Refiner(Sam21Base(_HIERA["sam2.1_hiera_tiny"], side=256).eval()).eval()
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    assert fingerprint(model) == fingerprint(model)
    assert fingerprint(model) != fingerprint(other)
    assert len({frame_key("w", frames[0]), frame_key("w", frames[1]), frame_key("v", frames[0])}) == 3

    def masks() -> list[np.ndarray]:
        stack = StackSession(model, frames, cache=EmbeddingCache(folder=tmp_path))
        stack.add(1, 0, Prompts([(30, 30)]))
        return [found.objects[1].logits for found in stack.propagate()]

    first = masks()
    calls: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda pixels: (calls.append(1), encode(pixels))[1])
    for one, again in zip(first, masks(), strict=True):
        np.testing.assert_allclose(one, again, atol=0.05)  # half precision on disk
    assert not calls


def test_a_base_that_outlines_what_a_window_memory_finds_encodes_no_frame_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam2refiner.sessions.carriers.AGREED", -1.0)  # random weights agree with nothing
    torch.manual_seed(0)
    model = SAM2Refiner(Sam21Base(_HIERA["sam2.1_hiera_tiny"], side=256).eval()).eval()
    image, labels = discs((64, 64), [(32, 32, 12)])
    frames = np.stack([image + t for t in range(3)])
    calls: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda pixels: (calls.append(1), encode(pixels))[1])
    for _ in range(2):
        stack = StackSession(model, frames, memory=load_memory(device="cpu"), cache=EmbeddingCache(folder=tmp_path))
        stack.add(1, 0, Prompts(mask=labels == 1))
        assert len(list(stack.propagate("forward"))) == 3
        assert len(calls) in (2, 3), "each frame that was outlined on, once; the second time, none"
