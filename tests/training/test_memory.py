from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from annotated import DISCS, discs, write_field, write_sequence, write_set

from napari_sam2refiner.datasets.sequences import find_sequences
from napari_sam2refiner.metrics import iou
from napari_sam2refiner.training.config import MemoryTrainingConfig, load_config
from napari_sam2refiner.training.loop import Moment, train
from napari_sam2refiner.training.memory import MemoryCourse, handed_on
from napari_sam2refiner.training.passages import MovingFields
from napari_sam2refiner.weights.format import read_weights
from napari_sam2refiner.weights.load import load_memory

if TYPE_CHECKING:
    from napari_sam2refiner.training.passages import Passage


@pytest.fixture
def memory_config() -> MemoryTrainingConfig:
    return load_config(None, MemoryTrainingConfig, crops=4, steps=2, scenes=0, warmup=0, validate_every=2)


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    return [write_set(tmp_path / "discs"), write_sequence(tmp_path / "movie")]


def passages(config: MemoryTrainingConfig, sets: list[Path], count: int = 8, **changes: object) -> list[Passage]:
    course = MemoryCourse(config.model_copy(update=changes), sets)
    return [course.crops[i] for i in range(count)]


def centre(mask: torch.Tensor) -> np.ndarray:
    return torch.nonzero(mask > 0.5).float().mean(0).numpy()


@pytest.mark.parametrize("stills", [0.0, 1.0])
def test_passages_show_an_object_where_it_is(
    memory_config: MemoryTrainingConfig, sets: list[Path], stills: float
) -> None:
    alike = {"stills": stills, "absent": 0.0, "damaged": 0.0, "plain": 1.0}
    for one, again in zip(*(passages(memory_config, sets, **alike) for _ in range(2)), strict=True):
        assert torch.equal(one.pixels, again.pixels)
        assert one.pixels.shape == (5, 4, 128, 128)
        for pixels, mask in zip(one.pixels, one.masks, strict=True):
            inside, ground = pixels[0][mask > 0.9], pixels[0][(mask < 0.1) & (pixels[3] > 0.9)]
            assert inside.median() > ground.median() + 0.5  # discs are brighter
        assert np.abs(centre(one.masks[3]) - 63.5).max() < 16  # the window is around it


def test_objects_that_are_gone_and_masks_that_are_wrong(memory_config: MemoryTrainingConfig, sets: list[Path]) -> None:
    gone = passages(memory_config, sets, 12, absent=1.0, damaged=0.0)
    assert any(not one.masks[4].any() for one in gone)
    assert all(one.masks[3].any() for one in gone)
    right = passages(memory_config, sets, damaged=0.0, absent=0.0)
    wrong = passages(memory_config, sets, damaged=1.0, absent=0.0)
    assert all(one.masks[3].any() for one in wrong)
    assert any(not torch.equal(a.masks[3], b.masks[3]) for a, b in zip(right, wrong, strict=True))


def test_objects_that_end_are_drawn_more_often(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "movie", frames=2)
    image, labels = discs(places=DISCS[:2])
    write_field(folder / "train", "01/0001.png", image, labels)
    (sequence,) = find_sequences(folder, "train")
    moving = MovingFields(sequence)

    def drawn(ending: float) -> set[int]:
        draws = (moving.draw(np.random.default_rng(i), 1, ending) for i in range(60))
        return {number for frames, number in filter(None, draws) if frames[2] is moving.frames[0]}

    assert drawn(0.0) == {1, 2, 3}
    assert drawn(1.0) == {3}


def test_what_was_found_in_one_window_is_the_hint_in_the_next(
    memory_config: MemoryTrainingConfig, sets: list[Path]
) -> None:
    given = passages(memory_config, sets, 12, damaged=0.0, absent=0.0)
    masks, shift = torch.stack([one.masks for one in given], 1), torch.stack([one.shift for one in given])
    assert shift[:, :2].abs().max() > 0.02, "the windows are not the same"
    moved = handed_on(masks[2] - 0.5, shift, torch.zeros_like(masks[3]))
    for found, truth in zip(moved > 0.5, masks[3] > 0.5, strict=True):
        assert iou(found.numpy(), truth.numpy()) > 0.9
    assert torch.equal(handed_on(torch.full_like(masks[2], -1.0), shift, masks[3]), masks[3]), "nothing was found"


def test_a_memory_learns_and_is_saved(memory_config: MemoryTrainingConfig, sets: list[Path], tmp_path: Path) -> None:
    course = MemoryCourse(memory_config, sets)
    samples = [course.crops[i] for i in range(4)]
    optimizer = torch.optim.AdamW(course.parameters(), 2e-3)
    losses = []
    for step in range(12):
        loss, figures = course(samples, Moment(step, 0, 0.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert set(figures) == {"loss", "iou_found", "iou_copied", "there"}
    said: list[str] = []
    path = train(partial(MemoryCourse, memory_config, sets), tmp_path / "run", say=said.append)
    assert "sequences: movie 1" in said
    assert any("movie 0." in line and "copied" in line for line in said)
    weights = read_weights(path)
    assert not weights.base
    assert not weights.refiner
    loaded = load_memory(path, device="cpu")
    saved = MemoryCourse(memory_config, sets, loaded.state_dict()).memory.state_dict()
    assert all(torch.equal(value, saved[key]) for key, value in loaded.state_dict().items())
