"""`micro`: a small SAM 2 for microscopy, with an instance embedding and an image pyramid.

Letters as in `base`; C cuts; L pyramid levels, of the plane at S, S/2 and S/4. Objects of 8 pixels and objects that
fill the view do not look alike to a small network, so each level answers a click and the predicted IoU chooses.

Against SAM 2: a convolutional trunk; top-down features on every level of the neck; positions are encoded in pixels
of the level (one pixel means the same phase on each level); the instance embedding's first guess is the decoder's mask
prompt, and the decoder's masks are a residual on it, zero at first; the score also sees how the mask lies in the image,
and is given for several cuts of the logits; all of them, on all levels, make the mask together, weighed by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import RoPEAttention, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam2refiner.network.base import (
    NEGATIVE,
    POSITIVE,
    Decoded,
    Features,
    InputSpec,
    PromptableBase,
    PromptBatch,
    Suggested,
    pick,
    spots,
    start_at_zero,
)
from napari_sam2refiner.network.instance_embedding import InstanceEmbedding, InstanceMaps
from napari_sam2refiner.network.prompt_fusion import PromptFusion
from napari_sam2refiner.network.seeds import vote

SIDE = 512
SCALES = (1, 2, 4)
CUTS = (2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -3.0)  # logits that may become a mask's outline
SHARPNESS = 25.0  # of the choice by predicted IoU: 0.04 less of it makes a candidate weigh e times less
OBEYED = 2.0  # logit that a click gets where the network does not follow it
SPOT_SAMPLED = 1.15  # a spot between four pixels is a little lower when it is sampled; this makes up for it
SEEN_COARSER = (100, 600)  # stride-4 pixels that a guess of the second and third level needs, to count at a glance


class Level(NamedTuple):
    """One scale of B encoded images.

    Attributes
    ----------
    features : Features
    instances : InstanceMaps
    """

    features: Features
    instances: InstanceMaps


class Pyramid(NamedTuple):
    """B encoded images at every scale: the fields of `Features` for the first, and all levels."""

    embedding: Tensor
    stride8: Tensor
    stride4: Tensor
    levels: tuple[Level, ...]


class LevelAnswer(NamedTuple):
    """What one level says of N objects; h x w are its stride-4 pixels.

    Attributes
    ----------
    logits : (N, h, w)
        Before they are cut.
    guess, fused : (N, h, w)
        Logits of the instance embedding alone, and with the prompt maps.
    score_logits : (N, C)
        Predicted IoU, before the sigmoid, of the mask that each cut makes.
    token : (N, D)
    mask_features : (N, D/8, h, w)
    object_logits : (N,)
    """

    logits: Tensor
    guess: Tensor
    fused: Tensor
    score_logits: Tensor
    token: Tensor
    mask_features: Tensor
    object_logits: Tensor

    def best(self) -> tuple[Tensor, Tensor]:
        """Logits (N, h, w) that are zero where the best cut is, and that cut's score (N,) before the sigmoid."""
        score, index = self.score_logits.max(1)
        return self.logits - self.logits.new_tensor(CUTS)[index, None, None], score


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with group norm; the first may halve the resolution."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(channels_in, channels, 1, bias=False), nn.GroupNorm(8, channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ConvTrunk(nn.Module):
    """Residual trunk with outputs at strides 4, 8, 16 and 32.

    Plain 3 x 3 convolutions: on a CPU they take half the time of grouped ones of the same size.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 96, 160, 256), depths: tuple[int, ...] = (2, 2, 3, 3)) -> None:
        super().__init__()
        first = widths[0] // 2
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.GroupNorm(8, first), nn.ReLU())
        self.stages = nn.ModuleList()
        before = first
        for width, depth in zip(widths, depths, strict=True):
            blocks = [ResidualBlock(before if i == 0 else width, width, 2 if i == 0 else 1) for i in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
            before = width
        self.channel_list = list(widths[::-1])  # as SAM 2's neck wants it: coarsest first

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, S, S) to features at strides 4 to 32."""
        x, out = self.stem(pixels), []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out


