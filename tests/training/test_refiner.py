from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from annotated import discs
from torch.nn import functional as F

from napari_sam2refiner.datasets import Field
from napari_sam2refiner.network.micro import MicroBase
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.planes.intensity import limits
from napari_sam2refiner.training.config import RefinerTrainingConfig, load_config
from napari_sam2refiner.training.loop import Moment, groups, train
from napari_sam2refiner.training.losses import uncertain_points
from napari_sam2refiner.training.refiner import RefinerCourse, Scene, look_loss, refiner_loss
from napari_sam2refiner.training.rounds import Conversation
from napari_sam2refiner.training.views import View, ViewDataset
from napari_sam2refiner.weights.format import read_weights
from napari_sam2refiner.weights.load import load_model

SPEC = MicroBase.input


@pytest.fixture
def settings() -> dict[str, Any]:
    return {
        "crops": 1,
        "objects": 3,
        "rounds": 3,
        "steps": 2,
        "warmup": 0,
        "scenes": 0,
        "thin_scenes": 0,
        "points": 256,
        "validate_every": 1,
        "validation_views": 2,
        "opening": 0.0,
    }


@pytest.fixture
def refiner_config(settings: dict[str, Any]) -> RefinerTrainingConfig:
    return load_config(None, RefinerTrainingConfig, **settings)


@pytest.fixture
def course(refiner_config: RefinerTrainingConfig, data: list[Path]) -> RefinerCourse:
    return RefinerCourse(refiner_config, data, "micro").train()


def field_of_discs(shape: tuple[int, int] = (60, 90)) -> Field:
    image, labels = discs(shape)
    return Field("discs", image, labels, limits(image))


def views(config: RefinerTrainingConfig, count: int, **changes: object) -> list[View]:
    dataset = ViewDataset({"discs": [field_of_discs()]}, config.model_copy(update=changes), SPEC)
    return [dataset[i] for i in range(count)]


def scene(course: RefinerCourse, view: View, places: tuple[int, ...] = ()) -> Scene:
    return Scene(course.model, [view], [(0, place) for place in places])


def test_whole_fields_and_windows_show_their_objects(refiner_config: RefinerTrainingConfig) -> None:
    for view in views(refiner_config, 4, whole_planes=1.0):
        assert sorted(view.labels.shape) == [60, 90]  # turned at random
        assert view.image.shape == (*view.labels.shape, 3)
        assert 0 <= view.image.min() < view.image.max() <= 1
        assert view.truth.shape == (3, 512, 512)
        areas = view.truth.sum((1, 2)) / np.prod(view.frame.scale)
        assert sorted(areas.tolist()) == pytest.approx(
            np.bincount(view.labels.flatten())[1:][np.argsort(np.bincount(view.labels.flatten())[1:])].tolist(),
            rel=0.02,
        )
    sides = [max(view.labels.shape) for view in views(refiner_config, 12, whole_planes=0.0)]
    assert min(sides) < 45
    assert max(sides) > 50


def test_the_same_number_gives_the_same_view(refiner_config: RefinerTrainingConfig) -> None:
    first, again = views(refiner_config, 2), views(refiner_config, 2)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.truth, b.truth)
    assert not torch.equal(first[0].truth[0], first[1].truth[0])


def test_a_fresh_refiner_answers_as_its_base_and_harms_nobody(
    course: RefinerCourse, refiner_config: RefinerTrainingConfig
) -> None:
    (view,) = views(refiner_config, 1)
    asked = scene(course, view, (0, 3))
    talk = Conversation(asked.batch, {"click": 1.0}, np.random.default_rng(0))
    for turn in asked.converse(talk, 2, explore=0.5):
        assert torch.equal(turn.refined.logits, turn.decoded.chosen_logits)
    _, (base, refined) = refiner_loss(turn, asked.batch, asked.truth, refiner_config, np.random.default_rng(1))
    torch.testing.assert_close(base, refined, atol=0.02, rtol=0)
    assert base.mean() > 0.5


