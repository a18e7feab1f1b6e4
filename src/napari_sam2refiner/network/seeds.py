"""Seeds: where objects are likely, one point for each, from the instance embedding.

Letters: K seeds; h x w stride-4 pixels of one image.

Pixels of an object move to about the same place, which is what the embedding learned. So each pixel that is likely
inside an object votes for the place it moves to, and a place with more votes than its neighbours is an object; its seed
is the pixel that moves there. How much all pixels move in common is nothing the embedding has to learn, and taken off.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.network.instance_embedding import POSITION_UNIT, InstanceMaps

INSIDE = 0.5  # likelihood from which a pixel votes
BLUR = 0.7  # stride-4 pixels, of a vote
LEAST_VOTES = 0.3  # of a place; a single pixel that stands alone gives at most 0.32
NEARNESS = 0.5  # weight of where a seed lies, beside where it moves to


def vote(maps: InstanceMaps) -> Tensor:
    """Return the seeds (K, 2) of an image, as (x, y) in pixels of the level's input, by falling number of votes."""
    likely = maps.foreground[0].float().sigmoid()
    inside = likely > INSIDE
    if not inside.any():
        return likely.new_empty(0, 2)
    height, width = likely.shape
    rows, columns = torch.meshgrid(
        torch.arange(height, device=likely.device), torch.arange(width, device=likely.device), indexing="ij"
    )
    here = torch.stack([columns, rows]).float()  # (2, h, w)
    there = maps.embedding[0, :2].float() * POSITION_UNIT
    there = there - (there - here)[:, inside].median(1).values[:, None, None]
    votes = _blurred(_cast(there[:, inside], likely[inside], height, width))
    highest = F.max_pool2d(votes[None], 3, stride=1, padding=1)[0]
    y, x = torch.nonzero((votes == highest) & (votes > LEAST_VOTES), as_tuple=True)
    order = votes[y, x].argsort(descending=True, stable=True)
    peaks = torch.stack([x, y], 1)[order].float()  # (K, 2)
    own, to = here[:, inside].T, there[:, inside].T
    distance = torch.cdist(peaks, to).square() + NEARNESS * torch.cdist(peaks, own).square()  # (K, inside)
    return 4.0 * own[distance.argmin(1)] + 1.5


def _cast(places: Tensor, weights: Tensor, height: int, width: int) -> Tensor:
    """Add weights (P,) at places (2, P) as (x, y), each shared by the four pixels (h, w) around it."""
    x, y = places[0].clamp(0, width - 1.001), places[1].clamp(0, height - 1.001)
    left, top = x.floor(), y.floor()
    votes = weights.new_zeros(height * width)
    for down in (0, 1):
        for right in (0, 1):
            share = (1 - (x - left - right).abs()) * (1 - (y - top - down).abs())
            votes.index_add_(0, ((top + down) * width + left + right).long(), weights * share)
    return votes.view(height, width)


def _blurred(votes: Tensor) -> Tensor:
    """Blur (h, w) by a Gaussian."""
    reach = torch.arange(-3, 4, device=votes.device)
    kernel = (-0.5 * (reach / BLUR).square()).exp()
    kernel = kernel / kernel.sum()
    across = F.conv2d(votes[None, None], kernel[None, None, None], padding=(0, 3))
    return F.conv2d(across, kernel[None, None, :, None], padding=(3, 0))[0, 0]