class MaskQuality(nn.Module):
    """Estimates a mask's IoU, cut here or there, from how it lies in the image: corrections to the decoder's score.

    Sees the mean features under the mask, how sure it is, whether its outline lies on likely boundaries, whether it
    obeys the points, and how large it is; gradients stop at all of these.
    """

    statistics = 9

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Linear(96, len(CUTS))
        start_at_zero(last)
        self.layers = nn.Sequential(
            nn.Linear(channels + self.statistics, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), last
        )

    def forward(self, maps: InstanceMaps, image: Tensor, logits: Tensor, prompts: PromptBatch) -> Tensor:
        """Return corrections (N, C) to the score's logit for masks (N, h, w), one for each cut."""
        corrections: Tensor = self.layers(self.describe(maps, image, logits, prompts))
        return corrections

    def describe(self, maps: InstanceMaps, image: Tensor, logits: Tensor, prompts: PromptBatch) -> Tensor:
        """Return what it sees of masks (N, h, w), (N, F)."""
        logits = logits.detach().float()
        inside = logits.sigmoid()
        edge = 4.0 * inside * (1.0 - inside)
        area, rim = inside.sum((1, 2)).clamp(min=1e-3), edge.sum((1, 2)).clamp(min=1e-3)
        boundary = maps.boundary.detach().float().sigmoid()[image]
        foreground = maps.foreground.detach().float().sigmoid()[image]
        features = maps.features.detach().float().flatten(2)
        pooled = inside.new_empty(len(image), features.shape[1])
        for b in range(len(features)):  # a product for each image, where gathering would copy its features per object
            pooled[image == b] = (inside[image == b].flatten(1) @ features[b].T).to(pooled.dtype)
        pooled = pooled / area[:, None]
        frame = torch.cat([inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]], 1)
        statistics = torch.stack(
            [
                area.log(),
                rim.log() - 0.5 * area.log(),
                inside.square().sum((1, 2)) / area,
                (edge * boundary).sum((1, 2)) / rim,
                (inside.square() * boundary).sum((1, 2)) / area,
                (inside * foreground).sum((1, 2)) / area,
                frame.sum(1) / area.sqrt(),
                *_obedience(logits, prompts),
            ],
            1,
        )
        return torch.cat([pooled, statistics], 1)


def consensus(answers: Sequence[LevelAnswer], size: torch.Size) -> Tensor:
    """Logits (N, h, w) of the mean probability of a pixel over the candidates: every level, shifted by every cut.

    Candidates weigh by the softmax of their predicted IoU; where that leaves no mask, because they lie beside each
    other, the best is taken.
    """
    scores = torch.stack([a.score_logits for a in answers], 1).float().sigmoid()  # (N, L, C)
    logits = [_to_size(a.logits[:, None], size)[:, 0].float() for a in answers]

    def mean(weights: Tensor) -> Tensor:
        share = scores.new_zeros(len(scores), *size)
        for level, own in enumerate(logits):
            for index, cut in enumerate(CUTS):
                share += weights.view_as(scores)[:, level, index, None, None] * (own - cut).sigmoid()
        # No nearer to 0 than what is clamped where the mask is a prompt again: there a background would weigh.
        return share.logit(eps=1e-6)

    agreed = mean((SHARPNESS * scores).flatten(1).softmax(1))
    nowhere = (agreed <= 0).flatten(1).all(1)
    if nowhere.any():
        first = scores.flatten(1).argmax(1)
        best = mean(F.one_hot(first, scores[0].numel()).to(scores))
        agreed = torch.where(nowhere[:, None, None], best, agreed)
    return agreed.to(answers[0].logits)


