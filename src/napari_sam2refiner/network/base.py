"""A SAM 2 that answers prompts on still images: what the refiner, the sessions and the training need of any base.

Letters: B images, N objects, P prompt tokens of an object, M candidate masks of an object, D width of the network,
S side of the square input in pixels; h = w = S / 4.

`SAM2Base` (Ravi et al., arXiv 2408.00714) leaves the use of its parts to predictors. Here `encode` and `decode` are
methods of the network, without numpy, device moves or state, so that training and inference share them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, cast

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn
from torch.nn import functional as F

POSITIVE, NEGATIVE, BOX_START, BOX_END, PADDING = 1, 0, 2, 3, -1
SPOT_RADIUS = 1.5  # stride-4 pixels, of a point drawn as a map


@dataclass(frozen=True)
class InputSpec:
    """What a base expects of its input square.

    Attributes
    ----------
    side : int
        S, in pixels.
    fit : {"stretch", "letterbox"}
        Whether a plane is stretched to the square (SAM 2) or keeps its aspect and is padded below and right.
    mean, std : (float, float, float)
        Of the channels, subtracted and divided, for pixels in [0, 1].
    looks_again : bool
        Whether small and large objects are worth, and encoding is cheap enough for, a second look, closer or farther.
    late_click : int or None
        From which click on a click changes only what is connected to it; None where no click is that late.
    """

    side: int
    fit: Literal["stretch", "letterbox"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    looks_again: bool = False
    late_click: int | None = None


class PromptBatch(NamedTuple):
    """Prompts of N objects, in pixels of the input square (x, y), pixel centres at integers.

    Attributes
    ----------
    coords : (N, P, 2) float32
    labels : (N, P) int32
        POSITIVE, NEGATIVE, BOX_START, BOX_END or PADDING.
    mask_logits : (N, 1, h, w) float32 or None
        A mask prompt or an earlier answer, above zero inside; None if no object has one.
    has_mask : (N,) bool
        Which rows of `mask_logits` mean something.
    """

    coords: Tensor
    labels: Tensor
    mask_logits: Tensor | None
    has_mask: Tensor

    @property
    def has_boxes(self) -> bool:
        """Whether any object has a box."""
        return bool((self.labels == BOX_START).any())

    @property
    def has_regions(self) -> bool:
        """Whether any object has a box, or a mask that means something."""
        return self.has_boxes or bool(self.has_mask.any())


class Features(NamedTuple):
    """Encoded images, at one scale.

    Attributes
    ----------
    embedding : (B, D, S/16, S/16)
    stride8 : (B, D/4, S/8, S/8)
    stride4 : (B, D/8, S/4, S/4)
    """

    embedding: Tensor
    stride8: Tensor
    stride4: Tensor


class Decoded(NamedTuple):
    """The base's answer for N objects.

    Attributes
    ----------
    logits : (N, M, h, w)
        Candidate masks.
    scores : (N, M)
        Predicted IoU of each, 0 to 1.
    chosen : (N,) int64
        Index of the candidate that the following fields, and the refiner, are about.
    token : (N, D)
        Mask token of the chosen candidate: with `mask_features` the object embedding.
    mask_features : (N, D/8, h, w)
        Upscaled mask features of the chosen candidate.
    object_logits : (N,)
        Above zero if the object is there.
    pointer_token : (N, D)
        Token that the memory's pointer is made from; SAM 2's, where one mask was meant, is the first, whichever was
        chosen.
    """

    logits: Tensor
    scores: Tensor
    chosen: Tensor
    token: Tensor
    mask_features: Tensor
    object_logits: Tensor
    pointer_token: Tensor

    @property
    def chosen_logits(self) -> Tensor:
        """(N, h, w) logits of the chosen candidate."""
        return pick(self.logits, self.chosen)

    @property
    def chosen_score(self) -> Tensor:
        """(N,) predicted IoU of the chosen candidate."""
        return pick(self.scores, self.chosen)

    def best(self) -> Decoded:
        """Return the chosen candidates as the only ones."""
        chosen = torch.zeros_like(self.chosen)
        return self._replace(logits=self.chosen_logits[:, None], scores=self.chosen_score[:, None], chosen=chosen)


class Suggested(NamedTuple):
    """Where objects of one image are likely.

    Attributes
    ----------
    coords : (K, 2)
        Seeds as (x, y) in pixels of the input square, the likeliest first.
    foreground : (L, h, w) or None
        Likelihood of being inside an object, as seen on each of L levels, where the network knows of it.
    """

    coords: Tensor
    foreground: Tensor | None


E = TypeVar("E")


def joined(encoded: Sequence[E]) -> E:
    """Return encoded images, each `Features` or what a base has more, as one batch."""
    first: Any = encoded[0]
    if len(encoded) == 1:
        return encoded[0]
    if isinstance(first, Tensor):
        return cast("E", torch.cat(cast("list[Tensor]", list(encoded))))
    parts = [joined(part) for part in zip(*cast("Sequence[tuple[Any, ...]]", encoded), strict=True)]
    return cast("E", type(first)(*parts) if hasattr(first, "_fields") else tuple(parts))


def one_of(encoded: E, index: int) -> E:
    """Return one image of an encoded batch, as a batch of one."""
    values: Any = encoded
    if isinstance(values, Tensor):
        return cast("E", values[index : index + 1])
    parts = [one_of(part, index) for part in values]
    return cast("E", type(values)(*parts) if hasattr(values, "_fields") else tuple(parts))


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Return values[n, index[n]] for each n: (N, M, ...) and (N,) to (N, ...)."""
    return values[torch.arange(len(index), device=index.device), index]


