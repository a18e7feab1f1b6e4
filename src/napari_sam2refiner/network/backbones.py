"""Bases by name: `micro`, and SAM 2.1 in its four official sizes.

The sizes are those of the official configuration files (Ravi et al., arXiv 2408.00714), written here as arguments of
the official classes, so that nothing is composed at run time; parameter names are the official ones. Weights are
random: loading is for `weights`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention

from napari_sam2refiner.errors import UnknownModelError
from napari_sam2refiner.network.base import InputSpec, PromptableBase
from napari_sam2refiner.network.micro import MicroBase

if TYPE_CHECKING:
    from torch import nn

_HIERA: dict[str, dict[str, Any]] = {
    "sam2.1_hiera_tiny": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 7, 2),
        "global_att_blocks": (5, 7, 9),
        "window_pos_embed_bkg_spatial_size": (7, 7),
    },
    "sam2.1_hiera_small": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 11, 2),
        "global_att_blocks": (7, 10, 13),
        "window_pos_embed_bkg_spatial_size": (7, 7),
    },
    "sam2.1_hiera_base_plus": {
        "embed_dim": 112,
        "num_heads": 2,
        "stages": (2, 3, 16, 3),
        "global_att_blocks": (12, 16, 20),
        "window_pos_embed_bkg_spatial_size": (14, 14),
    },
    "sam2.1_hiera_large": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_att_blocks": (23, 33, 43),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 16, 8),
    },
}

BASE_NAMES = ("micro", *_HIERA)


def build_base(name: str) -> PromptableBase:
    """Return a base with random weights, in eval mode.

    Parameters
    ----------
    name : str
        One of `BASE_NAMES`.

    Raises
    ------
    UnknownModelError
        If there is no base of that name.
    """
    if name == "micro":
        base: PromptableBase = MicroBase()
    elif name in _HIERA:
        base = Sam21Base(_HIERA[name])
    else:
        msg = f"there is no base named {name!r}; choose one of {', '.join(BASE_NAMES)}."
        raise UnknownModelError(msg)
    base.eval()
    return base


def freeze(module: nn.Module) -> None:
    """Take a module out of training: no gradients, eval mode."""
    module.requires_grad_(False)
    module.eval()


class Sam21Base(PromptableBase):
    """SAM 2.1 around a Hiera trunk.

    Parameters
    ----------
    hiera : dict
        Arguments of the trunk, the only thing in which the sizes differ.
    side : int
        S, a multiple of 128; official weights know 1024.
    """

    def __init__(self, hiera: dict[str, Any], side: int = 1024) -> None:
        self.input = InputSpec(side, "stretch", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        width = hiera["embed_dim"]
        super().__init__(
            image_encoder=ImageEncoder(
                trunk=Hiera(**hiera),
                neck=FpnNeck(
                    position_encoding=PositionEmbeddingSine(256, warmup_cache=False),
                    d_model=256,
                    backbone_channel_list=[8 * width, 4 * width, 2 * width, width],
                    fpn_top_down_levels=[2, 3],
                    fpn_interp_model="nearest",
                ),
                scalp=1,
            ),
            memory_attention=_memory_attention(),
            memory_encoder=_memory_encoder(),
            num_maskmem=7,
            image_size=side,
            sigmoid_scale_for_mem_enc=20.0,
            sigmoid_bias_for_mem_enc=-10.0,
            use_mask_input_as_output_without_sam=True,
            directly_add_no_mem_embed=True,
            no_obj_embed_spatial=True,
            use_high_res_features_in_sam=True,
            multimask_output_in_sam=True,
            iou_prediction_use_sigmoid=True,
            use_obj_ptrs_in_encoder=True,
            add_tpos_enc_to_obj_ptrs=True,
            proj_tpos_enc_in_obj_ptrs=True,
            use_signed_tpos_enc_to_obj_ptrs=True,
            only_obj_ptrs_in_the_past_for_eval=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            fixed_no_obj_ptr=True,
            multimask_output_for_tracking=True,
            use_multimask_token_for_obj_ptr=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            use_mlp_for_obj_ptr_proj=True,
            # What the official builder adds to its files by default.
            sam_mask_decoder_extra_args={
                "dynamic_multimask_via_stability": True,
                "dynamic_multimask_stability_delta": 0.05,
                "dynamic_multimask_stability_thresh": 0.98,
            },
        )


def _memory_attention() -> MemoryAttention:
    """SAM 2.1's memory attention."""
    rope = {"rope_theta": 10000.0, "feat_sizes": [64, 64], "embedding_dim": 256, "num_heads": 1, "downsample_rate": 1}
    layer = MemoryAttentionLayer(
        activation="relu",
        d_model=256,
        dim_feedforward=2048,
        dropout=0.1,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=RoPEAttention(dropout=0.1, **rope),
        cross_attention=RoPEAttention(dropout=0.1, rope_k_repeat=True, kv_in_dim=64, **rope),
    )
    return MemoryAttention(d_model=256, pos_enc_at_input=True, layer=layer, num_layers=4)


def _memory_encoder() -> MemoryEncoder:
    """SAM 2.1's memory encoder."""
    return MemoryEncoder(
        out_dim=64,
        position_encoding=PositionEmbeddingSine(64, warmup_cache=False),
        mask_downsampler=MaskDownSampler(kernel_size=3, stride=2, padding=1),
        fuser=Fuser(
            CXBlock(dim=256, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True), num_layers=2
        ),
    )
