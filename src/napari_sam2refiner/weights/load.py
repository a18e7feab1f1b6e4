"""`load_model`: from a name or a path to a network that is ready to answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from napari_sam2refiner.errors import IntegrityError, InvalidConfigError, UnknownModelError
from napari_sam2refiner.network.backbones import build_base
from napari_sam2refiner.network.refiner import SAM2Refiner
from napari_sam2refiner.network.window_memory import WindowMemory
from napari_sam2refiner.weights.download import Progress, ensure
from napari_sam2refiner.weights.format import Weights, read_weights
from napari_sam2refiner.weights.registry import Kind, entries, find_entry

DType = Literal["auto", "float32", "bfloat16", "float16"]

# Width of the first stage and number of blocks of Hiera, which tell the official backbones apart.
_HIERA = {
    (96, 12): "sam2.1_hiera_tiny",
    (96, 16): "sam2.1_hiera_small",
    (112, 24): "sam2.1_hiera_base_plus",
    (144, 48): "sam2.1_hiera_large",
}


MICRO, NO_REFINER = "micro", "none"

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Source(NamedTuple):
    """A weight file and what users call it."""

    name: str
    path: Path


def load_model(
    name_or_path: str | Path = "micro",
    refiner: str | Path | None = None,
    *,
    device: str | torch.device = "auto",
    dtype: DType = "auto",
    progress: Progress | None = None,
) -> SAM2Refiner:
    """Return a network with its weights, in evaluation mode.

    Parameters
    ----------
    name_or_path : str or Path
        A name of the registry (downloaded if it is not on disk), or a weight file: of ours, or a SAM 2.1 checkpoint
        in the official layout, whose backbone its shapes tell.
    refiner : str or Path, optional
        A name or file of a trained refiner for that backbone; or "micro", which for another backbone means that its
        masks go through `micro` as mask prompts; or "none". Without it the file's own is taken; where there is none the
        refiner is untrained, which gives exactly what the base gives.
    device : str or torch.device
        "auto" takes CUDA if there, else Apple's GPU, else the CPU.
    dtype : {"auto", "float32", "bfloat16", "float16"}
        What sessions compute in; parameters stay float32. "auto" is bfloat16 on a CUDA GPU that has it, else float32.
    progress : callable, optional
        Called with (bytes there are, bytes there will be) during a download.

    Returns
    -------
    SAM2Refiner
        With the attributes `name`, `backbone`, `device`, `compute_dtype`, and `refiner_name` (None if untrained).

    Raises
    ------
    UnknownModelError
        If there is neither a model of that name nor a file at that path.
    IntegrityError
        If a file is truncated, altered, or of another network.
    DownloadError
        If no source has the file.
    InvalidConfigError
        If the device or the dtype cannot be had here.
    """
    target = find_device(device)
    compute_dtype = find_dtype(dtype, target)
    source = _find(name_or_path, "base", progress)
    weights = read_weights(source.path)
    if not weights.base:
        msg = f"weight file {source.path} holds a refiner alone; give it as `refiner`, and a base as the model."
        raise IntegrityError(msg)
    backbone = detect_backbone(weights.base, source.path)
    model = SAM2Refiner(build_base(backbone))
    load_state(model.base, weights.base, source.path)
    model.name, model.backbone, model.refiner_name = source.name, backbone, None
    if refiner == MICRO and backbone != MICRO:
        lend_refiner(model, target, dtype)
    elif refiner != NO_REFINER:
        if refiner is not None and refiner != source.name:
            source = _find(refiner, "refiner", progress)
            weights = read_weights(source.path)
            _check_refiner(weights, source.path, backbone)
        if weights.refiner:
            load_state(model, weights.refiner, source.path, ignore="base.")
            model.refiner_name = source.name
    model.device, model.compute_dtype = target, compute_dtype
    return model.to(target).eval()


def lend_refiner(model: SAM2Refiner, device: str | torch.device = "auto", dtype: DType = "auto") -> None:
    """Let the masks of a model of another backbone go through `micro` as mask prompts."""
    model.second = load_model(MICRO, device=device, dtype=dtype)
    model.refiner_name = MICRO


def load_memory(name_or_path: str | Path = "window_memory", *, device: str | torch.device = "auto") -> WindowMemory:
    """Return a window memory with its weights, in evaluation mode; errors are those of `load_model`."""
    path = _find(name_or_path, "memory", None).path
    memory = WindowMemory()
    load_state(memory, read_weights(path).memory, path)
    return memory.to(find_device(device)).eval().requires_grad_(False)


def find_device(device: str | torch.device) -> torch.device:
    """Return the device meant; raise `InvalidConfigError` if it is not there.

    Parameters
    ----------
    device : str or torch.device
        "auto" takes CUDA if there, else Apple's GPU, else the CPU.
    """
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(kind for kind, there in usable.items() if there))
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or not usable.get(found.type, False) or (found.index or 0) >= _count(found.type):
        there = ", ".join(kind for kind, is_there in usable.items() if is_there)
        msg = f"device {str(device)!r} cannot be used here; choose 'auto' or one of: {there}."
        raise InvalidConfigError(msg)
    return found


def find_dtype(dtype: DType, device: torch.device) -> torch.dtype:
    """Return the dtype to compute in on a device; raise `InvalidConfigError` if it is none of the choices."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if dtype not in _DTYPES:
        msg = f"dtype {dtype!r} is not known; choose 'auto', {', '.join(map(repr, _DTYPES))}."
        raise InvalidConfigError(msg)
    return _DTYPES[dtype]


