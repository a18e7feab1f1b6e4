from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from annotated import discs
from torch.nn import functional as F

from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE
from napari_sam2refiner.network.micro import CUTS, obeyed
from napari_sam2refiner.training.crops import Crop
from napari_sam2refiner.training.losses import mask_iou
from napari_sam2refiner.training.rounds import Batch, Conversation, CropBatch, as_seen, collate, converse, drawn_iou

if TYPE_CHECKING:
    from napari_sam2refiner.network.micro import MicroBase

PLACES = [(40, 30, 20), (90, 90, 25), (20, 100, 8)]


@pytest.fixture
def batch(network: MicroBase) -> CropBatch:
    image, labels = discs((128, 128), PLACES)
    pixels = torch.from_numpy(image / np.float32(255)).float().expand(3, -1, -1).clone()
    pixels[:, :, 120:] = torch.nan
    drawn = torch.from_numpy(labels)
    crop = Crop(pixels, drawn, drawn[::2, ::2], (1, 2, 3))  # of a field half as large
    other = Crop(pixels, drawn, drawn.repeat_interleave(2, 0).repeat_interleave(2, 1), (2,))  # twice as large
    return collate([crop, other], network, 2, torch.device("cpu"))


def talk(batch: Batch, kind: str) -> Conversation:
    return Conversation(batch, {kind: 1.0}, np.random.default_rng(0))


def test_collate_takes_so_many_objects_of_each_crop_and_pads_with_zeros(batch: CropBatch) -> None:
    assert batch.image.tolist() == [0, 0, 1]
    assert batch.truth.shape == (3, 128, 128)
    assert batch.seen.shape == (3, 64, 64)
    assert torch.equal(batch.truth[1], batch.truth[2])
    assert (batch.pixels[..., 120:] == 0).all()
    assert torch.isfinite(batch.pixels).all()


def test_a_first_click_is_inside(batch: CropBatch) -> None:
    for kind in ("click", "random_click"):
        prompts = talk(batch, kind).prompts()
        assert prompts.labels.tolist() == [[POSITIVE]] * 3
        assert not prompts.has_mask.any()
        for n, (x, y) in enumerate(prompts.coords[:, 0].round().int().tolist()):
            assert batch.truth[n, y, x]


def test_boxes_lie_around_the_objects(batch: CropBatch) -> None:
    prompts = talk(batch, "box").prompts()
    assert prompts.labels.tolist() == [[BOX_START, BOX_END]] * 3
    for n, ((x0, y0), (x1, y1)) in enumerate(prompts.coords.tolist()):
        rows, columns = np.nonzero(batch.truth[n].numpy())
        found, expected = (y0, x0, y1, x1), (rows.min(), columns.min(), rows.max(), columns.max())
        np.testing.assert_allclose(found, expected, atol=2.0)  # seen at half the resolution
    noisy = talk(batch, "noisy_box").prompts()
    assert not torch.equal(noisy.coords, prompts.coords)
    assert (noisy.coords - prompts.coords).abs().max() < 8


def test_a_mask_is_a_first_prompt_without_clicks(batch: CropBatch) -> None:
    prompts = talk(batch, "noisy_mask").prompts()
    assert prompts.has_mask.all()
    assert (prompts.labels == PADDING).all()
    assert prompts.mask_logits is not None
    assert prompts.mask_logits.shape == (3, 1, 32, 32)
    assert (prompts.mask_logits > 0).flatten(1).any(1).all()


def test_another_tools_label_is_a_first_prompt_where_it_finds_the_object(batch: CropBatch) -> None:
    prompts = talk(batch, "tool_mask").prompts()
    assert prompts.has_mask.all()
    assert prompts.mask_logits is not None
    truth = F.avg_pool2d(batch.truth[:, None].float(), 4)[:, 0] >= 0.5
    assert (mask_iou(prompts.mask_logits[:, 0], truth) > 0.8).all(), "discs on dark ground are what a threshold finds"
    blank = replace(batch, pixels=torch.zeros_like(batch.pixels))
    drawn = talk(blank, "tool_mask").prompts()
    assert drawn.mask_logits is not None
    noisy = talk(batch, "noisy_mask").prompts()
    assert torch.equal(drawn.mask_logits, noisy.mask_logits), "what no tool finds is drawn by hand"


