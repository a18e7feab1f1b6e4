"""Where anchors lie and what they do; embedded by position alone, so that everything is known."""

import pytest
import torch
from tokens import prompt

from napari_sam2refiner.network.base import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE, PromptBatch
from napari_sam2refiner.network.instance_embedding import (
    POSITION_UNIT,
    InstanceEmbedding,
    InstanceMaps,
    distance_outside,
)

ROWS, COLUMNS = 24, 40  # stride-4 pixels


@pytest.fixture
def embedding() -> InstanceEmbedding:
    torch.manual_seed(0)
    return InstanceEmbedding(8, channels=16, features=4)


@pytest.fixture
def maps() -> InstanceMaps:
    """One image in which only places differ."""
    rows, columns = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    where = torch.stack([columns, rows]).float() / POSITION_UNIT
    nothing = torch.zeros(1, ROWS, COLUMNS)
    return InstanceMaps(
        torch.cat([where, torch.zeros(4, ROWS, COLUMNS)])[None],
        torch.zeros(1, 16, ROWS, COLUMNS),
        torch.zeros(1, 8, ROWS // 4, COLUMNS // 4),
        nothing,
        nothing,
    )


def guess(embedding: InstanceEmbedding, maps: InstanceMaps, prompts: PromptBatch) -> torch.Tensor:
    with torch.no_grad():
        # what is less likely than e^-15 is all the same
        return embedding.guess(maps, torch.zeros(1, dtype=torch.long), prompts)[0].clamp(min=-15)


def highest(logits: torch.Tensor) -> tuple[int, int]:
    """Row and column."""
    return divmod(int(logits.argmax()), logits.shape[1])


def test_a_positive_point_means_its_own_place(embedding, maps):
    logits = guess(embedding, maps, prompt((5, 31, POSITIVE)))
    assert highest(logits) == (5, 31)
    assert logits[5, 31] > 0 > logits[31 // 2, 5]
    assert logits[5, 29] == pytest.approx(logits[5, 33].item(), abs=1e-4)


def test_two_positive_points_mean_both_places(embedding, maps):
    both = guess(embedding, maps, prompt((5, 31, POSITIVE), (18, 7, POSITIVE)))
    for y, x in ((5, 31), (18, 7)):
        alone = guess(embedding, maps, prompt((y, x, POSITIVE)))
        assert (both >= alone - 1e-4).all()
        assert both[y, x] > 0


def test_a_negative_point_takes_away_around_it_and_nowhere_else(embedding, maps):
    before = guess(embedding, maps, prompt((5, 31, POSITIVE)))
    after = guess(embedding, maps, prompt((5, 31, POSITIVE), (5, 35, NEGATIVE)))
    change = after - before
    assert (change <= 1e-3).all()
    assert highest(-change) == (5, 35)
    assert change[5, 35] < -1
    assert change[20, 3] == pytest.approx(0, abs=1e-4)


def test_padding_says_nothing(embedding, maps):
    alone = guess(embedding, maps, prompt((5, 31, POSITIVE)))
    padded = guess(embedding, maps, prompt((5, 31, POSITIVE), (9, 9, PADDING)))
    torch.testing.assert_close(alone, padded, atol=1e-3, rtol=0)


def test_a_box_means_its_middle_and_less_outside(embedding, maps):
    logits = guess(embedding, maps, prompt((2, 24, BOX_START), (8, 36, BOX_END)))
    assert highest(logits) == (5, 30)
    point = guess(embedding, maps, prompt((5, 30, POSITIVE)))
    lost = point - logits
    assert lost[2:9, 24:37].abs().max() < 0.5
    assert lost[12, 30] > lost[10, 30] > lost[7, 30] + 0.3
    assert lost[5, 20] > lost[5, 22] > lost[5, 25] + 0.3


def test_distance_outside_a_box_grows_from_its_sides():
    distance = distance_outside(prompt((2, 24, BOX_START), (8, 36, BOX_END)), ROWS, COLUMNS)[0]
    assert not distance[2:9, 24:37].any()
    assert distance[1, 30] == distance[5, 23] == 1
    assert distance[12, 38] == 4  # Chebyshev
    assert not distance_outside(prompt((5, 31, POSITIVE)), ROWS, COLUMNS).any()


def test_a_mask_means_its_inside(embedding, maps):
    mask = torch.full((ROWS, COLUMNS), -10.0)
    mask[14:19, 4:11] = 10.0
    logits = guess(embedding, maps, prompt((0, 0, PADDING), mask=mask))
    assert highest(logits) == (16, 7)
    assert logits[16, 7] > 0 > logits[4, 30]


def test_each_object_looks_at_its_own_image(embedding, maps):
    moved = maps._replace(embedding=torch.cat([maps.embedding, maps.embedding.flip(3)]))
    two = InstanceMaps(*(m if len(m) == 2 else m.expand(2, *m.shape[1:]) for m in moved))
    one = prompt((5, 31, POSITIVE))
    batch = PromptBatch(one.coords.repeat(3, 1, 1), one.labels.repeat(3, 1), None, one.has_mask.repeat(3))
    with torch.no_grad():
        logits = embedding.guess(two, torch.tensor([1, 0, 1]), batch)
    # flipped, the place that looks like column 31 of the other is sampled at its own column 31
    assert [highest(part) for part in logits] == [(5, 31)] * 3
    torch.testing.assert_close(logits[0], logits[2])
    assert torch.equal(logits[1].clamp(min=-15), guess(embedding, maps, one))
