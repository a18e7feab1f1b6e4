"""Memory of a SAM 2: what a frame leaves behind of its objects, and how a later frame is seen with it.

As `SAM2Base` computes it (Ravi et al., arXiv 2408.00714), but for N objects that share an image or not, and without
state, so that exact propagation, windows and training share it.

Letters: B images, N objects, M width of the memory, D width of the network, g = S/16, h = S/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor
from torch.nn import functional as F

from napari_sam2refiner.network.base import PADDING, PromptBatch

if TYPE_CHECKING:
    from napari_sam2refiner.network.base import Features, PromptableBase

ABSENT = -1024.0  # logit of every pixel of an object that is not there


class Remembered(NamedTuple):
    """What a frame leaves behind of N objects.

    Attributes
    ----------
    maps : (N, M, g, g)
    age : int
        0 of an anchor, a frame with prompts; else how many frames ago.
    """

    maps: Tensor
    age: int


class Pointed(NamedTuple):
    """What the decoder knew of N objects on a frame.

    Attributes
    ----------
    pointer : (N, D)
    distance : int
        Frames since then.
    """

    pointer: Tensor
    distance: int


def recall(
    base: PromptableBase,
    embedding: Tensor,
    memories: Sequence[Remembered],
    pointers: Sequence[Pointed],
    farthest: int,
) -> Tensor:
    """See a frame in the light of what is remembered of N objects: embeddings (N, D, g, g).

    Parameters
    ----------
    base : PromptableBase
    embedding : (N, D, g, g)
        Of the frame, for each object, as `encode` gives it.
    memories : sequence of Remembered
        At least one.
    pointers : sequence of Pointed
    farthest : int
        Distance of pointers that counts as one.
    """
    current = _sequence(embedding - _no_memory(base, embedding))  # (g g, N, D)
    place = base.image_encoder.neck.position_encoding(embedding)
    kept, positions = [], []
    of_maps = base.memory_encoder.position_encoding(memories[0].maps)
    for maps, age in memories:
        kept.append(_sequence(maps))
        positions.append(_sequence(of_maps) + base.maskmem_tpos_enc[age - 1])  # the last one is that of anchors
    tokens = 0
    if pointers:
        at = torch.tensor([p.distance for p in pointers], device=embedding.device) / max(farthest, 1)
        parts = base.hidden_dim // base.mem_dim  # a pointer is as wide as so many tokens
        pointed = torch.stack([p.pointer for p in pointers]).unflatten(2, (parts, base.mem_dim))  # (K, N, parts, M)
        when = _when(base, at)[:, None].expand(-1, pointed.shape[1], -1)  # (K, N, M)
        kept.append(pointed.transpose(1, 2).flatten(0, 1))
        positions.append(when.repeat_interleave(parts, 0))
        tokens = len(kept[-1])
    seen = base.memory_attention(
        curr=current,
        curr_pos=_sequence(place),
        memory=torch.cat(kept),
        memory_pos=torch.cat(positions),
        num_obj_ptr_tokens=tokens,
    )
    there: Tensor = seen.permute(1, 2, 0).unflatten(2, embedding.shape[-2:])
    return there


def remember(base: PromptableBase, embedding: Tensor, logits: Tensor, object_logits: Tensor, *, firm: bool) -> Tensor:
    """Turn masks into memory (N, M, g, g).

    Parameters
    ----------
    base : PromptableBase
    embedding : (N, D, g, g)
        Of the frame, for each object, as `encode` gives it.
    logits : (N, h, h)
    object_logits : (N,)
    firm : bool
        Whether the masks come from prompts, and count as certain.
    """
    full = F.interpolate(logits[:, None].float(), scale_factor=4, mode="bilinear", align_corners=False)
    share = (full > 0).float() if firm else full.sigmoid()
    share = share * base.sigmoid_scale_for_mem_enc + base.sigmoid_bias_for_mem_enc
    raw = embedding - _no_memory(base, embedding)
    maps: Tensor = base.memory_encoder(raw, share, skip_mask_sigmoid=True)["vision_features"]
    if base.no_obj_embed_spatial is not None:
        gone = (object_logits <= 0).to(maps)[:, None]
        maps = maps + (gone * base.no_obj_embed_spatial)[..., None, None]
    return maps


def point(base: PromptableBase, token: Tensor, object_logits: Tensor) -> Tensor:
    """Turn tokens (N, D) of the decoder into pointers (N, D)."""
    there = (object_logits > 0).to(token)[:, None]
    pointer: Tensor = there * base.obj_ptr_proj(token) + (1.0 - there) * base.no_obj_ptr
    return pointer


def point_to_masks(base: PromptableBase, features: Features, masks: Tensor) -> Tensor:
    """Pointers (N, D) to objects whose masks (N, S, S), 0 or 1, are given.

    `features` are of N images.
    """
    raw = features._replace(embedding=features.embedding - _no_memory(base, features.embedding))
    count = len(masks)
    shrunk = base.mask_downsample(masks[:, None].float())
    there = torch.ones(count, dtype=torch.bool, device=masks.device)
    prompts = unprompted(count, masks.device)._replace(mask_logits=shrunk, has_mask=there)
    decoded = base.decode(raw, torch.arange(count, device=masks.device), prompts, multimask=False)
    return point(base, decoded.pointer_token, decoded.object_logits)


def unprompted(count: int, device: torch.device) -> PromptBatch:
    """Return no prompts at all, of so many objects."""
    coords = torch.zeros(count, 1, 2, device=device)
    labels = torch.full((count, 1), PADDING, dtype=torch.int32, device=device)
    return PromptBatch(coords, labels, None, torch.zeros(count, dtype=torch.bool, device=device))


def _no_memory(base: PromptableBase, embedding: Tensor) -> Tensor:
    """What `encode` adds to a frame that is seen without memory."""
    added: Tensor = base.no_mem_embed.reshape(1, -1, 1, 1).to(embedding)
    return added


def _when(base: PromptableBase, at: Tensor) -> Tensor:
    """Encode times (K,) as (K, M)."""
    if not base.add_tpos_enc_to_obj_ptrs:
        return at.new_zeros(len(at), base.mem_dim)
    width = base.hidden_dim if base.proj_tpos_enc_in_obj_ptrs else base.mem_dim
    when: Tensor = base.obj_ptr_tpos_proj(get_1d_sine_pe(at, dim=width))
    return when


def _sequence(maps: Tensor) -> Tensor:
    """(N, C, g, g) to (g g, N, C), as SAM 2's attention takes it."""
    return maps.flatten(2).permute(2, 0, 1)
