"""SAM2Refiner: a frozen SAM 2 and three modules that give it fine detail.

Yao et al., "Towards Fine-grained Interactive Segmentation in Images and Videos", arXiv 2502.09660,
https://arxiv.org/abs/2502.09660. Fresh, it answers exactly as its base: every module ends in zeros that are added to
what the base computed. Against the paper: local detail may be left out, below stride 4 only the outline is
computed, and a look at the pixels of the whole image shows what the base's features have lost.

Letters: B images, N objects, Q quadrants, D width of the network, S side of the square, g = S/16, h = S/4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from napari_sam2refiner.network.backbones import freeze
from napari_sam2refiner.network.base import start_at_zero
from napari_sam2refiner.network.localization import LocalFeatures, LocalizationAugment, put_together, quadrants_of
from napari_sam2refiner.network.look import PixelLook
from napari_sam2refiner.network.refinement import MaskRefinement, Tiles
from napari_sam2refiner.network.retargeting import PromptRetargeting

if TYPE_CHECKING:
    from napari_sam2refiner.network.base import Decoded, Features, PromptableBase, PromptBatch
    from napari_sam2refiner.network.look import Look


class Encoded(Protocol):
    """What the refiner needs of encoded images: `Features`, or `micro`'s pyramid, whose first level it takes."""

    @property
    def embedding(self) -> Tensor:
        """(B, D, g, g)."""

    @property
    def stride4(self) -> Tensor:
        """(B, D/8, h, h)."""


class Refined(NamedTuple):
    """The refined answer for N objects.

    Attributes
    ----------
    logits : (N, h, h)
        At stride 4.
    tiles : Tiles
        What is added at S/2 and S where the outline is; `tiles.add_to(logits)` gives (N, S, S).
    score : (N,)
        Predicted IoU: the base's and a residual, so that it may leave 0 to 1 a little.
    object_logits : (N,)
        Above zero if the object is there; the base's.
    """

    logits: Tensor
    tiles: Tiles
    score: Tensor
    object_logits: Tensor


class RefinedScore(nn.Module):
    """Corrects the base's predicted IoU from what the refinement changed; zero at first.

    Gradients stop at its inputs.
    """

    statistics = 5

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(width + self.statistics, 64), nn.GELU())
        self.leave = nn.Linear(64, 1)
        start_at_zero(self.leave)

    def forward(self, token: Tensor, before: Tensor, after: Tensor, score: Tensor) -> Tensor:
        """Return corrections (N,) from renewed tokens (N, D), logits (N, h, h) before and after, and scores (N,)."""
        before, after = before.detach().float().sigmoid(), after.detach().float().sigmoid()
        area = after.sum((1, 2)).clamp(min=1e-3)
        union = torch.maximum(before, after).sum((1, 2)).clamp(min=1e-3)
        statistics = torch.stack(
            [
                area.log(),
                (area / before.sum((1, 2)).clamp(min=1e-3)).log(),
                torch.minimum(before, after).sum((1, 2)) / union,
                after.square().sum((1, 2)) / area,
                score.detach(),
            ],
            1,
        )
        correction: Tensor = self.leave(self.enter(torch.cat([token.detach().float(), statistics], 1)))
        return correction[:, 0]


