from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_sam2refiner.network.micro import CUTS, SCALES, MaskQuality
from napari_sam2refiner.training import scores
from napari_sam2refiner.training.config import ScoreTrainingConfig, load_config
from napari_sam2refiner.training.loop import Moment, groups
from napari_sam2refiner.training.scores import Answers, Quality, ScoresCourse
from napari_sam2refiner.weights.format import read_weights

if TYPE_CHECKING:
    from napari_sam2refiner.network.micro import MicroBase


@pytest.fixture
def score_config() -> ScoreTrainingConfig:
    return load_config(None, ScoreTrainingConfig, crop=128, objects=3, steps=4, warmup=2, scenes=2, batch=64)


@pytest.fixture
def course(
    score_config: ScoreTrainingConfig, data: list[Path], network: MicroBase, monkeypatch: pytest.MonkeyPatch
) -> ScoresCourse:
    monkeypatch.setattr(scores, "MicroBase", lambda: network)
    monkeypatch.setattr(scores, "FIRST_CROPS", 3)
    return ScoresCourse(score_config, data, network.state_dict()).train()


def test_numbers_brought_to_one_spread_change_nothing_and_fold_back() -> None:
    torch.manual_seed(0)
    quality = MaskQuality(5)
    torch.nn.init.normal_(quality.layers[-1].weight)
    seen = torch.randn(200, 5 + quality.statistics) * torch.logspace(-0.8, 2, 5 + quality.statistics) + 3.0
    spread = Quality(quality, seen)
    torch.testing.assert_close(spread(seen), quality.layers(seen), atol=1e-3, rtol=1e-3)
    brought = (seen - spread.center) / spread.spread
    assert brought.mean(0).abs().max() < 1e-3
    assert brought.std(0) == pytest.approx(1.0, abs=0.1)
    again = MaskQuality(5)
    again.load_state_dict(spread.folded())
    torch.testing.assert_close(again.layers(seen), quality.layers(seen), atol=1e-3, rtol=1e-3)


def test_what_the_score_sees_is_remembered_as_the_network_answered(course: ScoresCourse) -> None:
    answers = course.answers
    assert answers.seen.shape[1] == len(SCALES)
    assert answers.ious.shape == answers.before.shape == (len(answers.seen), len(SCALES), len(CUTS))
    assert 0 <= answers.ious.min() <= answers.ious.max() <= 1
    assert not answers.before.requires_grad
    many = len(answers.seen)
    course([course.crops[0]], Moment(0, 0, 0.0))
    assert len(course.answers.seen) > many
    assert torch.equal(course.answers.seen[:many], answers.seen)


def test_no_number_weighs_beyond_measure_once_users_correct(course: ScoresCourse) -> None:
    for step in range(9):
        course([course.crops[step]], Moment(step, 0, 0.0))
    brought = (course.answers.seen - course.quality.center) / course.quality.spread
    assert brought.abs().max() < 50


def test_scores_are_those_of_the_network_before_they_learn(course: ScoresCourse) -> None:
    answers = course.answers
    torch.testing.assert_close(
        course.quality(answers.seen),
        course.network.mask_quality.layers(answers.seen),
        atol=1e-3,
        rtol=1e-3,
    )


def test_the_latest_answers_are_kept() -> None:
    def numbered(first: int, count: int) -> Answers:
        values = torch.arange(first, first + count).float().reshape(-1, 1, 1)
        return Answers(values, values, values)

    kept = Answers.none().and_then(numbered(0, 4), 6).and_then(numbered(4, 4), 6)
    assert kept.seen.flatten().tolist() == [2, 3, 4, 5, 6, 7]


def test_only_scores_learn_and_they_learn_to_choose(course: ScoresCourse, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in course.network.state_dict().items()}
    optimizer = torch.optim.AdamW(groups(course.trained, course.config), lr=5e-3)
    figures = []
    for step in range(60):
        loss, figure = course.learn(np.random.default_rng(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        figures.append(figure)
    lost = [figure["iou_possible"] - figure["iou_chosen"] for figure in figures]
    assert sum(lost[-10:]) < 0.5 * sum(lost[:10])
    assert figures[-1]["score_error"] < 0.5 * figures[0]["score_error"]
    course.write(tmp_path / "base.safetensors", course.trained.state_dict(), {})
    written = read_weights(tmp_path / "base.safetensors").base
    assert written.keys() == before.keys()
    changed = {
        name  # in the file they are of half precision
        for name, value in written.items()
        if not torch.allclose(value.float(), before[name], atol=1e-3, rtol=1e-3)
    }
    assert "mask_quality.layers.4.bias" in changed
    assert all(name.startswith("mask_quality.") for name in changed)
