from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_sam2refiner.training.base import NOT_TRAINED, BaseCourse
from napari_sam2refiner.training.config import BaseTrainingConfig, load_config
from napari_sam2refiner.training.crops import CropDataset
from napari_sam2refiner.training.loop import Moment, groups
from napari_sam2refiner.training.readers import scene_field
from napari_sam2refiner.training.rounds import CropBatch, collate

if TYPE_CHECKING:
    from napari_sam2refiner.network.micro import MicroBase

CPU = torch.device("cpu")
NEVER_USED = "sam_prompt_encoder.no_mask_embed.weight"  # the decoder always gets a mask: the first guess

pytestmark = pytest.mark.usefixtures("_tiny")


@pytest.fixture
def course(config: BaseTrainingConfig, data: list[Path]) -> BaseCourse:
    return BaseCourse(config, data).train()


def one_batch(network: MicroBase, config: BaseTrainingConfig) -> CropBatch:
    crops = CropDataset({"scenes": [scene_field(i) for i in range(2)]}, config)
    return collate([crops[0], crops[1]], network, 3, CPU)


def step_loss(course: BaseCourse, batch: CropBatch, step: int = 0) -> tuple[torch.Tensor, dict[str, float]]:
    return course.loss(batch, 2, np.random.default_rng(step))


def test_one_batch_is_learned_by_heart(course: BaseCourse, config: BaseTrainingConfig) -> None:
    batch = one_batch(course.network, config)
    optimizer = torch.optim.AdamW(groups(course.network, config), lr=config.learning_rate)
    figures = []
    for step in range(18):
        loss, figure = step_loss(course, batch, step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(course.network.parameters(), config.clip)
        optimizer.step()
        figures.append(figure)
    assert figures[-1]["loss"] < 0.5 * figures[0]["loss"]
    assert sum(f["iou_last"] for f in figures[-4:]) / 4 > figures[0]["iou_last"] + 0.3


def test_what_is_trained_gets_a_gradient_and_the_memory_none(course: BaseCourse, config: BaseTrainingConfig) -> None:
    loss, _ = step_loss(course, one_batch(course.network, config))
    loss.backward()
    trained = {id(p) for group in groups(course.network, config) for p in group["params"]}
    for name, parameter in course.network.named_parameters():
        assert (id(parameter) in trained) != name.startswith(NOT_TRAINED), name
        has_gradient = parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())
        assert has_gradient == (id(parameter) in trained and name != NEVER_USED), name


def test_a_step_in_half_precision_is_close(course: BaseCourse, config: BaseTrainingConfig) -> None:
    batch = one_batch(course.network, config)
    exact, _ = step_loss(course, batch)
    with torch.autocast("cpu", torch.bfloat16):  # as on a GPU
        loss, _ = step_loss(course, batch)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.1)


def test_rounds_grow_after_the_opening(data: list[Path]) -> None:
    settings = {"steps": 100, "opening": 0.25, "rounds": 2, "long_rounds": 5, "scenes": 0}
    course = BaseCourse(load_config(None, BaseTrainingConfig, **settings), data)
    assert [course.rounds(step, step / 100) for step in (0, 7, 24, 25, 90, 95)] == [1, 5, 1, 2, 2, 5]


def gradients(course: BaseCourse) -> set[str]:
    return {name for name, p in course.network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


def test_every_so_many_steps_end_before_the_decoder(config: BaseTrainingConfig, data: list[Path]) -> None:
    mixed = config.model_copy(update={"guess_steps": 0.6, "guess_objects": 5})
    course = BaseCourse(mixed, data).train()
    alone = [course.guesses_only(step) for step in range(10)]
    assert sum(alone) == 6
    assert alone[:5] == alone[5:]
    step = alone.index(True)
    loss, figures = course([course.crops[step]], Moment(step, 0, 0.5))
    loss.backward()
    learned = gradients(course)
    assert any(name.startswith("image_encoder.trunk.stem") for name in learned)
    assert any(name.startswith("instance_embedding.control") for name in learned)
    assert any(name.startswith("prompt_fusion") for name in learned)
    assert not any(name.startswith(("sam_", "mask_quality")) for name in learned)
    assert set(figures) == {"loss_guess"}


def test_steps_with_the_decoder_have_their_long_rounds_whatever_the_others(
    config: BaseTrainingConfig, data: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    course = BaseCourse(config.model_copy(update={"guess_steps": 0.75, "opening": 0.0}), data).train()
    asked: list[int] = []
    monkeypatch.setattr(course, "loss", lambda _batch, rounds, _rng: asked.append(rounds))
    monkeypatch.setattr(course, "guess_loss", lambda _batch, _rng: None)
    for step in range(64):
        course([course.crops[0]], Moment(step, 0, 0.5))
    assert asked == 2 * ([config.rounds] * 7 + [config.long_rounds])


def test_a_set_without_a_share_is_validated_too(data: list[Path]) -> None:
    settings = {"crop": 128, "crops": 1, "objects": 1, "scenes": 1, "weights": {"discs": 0.0, "scenes": 1.0}}
    course = BaseCourse(load_config(None, BaseTrainingConfig, **settings), data).eval()
    with torch.no_grad():
        figures = course.validate(crops=4)
    assert 0 <= figures["discs_1"] == figures["mean_1"] <= 1