def grid(side: int, points: int) -> Tensor:
    """Return a grid of `points` x `points` seeds (K, 2) as (x, y) over a square of `side` pixels."""
    axis = (torch.arange(points) + 0.5) * side / points - 0.5
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).flatten(0, 1)


def spots(prompts: PromptBatch, weights: Tensor, height: int, width: int) -> Tensor:
    """Gaussian spots (N, h, w) at the prompts' points, summed by weights (N, P); drawn in stride-4 pixels."""
    places = (prompts.coords + 0.5) / 4.0 - 0.5
    axes = (torch.arange(n, device=places.device, dtype=torch.float32) for n in (width, height))
    x, y = (
        ((places[..., i, None] - axis).square() / (-2 * SPOT_RADIUS**2)).exp() for i, axis in enumerate(axes)
    )  # (N, P, w) and (N, P, h)
    return torch.einsum("nph,npw,np->nhw", y, x, weights.float())


def twice(maps: Tensor) -> Tensor:
    """Enlarge maps (T, C, H, W) bilinearly to (T, C, 2 H, 2 W)."""
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def start_at_zero(layer: nn.Linear | nn.Conv2d) -> None:
    """Make a layer give nothing until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class PromptableBase(SAM2Base):
    """SAM 2 with `encode` and `decode`; adds no parameter, so official state dicts fit."""

    input: InputSpec
    carries_masks = False
    """Whether the mask of the frame before, as a prompt, carries objects through a stack; else the memory does."""

    def encode(self, pixels: Tensor) -> Features:
        """Encode images.

        Parameters
        ----------
        pixels : (B, 3, S, S) float
            Normalised by `input.mean` and `input.std`.
        """
        out = self.forward_image(pixels)
        stride4, stride8, embedding = out["backbone_fpn"][-3:]
        if self.directly_add_no_mem_embed:
            embedding = embedding + self.no_mem_embed.reshape(1, -1, 1, 1)
        return Features(embedding, stride8, stride4)

    def encode_local(self, pixels: Tensor) -> Features:
        """Encode quadrants of planes (Q, 3, S, S), each at twice the scale: where the refiner looks up detail."""
        return self.encode(pixels)

    def suggest(self, features: Features, points: int) -> Suggested:  # noqa: ARG002
        """Return where objects of one encoded image are likely; here a grid of `points` x `points`."""
        return Suggested(grid(self.input.side, points), None)

    def glance(self, features: Features, image: Tensor, prompts: PromptBatch) -> Tensor | None:  # noqa: ARG002
        """Return a first idea of the objects at once, logits (N, h, w); None of a base that has none before it decodes.

        As `decode`, of prompts without masks.
        """
        return None

    def obey(self, logits: Tensor, prompts: PromptBatch, finer: Callable[[], Tensor]) -> Tensor:  # noqa: ARG002
        """Mend logits (N, h, h) that a refiner made where they do not follow a click; official answers stay.

        `finer` gives what comes on top of them, (N, S, S); a base that promises nothing saves the work.
        """
        return logits

    def decode(self, features: Features, image: Tensor, prompts: PromptBatch, *, multimask: bool) -> Decoded:
        """Answer prompts on encoded images.

        Parameters
        ----------
        features : Features
            Of B images.
        image : (N,) int64
            Which image each object is on.
        prompts : PromptBatch
            Of N objects.
        multimask : bool
            Whether to return all candidates (a single click is ambiguous) or the one mask meant.
        """
        sparse, dense = self._embed_prompts(prompts)
        one = features.embedding.shape[0] == 1
        at = slice(None) if one else image
        logits, scores, tokens, object_logits, mask_features = self._run_decoder(
            image_embeddings=features.embedding[at],
            image_pe=self.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=one,
            high_res_features=[features.stride4[at], features.stride8[at]],
        )
        if multimask:
            logits, scores, tokens = logits[:, 1:], scores[:, 1:], tokens[:, 1:]
            chosen = scores.argmax(1)
            pointer_token = pick(tokens, chosen)
        else:
            pointer_token = tokens[:, 0]
            one_mask = self._stable_mask(logits, scores)
            logits, scores, tokens = (pick(values, one_mask)[:, None] for values in (logits, scores, tokens))
            chosen = torch.zeros_like(one_mask)
        return Decoded(logits, scores, chosen, pick(tokens, chosen), mask_features, object_logits[:, 0], pointer_token)

    def _stable_mask(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Index (N,) of the one mask meant: the first, or where it is not stable the best of the others.

        As SAM 2's dynamic multimask, which says which logits it takes but not which token.
        """
        decoder = self.sam_mask_decoder
        first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        if not decoder.dynamic_multimask_via_stability or self.training:
            return first
        stability = decoder._get_stability_scores(logits[:, :1])[:, 0]  # noqa: SLF001
        return torch.where(stability >= decoder.dynamic_multimask_stability_thresh, first, 1 + scores[:, 1:].argmax(1))

    def _run_decoder(self, **inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Run SAM's mask decoder and catch its upscaled features, which it does not return.

        Masks (N, M, h, w), scores (N, M), tokens (N, M, D), object logits (N, 1), features (N, D/8, h, w).
        """
        caught: list[Tensor] = []
        mine = threading.get_ident()  # another thread may be in the same decoder

        def catch(_module: nn.Module, _input: Any, output: Tensor) -> None:
            if threading.get_ident() == mine:
                caught.append(output)

        hook = self.sam_mask_decoder.output_upscaling[-1].register_forward_hook(catch)
        try:
            masks, scores, tokens, object_logits = self.sam_mask_decoder.predict_masks(**inputs)
        finally:
            hook.remove()
        return masks, scores, tokens, object_logits, caught[0]

    def _embed_prompts(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Return sparse (N, P + 1, D) and dense (N, D, S/16, S/16) prompt embeddings."""
        sparse, dense = self.sam_prompt_encoder(
            points=(prompts.coords, prompts.labels), boxes=None, masks=prompts.mask_logits
        )
        if prompts.mask_logits is not None:
            no_mask = self.sam_prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
            dense = torch.where(prompts.has_mask[:, None, None, None], dense, no_mask)
        return sparse, dense