def detect_backbone(state: Mapping[str, Tensor], path: Path) -> str:
    """Return the builder that a base's state dict fits, from its keys and shapes.

    Parameters
    ----------
    state : mapping of tensors
        In the official layout, or micro's.
    path : Path
        Where it comes from, for the error.

    Raises
    ------
    IntegrityError
        If it is of no network that is known here.
    """
    if any(key.startswith("instance_embedding.") for key in state):
        return "micro"
    patches = state.get("image_encoder.trunk.patch_embed.proj.weight")
    blocks = {match[1] for key in state if (match := re.match(r"image_encoder\.trunk\.blocks\.(\d+)\.", key))}
    shape = (0 if patches is None else len(patches), len(blocks))
    if shape not in _HIERA:
        msg = f"weight file {path} is of no network known here; choose a SAM 2.1 checkpoint or a file of ours."
        raise IntegrityError(msg)
    if "no_obj_embed_spatial" not in state:
        msg = f"weight file {path} is of SAM 2.0, which lacks parts of SAM 2.1; choose a checkpoint of SAM 2.1."
        raise IntegrityError(msg)
    return _HIERA[shape]


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: Path, ignore: str | None = None) -> None:
    """Load a state dict strictly; half-precision values are widened to the parameters' dtype.

    Parameters
    ----------
    network : torch.nn.Module
    state : mapping of tensors
    path : Path
        Where it comes from, for the error.
    ignore : str, optional
        Beginning of the network's keys that the state need not have.

    Raises
    ------
    IntegrityError
        If a key is missing or too much, or a shape differs; the first of each is named.
    """
    own = {key: value for key, value in network.state_dict().items() if ignore is None or not key.startswith(ignore)}
    problems = {
        "missing": sorted(own.keys() - state.keys()),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    found = [f"{len(keys)} {what} (first: {keys[0]})" for what, keys in problems.items() if keys]
    if found:
        msg = f"weight file {path} does not fit the network: {', '.join(found)}; choose a file made for it."
        raise IntegrityError(msg)
    network.load_state_dict(state, strict=ignore is None)


def _find(name_or_path: str | Path, kind: Kind, progress: Progress | None) -> _Source:
    """Return the file of a listed model of that kind, or the file at that path."""
    if str(name_or_path) not in [entry.name for entry in entries()] and Path(name_or_path).is_file():
        return _Source(Path(name_or_path).stem, Path(name_or_path))
    entry = find_entry(str(name_or_path))
    if entry.kind != kind:
        msg = f"model {entry.name!r} is a {entry.kind}, not a {kind}; choose another."
        raise UnknownModelError(msg)
    return _Source(entry.name, ensure(entry, progress=progress))


def _check_refiner(weights: Weights, path: Path, backbone: str) -> None:
    """Raise unless the file holds a refiner for the backbone."""
    made_for = weights.metadata.get("backbone")
    if not weights.refiner or made_for != backbone:
        what = f"a refiner of {made_for}" if weights.refiner else "no refiner"
        msg = f"weight file {path} holds {what}; choose one trained on {backbone}."
        raise IntegrityError(msg)


def _count(kind: str) -> int:
    """Return how many devices of a kind there are."""
    return torch.cuda.device_count() if kind == "cuda" else 1