def obeyed(logits: Tensor, prompts: PromptBatch, finer: Tensor | None = None) -> Tensor:
    """Return logits (N, M, h, w) of every candidate with a spot at each click that is not obeyed, so that it is.

    `finer` (N, M, 4 h, 4 w) is what comes on top of them later.
    """
    at = _at_points(logits, prompts)  # (N, M, P)
    if finer is not None:
        at = at + _at_points(finer, prompts, stride=1)
    wanted = (prompts.labels == POSITIVE).float() - (prompts.labels == NEGATIVE).float()
    agrees = at * wanted[:, None]
    lacking = (OBEYED - agrees * SPOT_SAMPLED).where((wanted != 0)[:, None] & (agrees <= 0), 0.0)
    if not lacking.any():
        return logits
    weights = lacking * wanted[:, None]
    raised = [spots(prompts, weights[:, m], *logits.shape[-2:]) for m in range(logits.shape[1])]
    return logits + torch.stack(raised, 1).to(logits)


def _at_points(logits: Tensor, prompts: PromptBatch, stride: int = 4) -> Tensor:
    """Bilinear samples (N, M, P) of logits (N, M, h, w), each so many pixels wide, at the prompts' points."""
    size = prompts.coords.new_tensor([logits.shape[-1], logits.shape[-2]]) * stride / 2.0
    grid = (prompts.coords + 0.5) / size - 1.0
    return F.grid_sample(logits.float(), grid[:, None], padding_mode="border", align_corners=False)[:, :, 0]