def test_one_scene_is_learned_by_heart_and_the_base_stays(
    course: RefinerCourse, refiner_config: RefinerTrainingConfig
) -> None:
    (view,) = views(refiner_config, 1, plain=1.0)
    before = {k: v.clone() for k, v in course.model.base.state_dict().items()}
    optimizer = torch.optim.AdamW(groups(course.trained, refiner_config), lr=1e-3)
    losses = []
    for _ in range(20):
        asked = scene(course, view)
        talk = Conversation(asked.batch, {"noisy_mask": 1.0}, np.random.default_rng(0))
        (turn,) = asked.converse(talk, 1, explore=0.0, graded={0})
        loss, ious = refiner_loss(turn, asked.batch, asked.truth, refiner_config, np.random.default_rng(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    assert ious[1].mean() > ious[0].mean() + 0.02
    assert all(torch.equal(v, before[k]) for k, v in course.model.base.state_dict().items())


def test_where_objects_and_outlines_are_seen_is_learned_from_the_labels(refiner_config: RefinerTrainingConfig) -> None:
    (view,) = views(refiner_config, 1, plain=1.0)
    objects = view.frame.share(view.labels > 0)
    half = F.avg_pool2d(objects[None, None], 2)[:, 0]
    right, wrong = (torch.stack([sign * (20.0 * half - 10.0), torch.full_like(half, -5.0)], 1) for sign in (1, -1))
    assert look_loss(right, [view]) < 0.6 * look_loss(wrong, [view])
    nowhere = torch.full_like(right, -5.0)
    assert look_loss(right, [view]) < look_loss(nowhere, [view])


def test_every_part_of_the_refiner_gets_a_gradient(
    course: RefinerCourse, refiner_config: RefinerTrainingConfig
) -> None:
    (view,) = views(refiner_config, 1)
    optimizer = torch.optim.AdamW(groups(course.trained, refiner_config), lr=1e-3)
    for _ in range(3):  # what lies behind zeros learns when these have moved
        asked = scene(course, view, (0, 1, 2, 3))
        talk = Conversation(asked.batch, {"box": 1.0}, np.random.default_rng(0))
        *_, turn = asked.converse(talk, 2, explore=0.0, graded={1})
        loss, _ = refiner_loss(turn, asked.batch, asked.truth, refiner_config, np.random.default_rng(1))
        optimizer.zero_grad()
        (loss + look_loss(asked.look.seen, [view])).backward()
        optimizer.step()
    missing = [name for name, p in course.trained.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_answers_before_the_last_can_be_learned_from(
    course: RefinerCourse, refiner_config: RefinerTrainingConfig
) -> None:
    (view,) = views(refiner_config, 1)
    asked = scene(course, view)
    talk = Conversation(asked.batch, {"click": 1.0}, np.random.default_rng(0))
    turns = list(asked.converse(talk, 3, explore=0.0, graded={0, 2}))
    assert [turn.refined.logits.requires_grad for turn in turns] == [True, False, True]
    rng = np.random.default_rng(1)
    torch.stack(
        [refiner_loss(t, asked.batch, asked.truth, refiner_config, rng)[0] for t in turns[::2]]
    ).sum().backward()


def test_harm_costs_extra(course: RefinerCourse, refiner_config: RefinerTrainingConfig) -> None:
    (view,) = views(refiner_config, 1)
    asked = scene(course, view)
    talk = Conversation(asked.batch, {"click": 1.0}, np.random.default_rng(0))
    (turn,) = asked.converse(talk, 1, explore=0.0)
    worse = turn._replace(refined=turn.refined._replace(logits=turn.refined.logits - 3.0))
    costs = []
    for answer in (turn, worse):
        for weight in (0.0, 1.0):
            config = refiner_config.model_copy(update={"harm_weight": weight})
            costs.append(refiner_loss(answer, asked.batch, asked.truth, config, np.random.default_rng(1))[0].item())
    assert costs[1] - costs[0] < 0.05
    assert costs[3] - costs[2] > costs[1] - costs[0] + 0.05


def test_points_lie_in_their_boxes_and_where_masks_are_uncertain() -> None:
    columns = torch.arange(64.0).expand(1, 64, 64)
    points = uncertain_points(columns - 20.0, torch.tensor([[10.0, 30.0, 50.0, 40.0]]), 100, np.random.default_rng(0))
    assert points.shape == (1, 100, 2)
    x, y = (points[0] + 1.0).T * 32.0
    assert 10 <= x.min() <= x.max() <= 50
    assert 30 <= y.min() <= y.max() <= 40
    assert (x[:75] - 20.5).abs().max() < 8
    assert x[75:].max() > 40


def test_a_run_leaves_a_refiner_that_loads(tmp_path: Path, data: list[Path], settings: dict[str, Any]) -> None:
    out = tmp_path / "out"
    config = load_config(None, RefinerTrainingConfig, **settings)
    said: list[str] = []
    path = train(partial(RefinerCourse, config, data, "micro"), out, say=said.append)
    assert said[0] == "base micro (micro), frozen"
    assert "after 1 click, " in said[-1]
    weights = read_weights(path)
    assert not weights.base
    assert weights.metadata["base"] == "micro"
    model = load_model("micro", path)
    assert isinstance(model, SAM2Refiner)
    assert model.refiner_name == "refiner"
    header = (out / "validation.csv").read_text().splitlines()[0].split(",")
    assert {"discs_base_1", "discs_refined_1", "discs_base_3", "discs_refined_3", "mean_refined_3"} < set(header)


def test_at_the_start_only_the_look_learns_and_the_log_stays_a_table(
    tmp_path: Path, data: list[Path], settings: dict[str, Any]
) -> None:
    config = load_config(
        None, RefinerTrainingConfig, **{**settings, "steps": 40, "opening": 0.96, "validate_every": 1000}
    )
    course = RefinerCourse(config, data, "micro").train()
    before = {name: value.clone() for name, value in course.trained.state_dict().items()}
    (view,) = views(config, 1)
    loss, figures = course([view], Moment(0, 0, 0.5))
    loss.backward()
    moved = {name for name, p in course.trained.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {name for name in before if name.startswith("pixel_look.")}
    assert set(figures) == {"loss", "iou_base", "iou_refined", "harmed"}
    said: list[str] = []
    train(partial(RefinerCourse, config, data, "micro"), tmp_path / "out", say=said.append)
    first, second = list(csv.DictReader((tmp_path / "out" / "log.csv").read_text().splitlines()))
    assert (first["iou_refined"], float(second["iou_refined"]) > 0.3) == ("nan", True)
    assert any(line.startswith("step 20,") and "IoU" not in line for line in said)
    assert any(line.startswith("step 40,") and "IoU" in line for line in said)
