from __future__ import annotations

import numpy as np
import pytest
import torch
from annotated import discs
from skimage.morphology import dilation, erosion

from napari_sam2refiner.metrics import iou
from napari_sam2refiner.training.losses import (
    choice_loss,
    mask_iou,
    mask_loss,
    outline_targets,
    point_loss,
    redrawn,
    score_loss,
)


def truth() -> torch.Tensor:
    return torch.from_numpy(discs()[1] == 2)[None].float()


def test_mask_loss_falls_as_the_mask_gets_right() -> None:
    target = truth()
    start, end = torch.full_like(target, -3.0), 12.0 * (2 * target - 1)
    losses = [mask_loss(torch.lerp(start, end, share), target).item() for share in np.linspace(0, 1, 6)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-3
    assert mask_loss(-end, target).item() > losses[0]


def test_mask_loss_has_one_value_for_each_object_and_bounded_gradients() -> None:
    logits = torch.full((2, 60, 90), 40.0, requires_grad=True)
    target = torch.cat([truth(), torch.zeros(1, 60, 90)])
    loss = mask_loss(logits, target)
    assert loss.shape == (2,)
    loss.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_large_wrong_mask_of_a_small_object_costs_no_more_than_any_wrong_mask() -> None:
    target = torch.zeros(1, 128, 128)
    target[0, 64, 64:66] = 1.0
    wrong = torch.full((1, 128, 128), 12.0)
    assert 1.0 < mask_loss(wrong, target).item() < 8.0


def test_what_is_firmly_wrong_learns_too() -> None:
    target = torch.ones(1, 8, 8)
    for loss in (lambda x: mask_loss(x, target).sum(), lambda x: point_loss(x.flatten(1), target.flatten(1)).sum()):
        logits = torch.full((1, 8, 8), -28.0, requires_grad=True)
        loss(logits).backward()
        assert logits.grad is not None
        assert (logits.grad < 0).all()


def test_score_loss_is_least_at_the_true_iou() -> None:
    ious = torch.tensor([[0.2, 0.9]])
    right = score_loss(torch.logit(ious), ious)
    assert right < score_loss(torch.logit(ious + 0.05), ious)
    assert right < score_loss(torch.logit(ious - 0.05), ious)


def test_choice_loss_vanishes_for_the_right_choice_and_costs_what_the_wrong_one_loses() -> None:
    ious = torch.tensor([[0.9, 0.5, 0.1]])
    assert choice_loss(torch.tensor([[60.0, 0.0, -60.0]]), ious).item() == pytest.approx(0.0, abs=1e-4)
    assert choice_loss(torch.tensor([[-60.0, 0.0, -60.0]]), ious).item() == pytest.approx(0.4, abs=1e-4)
    assert choice_loss(torch.zeros(1, 3), torch.full((1, 3), 0.4)).item() == pytest.approx(0.0, abs=1e-6)
    scores = torch.zeros(1, 3, requires_grad=True)
    choice_loss(scores, ious).backward()
    assert scores.grad is not None
    assert scores.grad[0, 0] < 0 < scores.grad[0, 2]


def test_a_choice_goes_by_the_predicted_iou_and_a_lead_of_a_tenth_decides() -> None:
    ious = torch.tensor([[0.9, 0.8]])
    odds = torch.softmax(25 * ious, 1)
    assert odds[0, 0] > 0.9
    assert choice_loss(torch.logit(ious), ious).item() == pytest.approx(0.1 * odds[0, 1].item(), abs=1e-5)


def test_mask_iou_is_the_iou_of_the_measures() -> None:
    labels = discs()[1]
    masks, truths = labels == 2, labels > 0
    found = mask_iou(torch.from_numpy(masks)[None] * 2.0 - 1.0, torch.from_numpy(truths)[None])
    assert found.item() == pytest.approx(iou(masks, truths))
    empty = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert mask_iou(torch.full((1, 4, 4), -1.0), empty).item() == 0.0


def test_outline_targets() -> None:
    labels = discs(places=[(20, 25, 10), (20, 43, 10), (40, 60, 12)])[1]  # two of them touch
    foreground, boundary = outline_targets(torch.from_numpy(labels)[None])
    np.testing.assert_array_equal(foreground[0].numpy(), labels > 0)
    square = np.ones((5, 5), np.uint8)
    inner = (slice(2, -2), slice(2, -2))  # scikit-image looks beyond the edge
    expected = dilation(labels, square) != erosion(labels, square)
    np.testing.assert_array_equal(boundary[0].numpy()[inner], expected[inner])
    assert boundary[0, 20, 34] == 1  # between the two
    assert boundary[0, 20, 25] == 0
    assert boundary[0, 0, 0] == 0


def test_a_truth_is_redrawn_as_far_out_or_in_as_the_mask_and_keeps_its_shape() -> None:
    rows, columns = np.ogrid[:128, :128]
    away = np.hypot(rows - 64, columns - 64)
    truth = torch.from_numpy(away < 30)[None].float()
    for radius in (27.0, 33.0):
        mask = torch.from_numpy(radius - away).float()[None, None]
        logits = torch.nn.functional.avg_pool2d(mask, 4)[:, 0]
        drawn = redrawn(truth, logits)
        assert (drawn.sum() / np.pi).sqrt().item() == pytest.approx(radius, abs=0.8)
        assert mask_iou(drawn - 0.5, torch.from_numpy(away < radius)[None]) > 0.94
    half = logits.clone()
    half[:, 16:] = -1.0  # a mask that has lost a half is no other way to draw the whole
    assert redrawn(truth, half).sum() > 0.75 * truth.sum()


def test_a_thin_truth_stays_as_thin_as_it_is() -> None:
    truth = torch.zeros(1, 128, 128)
    truth[0, 60:64, 10:110] = 1.0
    logits = torch.full((1, 32, 32), -5.0)
    logits[0, 14:17] = 5.0
    assert torch.equal(redrawn(truth, logits), truth)