def test_mixtures_open_with_more_than_one_kind(batch: CropBatch) -> None:
    both = talk(batch, "box_and_click").prompts()
    assert both.labels.tolist() == [[BOX_START, BOX_END, POSITIVE]] * 3
    middles = talk(batch, "click").prompts().coords[:, 0]
    assert (both.coords[:, 2] - middles).abs().max() <= 2.0  # as far as the hand trembles
    drawn = talk(batch, "mask_and_click").prompts()
    assert drawn.has_mask.all()
    assert drawn.mask_logits is not None
    for n, (label, (x, y)) in enumerate(
        zip(drawn.labels[:, 0], drawn.coords[:, 0].round().int().tolist(), strict=True)
    ):
        assert label in (POSITIVE, NEGATIVE)
        assert bool(batch.seen[n, y // 2, x // 2]) == (label == POSITIVE)


def test_corrections_are_clicks_on_errors_and_prompts_are_padded(batch: CropBatch) -> None:
    conversation = talk(batch, "click")
    shown = torch.full((3, 32, 32), -5.0)  # nothing was found
    shown[1] = 5.0  # everything was taken
    shown[2] = torch.where(torch.from_numpy(batch.seen[2, ::2, ::2]), 5.0, -5.0)
    conversation.correct(shown)
    prompts = conversation.prompts()
    assert prompts.labels[:2].tolist() == [[POSITIVE, POSITIVE], [POSITIVE, NEGATIVE]]
    x, y = prompts.coords[0, 1].round().int().tolist()
    assert batch.truth[0, y, x]
    x, y = prompts.coords[1, 1].round().int().tolist()
    assert not batch.truth[1, y, x]
    assert prompts.has_mask.all()
    assert prompts.mask_logits is not None
    torch.testing.assert_close(prompts.mask_logits[:, 0], shown)


def test_nothing_is_said_where_nothing_is_wrong(batch: CropBatch) -> None:
    conversation = talk(batch, "click")
    before = [list(labels) for labels in conversation.labels]
    conversation.batch = replace(batch, seen=np.zeros_like(batch.seen))
    conversation.correct(torch.full((3, 32, 32), -5.0))
    assert conversation.labels == before


@pytest.mark.parametrize("kind", ["click", "box", "noisy_mask"])
def test_a_conversation(network: MicroBase, batch: CropBatch, kind: str) -> None:
    conversation = talk(batch, kind)
    levels = network.encode(batch.pixels).levels
    rounds = list(converse(network, levels, batch, conversation, 3, explore=0.5, anywhere=True))
    assert len(rounds) == 3
    for turn in rounds:
        assert turn.score_logits.shape == turn.ious.shape == (3, 3, len(CUTS))
        assert (turn.ious.diff(dim=2) != 0).any()
        assert [a.logits.shape[-1] for a in turn.answers] == [32, 16, 8]
        assert ((turn.ious >= 0) & (turn.ious <= 1)).all()
        assert turn.score_logits.requires_grad
        assert not turn.ious.requires_grad
    said = [sum(label in (POSITIVE, NEGATIVE) for label in labels) for labels in conversation.labels]
    assert said == [{"click": 3, "box": 2, "noisy_mask": 2}[kind]] * 3


def test_what_candidates_agree_on_is_shown_without_exploring(network: MicroBase, batch: CropBatch) -> None:
    pyramid = network.encode(batch.pixels)
    (turn,) = converse(network, pyramid.levels, batch, talk(batch, "click"), 1, explore=0.0, anywhere=False)
    decoded = network.decode(pyramid, batch.image, turn.prompts, multimask=False)
    torch.testing.assert_close(obeyed(turn.shown[:, None], turn.prompts)[:, 0], decoded.chosen_logits)
    torch.manual_seed(0)
    (other,) = converse(network, pyramid.levels, batch, talk(batch, "click"), 1, explore=1.0, anywhere=False)
    assert not torch.equal(other.shown, turn.shown)


def test_ious_are_those_of_masks_drawn_at_the_pixels_of_the_field(network: MicroBase, batch: CropBatch) -> None:
    levels = network.encode(batch.pixels).levels
    (turn,) = converse(network, levels, batch, talk(batch, "click"), 1, explore=0.0, anywhere=False)
    truth = [one for crop in batch.annotated_truth for one in crop]
    assert [tuple(one.shape) for one in truth] == [(64, 64), (64, 64), (256, 256)]
    for n, best in enumerate(turn.score_logits.flatten(1).argmax(1).tolist()):
        level, cut = divmod(best, len(CUTS))
        finest = F.interpolate(turn.answers[level].logits[n, None, None], size=(32, 32), mode="bilinear")
        drawn = F.interpolate(finest, size=truth[n].shape, mode="bilinear")[:, 0] - CUTS[cut]
        assert turn.chosen_iou()[n] == mask_iou(drawn, truth[n][None])
        shown = F.interpolate(turn.shown[n, None, None], size=truth[n].shape, mode="bilinear")[:, 0]
        assert drawn_iou(turn.shown, batch)[n, 0] == mask_iou(shown, truth[n][None])


def test_masks_are_drawn_at_pixels_that_are_no_square(batch: CropBatch) -> None:
    wide = replace(batch, annotated_truth=tuple(truth[:, ::2] for truth in batch.annotated_truth))
    logits = torch.stack([F.interpolate(one[None, None].float(), size=(32, 32))[0, 0] - 0.5 for one in batch.truth])
    assert (drawn_iou(logits, wide) > 0.75).all()


def test_a_late_click_changes_only_what_is_connected_to_it(batch: CropBatch) -> None:
    user = talk(batch, "click")
    known = torch.full((3, 32, 32), -5.0)
    known[:, 4:20, 4:20] = 5.0
    user.correct(known)
    (x, y), label = user.points[0][-1], user.labels[0][-1]
    answer = known.clone()
    row, column = int((y + 0.5) / 4), int((x + 0.5) / 4)
    answer[0, row, column] = 5.0 if label == POSITIVE else -5.0
    answer[:, 28:31, 28:31] = 5.0  # elsewhere, and not meant
    assert torch.equal(user.kept_elsewhere(answer, None), answer)
    assert torch.equal(user.kept_elsewhere(answer, 3), answer)
    kept = user.kept_elsewhere(answer, 2)
    assert kept[0, row, column] == answer[0, row, column]
    assert torch.equal(kept[0, 28:31, 28:31], known[0, 28:31, 28:31])


def test_objects_are_seen_as_large_as_they_are() -> None:
    rows, columns = np.mgrid[:128, :128]
    rng = np.random.default_rng(0)
    places = rng.uniform(40, 88, (60, 2))
    truth = np.stack([np.hypot(rows - y, columns - x) < rng.uniform(6, 30) for y, x in places])
    seen = as_seen(torch.from_numpy(truth)).numpy()
    share = 4 * seen.sum((1, 2)) / truth.sum((1, 2))
    assert share.mean() == pytest.approx(1.0, abs=0.005)
    shift = [np.argwhere(a).mean(0) * 2 + 0.5 - np.argwhere(b).mean(0) for a, b in zip(seen, truth, strict=True)]
    assert np.abs(np.mean(shift, 0)).max() < 0.1