def _obedience(logits: Tensor, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
    """Least logit (N,) at the positive points and least minus logit at the negative ones, squashed; 1 without any."""
    at = _at_points(logits[:, None], prompts)[:, 0]
    positive = torch.where(prompts.labels == POSITIVE, at, 30.0).amin(1)
    negative = torch.where(prompts.labels == NEGATIVE, -at, 30.0).amin(1)
    return (positive / 2).tanh(), (negative / 2).tanh()


class MicroBase(PromptableBase):
    """The base `micro`: `SAM2Base` with a small trunk, an instance embedding and a pyramid."""

    input = InputSpec(SIDE, "letterbox", (0.3, 0.3, 0.3), (0.3, 0.3, 0.3), looks_again=True, late_click=4)
    carries_masks = True  # its memory is not trained

    def __init__(self, width: int = 128, memory_width: int = 32, **trunk: Any) -> None:
        neck = ConvTrunk(**trunk)
        super().__init__(
            image_encoder=ImageEncoder(
                trunk=neck,
                neck=FpnNeck(
                    position_encoding=PositionEmbeddingSine(width, warmup_cache=False),
                    d_model=width,
                    backbone_channel_list=neck.channel_list,
                ),
                scalp=1,
            ),
            memory_attention=_memory_attention(width, memory_width),
            memory_encoder=_memory_encoder(width, memory_width),
            image_size=SIDE,
            sigmoid_scale_for_mem_enc=20.0,
            sigmoid_bias_for_mem_enc=-10.0,
            directly_add_no_mem_embed=True,
            no_obj_embed_spatial=True,
            use_high_res_features_in_sam=True,
            use_obj_ptrs_in_encoder=True,
            proj_tpos_enc_in_obj_ptrs=True,
            use_signed_tpos_enc_to_obj_ptrs=True,
            only_obj_ptrs_in_the_past_for_eval=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            fixed_no_obj_ptr=True,
            use_mlp_for_obj_ptr_proj=True,
        )
        self.instance_embedding = InstanceEmbedding(width)
        self.prompt_fusion = PromptFusion()
        self.mask_quality = MaskQuality(64)

    def _build_sam_heads(self) -> None:
        """SAM 2's heads, with one mask and a smaller transformer than the official method builds."""
        super()._build_sam_heads()
        width, grid = self.hidden_dim, self.image_size // self.backbone_stride
        self.sam_prompt_encoder = PromptEncoder(width, (grid, grid), (self.image_size, self.image_size), 16)
        self.sam_mask_decoder = MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(depth=2, embedding_dim=width, num_heads=4, mlp_dim=4 * width),
            num_multimask_outputs=0,
            iou_head_hidden_dim=width,
            use_high_res_features=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
        )
        last = self.sam_mask_decoder.output_hypernetworks_mlps[0].layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def encode_level(self, pixels: Tensor) -> Level:
        """Encode images (B, 3, H, W) of one scale, H and W multiples of 32."""
        out = self.image_encoder(pixels)
        stride4, stride8, embedding = out["backbone_fpn"]
        decoder = self.sam_mask_decoder
        features = Features(
            embedding + self.no_mem_embed.reshape(1, -1, 1, 1), decoder.conv_s1(stride8), decoder.conv_s0(stride4)
        )
        return Level(features, self.instance_embedding(stride4, embedding))

    def encode(self, pixels: Tensor) -> Pyramid:  # type: ignore[override]  # named tuples cannot be extended
        """Encode images (B, 3, S, S) at every scale of the pyramid."""
        levels = tuple(self.encode_level(pixels if s == 1 else F.avg_pool2d(pixels, s)) for s in SCALES)
        return Pyramid(*levels[0].features, levels)

    def encode_local(self, pixels: Tensor) -> Features:
        """Encode quadrants of planes (Q, 3, S, S): one level, the one above S."""
        return self.encode_level(pixels).features

    def suggest(self, features: Pyramid, points: int) -> Suggested:  # type: ignore[override]  # noqa: ARG002
        """Return where objects of one encoded image are likely, by the votes on each level, the finest first."""
        size = features.stride4.shape[-2:]
        maps = [level.instances for level in features.levels]
        coords = [(vote(one) + 0.5) * scale - 0.5 for one, scale in zip(maps, SCALES, strict=True)]
        likely = [_to_size(one.foreground[None], size)[0].float().sigmoid() for one in maps]
        return Suggested(torch.cat(coords), torch.cat(likely))

    def glance(  # type: ignore[override]  # as `encode`
        self, features: Pyramid, image: Tensor, prompts: PromptBatch
    ) -> Tensor:
        """Return what levels guess by the instance embedding alone, up to the one that sees objects of that size.

        A coarser level sees the surroundings of what is small for one object (docs/decisions/0027).
        """
        size = features.stride4.shape[-2:]
        idea = self.instance_embedding.guess(features.levels[0].instances, image, prompts)
        for level, scale, least in zip(features.levels[1:], SCALES[1:], SEEN_COARSER, strict=True):
            guess = self.instance_embedding.guess(level.instances, image, at_scale(prompts, scale))
            guess = _to_size(guess[:, None], size)[:, 0]
            is_large = (guess > 0).flatten(1).sum(1) > least
            idea = torch.where(is_large[:, None, None], torch.maximum(idea, guess), idea)
        return idea

    def obey(self, logits: Tensor, prompts: PromptBatch, finer: Callable[[], Tensor]) -> Tensor:
        """Follow every click after refinement too."""
        return obeyed(logits[:, None], prompts, finer()[:, None])[:, 0]

    def guess_level(self, level: Level, image: Tensor, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Logits (N, h, w) of one level before the decoder: first guesses, and the same with the prompt maps."""
        guess = self.instance_embedding.guess(level.instances, image, prompts)
        return guess, self.prompt_fusion(level.instances.features, image, guess, prompts)

    def decode_level(
        self, level: Level, image: Tensor, prompts: PromptBatch, origin: tuple[int, int] = (0, 0)
    ) -> LevelAnswer:
        """Answer prompts on one level.

        Parameters
        ----------
        level : Level
        image : (N,) int64
            Which image each object is on.
        prompts : PromptBatch
            Coordinates in the level's pixels, masks of its stride-4 size.
        origin : (int, int)
            Row and column, in stride-16 pixels, that the level's corner has in the positional encoding.
        """
        guess, fused = self.guess_level(level, image, prompts)
        encoder = self.sam_prompt_encoder
        rows, columns = level.features.embedding.shape[-2:]
        shift = prompts.coords.new_tensor([16.0 * origin[1], 16.0 * origin[0]])
        sparse, dense = encoder(
            points=(prompts.coords + shift, prompts.labels), boxes=None, masks=fused[:, None].clamp(-12, 12)
        )
        positions = encoder.get_dense_pe()[..., origin[0] : origin[0] + rows, origin[1] : origin[1] + columns]
        residual, score, tokens, object_logits, mask_features = self._run_decoder(
            image_embeddings=level.features.embedding.index_select(0, image),
            image_pe=positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=[f.index_select(0, image) for f in (level.features.stride4, level.features.stride8)],
        )
        logits = fused + residual[:, 0]
        score = score + self.mask_quality(level.instances, image, logits, prompts)
        return LevelAnswer(logits, guess, fused, score, tokens[:, 0], mask_features, object_logits[:, 0])

    def decode(  # type: ignore[override]  # as `encode`
        self, features: Pyramid, image: Tensor, prompts: PromptBatch, *, multimask: bool
    ) -> Decoded:
        """Answer prompts on every level; with `multimask` all stay, each cut where it is best.

        In place of the level with the best score comes what all candidates agree on: what scores that are nearly equal
        get wrong about one cut or level evens out (docs/decisions/0019).
        """
        size = features.stride4.shape[-2:]
        answers = [
            self.decode_level(level, image, at_scale(prompts, scale))
            for level, scale in zip(features.levels, SCALES, strict=True)
        ]
        masks, levels = zip(*(a.best() for a in answers), strict=True)
        scores = torch.stack(levels, 1).sigmoid()
        chosen = scores.argmax(1)
        logits = torch.stack([_to_size(m[:, None], size)[:, 0] for m in masks], 1)
        logits[torch.arange(len(image), device=image.device), chosen] = consensus(answers, size)
        token = pick(torch.stack([a.token for a in answers], 1), chosen)
        object_logits = pick(torch.stack([a.object_logits for a in answers], 1), chosen)
        mask_features = torch.empty(len(image), *features.stride4.shape[1:], device=logits.device, dtype=logits.dtype)
        for index, answer in enumerate(answers):
            of = chosen == index
            mask_features[of] = _to_size(answer.mask_features[of], size).to(logits.dtype)
        if not multimask:
            logits, scores = pick(logits, chosen)[:, None], pick(scores, chosen)[:, None]
            chosen = torch.zeros_like(chosen)
        logits = obeyed(logits, prompts)
        return Decoded(logits, scores, chosen, token, mask_features, object_logits, token)


def at_scale(prompts: PromptBatch, scale: int) -> PromptBatch:
    """Return prompts of the full input as prompts of the level `scale` times smaller."""
    if scale == 1:
        return prompts
    masks = None if prompts.mask_logits is None else F.avg_pool2d(prompts.mask_logits, scale)
    return prompts._replace(coords=(prompts.coords + 0.5) / scale - 0.5, mask_logits=masks)


def _to_size(maps: Tensor, size: torch.Size) -> Tensor:
    """Resample (N, K, h, w) maps bilinearly; an empty batch stays empty."""
    if maps.shape[-2:] == size or not len(maps):
        return maps if len(maps) else maps.new_empty(0, maps.shape[1], *size)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _memory_attention(width: int, memory_width: int) -> MemoryAttention:
    """SAM 2's memory attention with two layers."""
    grid = [SIDE // 16, SIDE // 16]
    rope = {"rope_theta": 10000.0, "feat_sizes": grid, "embedding_dim": width, "num_heads": 1, "downsample_rate": 1}
    layer = MemoryAttentionLayer(
        activation="relu",
        d_model=width,
        dim_feedforward=4 * width,
        dropout=0.1,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=RoPEAttention(dropout=0.1, **rope),
        cross_attention=RoPEAttention(dropout=0.1, rope_k_repeat=True, kv_in_dim=memory_width, **rope),
    )
    return MemoryAttention(d_model=width, pos_enc_at_input=True, layer=layer, num_layers=2)


def _memory_encoder(width: int, memory_width: int) -> MemoryEncoder:
    """SAM 2's memory encoder."""
    return MemoryEncoder(
        out_dim=memory_width,
        in_dim=width,
        position_encoding=PositionEmbeddingSine(memory_width, warmup_cache=False),
        mask_downsampler=MaskDownSampler(embed_dim=width, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(CXBlock(dim=width), num_layers=2),
    )
