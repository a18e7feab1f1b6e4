"""Tiles, what they see of prompts and answers, and answers that know a tile."""

import numpy as np
import pytest
from fakes import disc
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2refiner.planes.region import Part
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.base import Candidate, Prediction
from napari_sam2refiner.sessions.placed import PlacedPrediction, on_plane, seen_on
from napari_sam2refiner.sessions.tiles import (
    Tile,
    largest_scale,
    scale_for,
    scale_of_view,
    tile_at,
    touches_edge,
)

SIDE = 64
SHAPE = (1000, 777)
SCALES = st.sampled_from([1, 2, 4, 8])


def prediction(logits: np.ndarray) -> Prediction:
    return Prediction(logits > 0, logits, 0.8, (Candidate(logits > 0, logits, 0.8, "memo"),), "memo")


@given(SCALES, st.floats(0, 999), st.floats(0, 776))
def test_what_is_half_a_tile_large_lies_wholly_in_its_tile(scale, y, x):
    tile = tile_at((y, x), scale, SIDE, SHAPE)
    half = SIDE * scale / 4
    corners = np.clip([(y - half, x - half), (y + half, x + half)], -0.5, np.array(SHAPE) - 0.5)
    assert tile.holds(corners)
    assert tile.top % scale == tile.left % scale == 0
    assert tile.top + tile.height <= SHAPE[0]
    assert tile.left + tile.width <= SHAPE[1]
    assert max(tile.cells) <= SIDE


def test_neighbours_share_a_tile_and_few_tiles_make_the_plane():
    tiles = {tile_at((y, x), 2, SIDE, SHAPE) for y in range(0, 1000, 3) for x in range(0, 777, 3)}
    assert len(tiles) <= 16 * 13
    assert tile_at((500, 400), 2, SIDE, SHAPE) == tile_at((510, 404), 2, SIDE, SHAPE)
    assert tile_at((500, 400), 16, SIDE, SHAPE) == Tile(16, 0, 0, *SHAPE)


def test_scales():
    assert [scale_for(size, 32) for size in (1, 32, 33, 64, 500)] == [1, 1, 2, 2, 16]
    assert [scale_of_view((seen, 10), 512) for seen in (100, 1000, 1024, 2100, 20_000)] == [1, 1, 2, 4, 32]
    assert largest_scale(512, (20_000, 300)) == 64


def test_prompts_are_seen_in_cells():
    tile = Tile(4, 40, 80, 64, 64)
    mask = np.zeros(SHAPE, bool)
    mask[48:56, 84:88] = True
    seen = tile.prompts(
        Prompts([(41.5, 81.5), (5, 5), (103.5, 143.5)], [1, 0, 0], [(39.5, 83.5, 51.5, 2000)], mask=Part.of(mask))
    )
    np.testing.assert_allclose(seen.points, [(0, 0), (15.5, 15.5)])
    assert seen.labels.tolist() == [True, False]
    np.testing.assert_allclose(seen.boxes, [(-0.5, 0.5, 2.5, 15.5)])
    assert seen.mask is not None
    assert np.argwhere(seen.mask).tolist() == [[2, 1], [3, 1]]
    assert Tile(4, 400, 80, 64, 64).prompts(Prompts([(420, 100)], mask=mask)).area is None


def test_a_thin_mask_is_seen_where_it_touches():
    mask = np.zeros(SHAPE, bool)
    mask[48, 84:100] = True
    seen = Tile(8, 40, 80, 64, 64).prompts(Prompts(mask=mask)).mask
    assert seen is not None
    assert np.argwhere(seen).tolist() == [[1, 0], [1, 1], [1, 2]]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_answer_of_a_tile_is_one_of_the_plane(scale):
    tile = Tile(scale, 40, 80, 60 * scale, 50 * scale)
    distance = np.hypot(*(n - 25 for n in np.mgrid[:60, :50]))
    answer = PlacedPrediction(prediction((12 - distance).astype(np.float32)), tile, SHAPE)
    assert answer.shape == answer.mask.shape == answer.logits.shape == SHAPE
    np.testing.assert_array_equal(answer.mask, answer.part.whole())
    np.testing.assert_array_equal(answer.mask, answer.logits > 0)
    middle = tile.to_plane(np.array([25.0, 25.0]))
    expected = disc(SHAPE, *middle, 12 * scale)
    assert (answer.mask & expected).sum() / (answer.mask | expected).sum() > 0.98
    assert answer.logits[0, 0] == -10
    assert answer.part.pixels.shape == tuple(part.stop - part.start for part in answer.part.window)
    assert answer.part.pixels.any(0).all()
    assert answer.part.pixels.any(1).all()
    assert answer.nbytes < 60 * 50 * 4 + 4 * (26 * scale) ** 2
    assert answer.candidates[0].memo == "memo"
    assert answer.choose(0) is answer
    np.testing.assert_array_equal(answer.candidates[0].mask, answer.mask)


def test_cells_are_magnified_as_torch_does():
    import torch

    logits = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    tile = Tile(4, 8, 16, 80, 120)
    expected = torch.nn.functional.interpolate(torch.tensor(logits)[None, None], scale_factor=4, mode="bilinear")[0, 0]
    np.testing.assert_allclose(on_plane(logits, tile, tile.window), expected, atol=1e-5)
    window = (slice(20, 33), slice(50, 130))
    np.testing.assert_allclose(on_plane(logits, tile, window), expected[12:25, 34:114], atol=1e-5)


def test_nothing_found_is_an_empty_part():
    answer = PlacedPrediction(prediction(np.full((20, 20), -3, np.float32)), Tile(2, 0, 0, 40, 40), SHAPE)
    assert not answer.part.pixels.size
    assert not answer.mask.any()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_an_answer_is_seen_on_another_tile(scale):
    known = disc(SHAPE, 300, 320, 40)
    logits = np.where(known, 5, -5).astype(np.float32)
    tile = Tile(scale, 200, 200, 64 * scale, 64 * scale)
    expected = known[tile.window][scale // 2 :: scale, scale // 2 :: scale]
    part = Part.of(known)
    for answer in (
        prediction(logits),
        PlacedPrediction.of(part, 0.9),
        PlacedPrediction(prediction(logits[200:456, 200:456]), Tile(1, 200, 200, 256, 256), SHAPE),
    ):
        seen = seen_on(answer, tile)
        assert seen is not None
        assert seen.mask.shape == (64, 64)
        assert (seen.mask != expected).mean() < 0.02
        assert seen.score == answer.score
    assert seen_on(None, tile) is None
    placed = PlacedPrediction(prediction(logits[tile.window][::scale, ::scale]), tile, SHAPE)
    assert seen_on(placed, tile) is placed.look, "with all that the session needs to go on"


def test_an_edge_beyond_which_the_plane_goes_on():
    mask = np.zeros((64, 64), bool)
    mask[:5, 20:30] = True
    assert touches_edge(mask, Tile(1, 64, 0, 64, 64), SHAPE)
    assert not touches_edge(mask, Tile(1, 0, 64, 64, 64), SHAPE)
    assert touches_edge(mask[::-1], Tile(1, 0, 64, 64, 64), SHAPE)
    assert not touches_edge(mask[::-1], Tile(1, 936, 64, 64, 64), SHAPE)
    assert touches_edge(mask.T, Tile(1, 0, 64, 64, 64), SHAPE)
    assert not touches_edge(mask.T[:, ::-1], Tile(1, 0, 713, 64, 64), SHAPE)
