"""Votes of pixels whose embedding is made by hand."""

from __future__ import annotations

import pytest
import torch

from napari_sam2refiner.network.base import grid
from napari_sam2refiner.network.instance_embedding import POSITION_UNIT, InstanceMaps
from napari_sam2refiner.network.seeds import vote

DISCS = [
    (20, 12, 6),
    (20, 26, 6),
    (45, 40, 10),
    (8, 55, 2),
]  # row, column, radius in stride-4 pixels; the first two touch


def maps(shift: tuple[float, float], *, spread: float = 0.0) -> InstanceMaps:
    """Pixels of each disc move to its middle, give or take, and all of them by `shift` (x, y)."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    there = torch.stack([columns, rows]).float()
    foreground = torch.full((64, 64), -5.0)
    for row, column, radius in DISCS:
        inside = torch.hypot((rows - row).float(), (columns - column).float()) <= radius
        middle = torch.tensor([column, row])[:, None].float()
        there[:, inside] = middle + spread * (there[:, inside] - middle)
        foreground[inside] = 5.0
    there = there + torch.tensor(shift)[:, None, None]
    embedding = torch.cat([there / POSITION_UNIT, torch.zeros(16, 64, 64)])[None]
    other = torch.zeros(1, 1, 64, 64)
    return InstanceMaps(embedding, other, other, foreground[None], other[0])


@pytest.mark.parametrize("shift", [(0.0, 0.0), (27.0, -25.0)])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_each_object_has_one_seed_near_its_middle_and_the_largest_comes_first(
    shift: tuple[float, float], spread: float
) -> None:
    seeds = vote(maps(shift, spread=spread))
    assert len(seeds) == len(DISCS)
    places = (seeds - 1.5) / 4  # (x, y) in stride-4 pixels
    nearest = [min(range(4), key=lambda n: abs(x - DISCS[n][1]) + abs(y - DISCS[n][0])) for x, y in places.tolist()]
    assert sorted(nearest) == [0, 1, 2, 3]
    assert nearest[0] == 2 or spread  # spread out, the votes of a large object are thin
    assert nearest[-1] == 3
    for (x, y), n in zip(places.tolist(), nearest, strict=True):
        assert abs(x - DISCS[n][1]) <= 2
        assert abs(y - DISCS[n][0]) <= 2


def test_where_nothing_is_likely_there_is_no_seed() -> None:
    nothing = maps((0.0, 0.0))._replace(foreground=torch.full((1, 64, 64), -5.0))
    assert vote(nothing).shape == (0, 2)


def test_a_grid_is_even_and_lies_inside() -> None:
    points = grid(1024, 4)
    assert points.shape == (16, 2)
    assert points[:5].tolist() == [[127.5, 127.5], [383.5, 127.5], [639.5, 127.5], [895.5, 127.5], [127.5, 383.5]]