class SAM2Refiner(nn.Module):
    """A frozen base with Localization Augment, Prompt Retargeting and Mask Refinement.

    Parameters
    ----------
    base : PromptableBase
        Frozen here.

    Attributes
    ----------
    name, backbone, refiner_name : str or None
        Of the base's weights, of its builder, and of the refiner's weights (None if untrained); set by whoever loads.
    second : SAM2Refiner or None
        Another network that gets this one's masks as prompts in place of the refiner; set by whoever loads.
    device : torch.device
        Where the parameters are meant to be.
    compute_dtype : torch.dtype
        What inference computes in; the parameters stay float32.
    """

    def __init__(self, base: PromptableBase) -> None:
        super().__init__()
        freeze(base)
        width = base.hidden_dim
        self.base = base
        self.pixel_look = PixelLook(width)
        self.localization = LocalizationAugment(width)
        self.retargeting = PromptRetargeting(width)
        self.refinement = MaskRefinement(width)
        self.refined_score = RefinedScore(width)
        self.name: str | None = None
        self.backbone: str | None = None
        self.refiner_name: str | None = None
        self.second: SAM2Refiner | None = None
        self.device = torch.device("cpu")
        self.compute_dtype = torch.float32

    def train(self, mode: bool = True) -> Self:
        """Set training mode of the modules around it; the base stays in eval mode."""
        super().train(mode)
        self.base.eval()
        return self

    @property
    def is_untrained(self) -> bool:
        """Whether the refiner changes nothing, so that one may save the work."""
        if self.second is not None:
            return False
        stages = self.refinement
        ends = [
            stages.coarse.readout.layer,
            stages.middle.readout.layer,
            stages.fine.readout.layer,
            self.localization.leave,
            self.retargeting.leave,
            self.refined_score.leave,
        ]
        return not any(bool(p.any()) for end in ends for p in end.parameters())

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """Encode images (B, 3, S, S) by the base."""
        return self.base.encode(pixels)

    @torch.no_grad()
    def encode_local(self, pixels: Tensor) -> Features:
        """Encode quadrants (Q, 3, S, S), each resampled from source pixels, by the base: its features of each."""
        return self.base.encode_local(pixels)

    def look(self, features: Encoded, pixels: Tensor) -> Look:
        """Look at the pixels (B, 3, S, S) of encoded images again, for what the encoder has lost."""
        look: Look = self.pixel_look(pixels, features.stride4, features.embedding)
        return look

    def localize(self, features: Encoded, local: Features, image: Tensor, place: Tensor) -> LocalFeatures:
        """Look up detail for the image embedding and put the quadrants together.

        Parameters
        ----------
        features : Features or Pyramid
            Of B images.
        local : Features
            Of Q quadrants of them; any may be missing.
        image, place : (Q,) int64
            Which image each is of, and where: 0 above left, 1 above right, 2 below left, 3 below right.
        """
        delta = self.localization(quadrants_of(features.embedding, image, place), local)
        batch = len(features.embedding)
        return LocalFeatures(put_together(delta, image, place, batch), put_together(local.stride4, image, place, batch))

    def refine(
        self,
        features: Encoded,
        local: LocalFeatures | None,
        image: Tensor,
        prompts: PromptBatch,
        decoded: Decoded,
        look: Look,
    ) -> Refined:
        """Refine the base's answer.

        Parameters
        ----------
        features : Features or Pyramid
            Of B images.
        local : LocalFeatures, optional
            Their detail; without it Localization Augment is the identity.
        image : (N,) int64
            Which image each object is on.
        prompts : PromptBatch
            Of N objects.
        decoded : Decoded
            The base's answer; its chosen candidates are refined.
        look : Look
            At the B images.
        """
        embedding = features.embedding if local is None else features.embedding + local.delta
        encoded, _ = self.base.sam_prompt_encoder(points=(prompts.coords, prompts.labels), boxes=None, masks=None)
        encoded = encoded[:, :-1]  # without the padding token that SAM appends
        answer = decoded.chosen_logits
        renewal = self.retargeting(embedding, image, prompts, encoded, decoded.token, answer)
        logits, tiles = self.refinement(look, embedding, features.stride4, local, image, prompts, decoded, renewal)
        coarse = logits
        logits = self.base.obey(coarse, prompts, lambda: tiles.add_to(torch.zeros_like(coarse)).detach())
        base_score = decoded.chosen_score
        score = base_score + self.refined_score(decoded.token + renewal, answer, logits, base_score)
        return Refined(logits, tiles, score, decoded.object_logits)
