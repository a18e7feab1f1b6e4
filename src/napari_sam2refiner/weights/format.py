"""Weight files read and written: ours in safetensors, official ones as `torch.save` left them.

Ours holds the base's state dict under `base.`, the refiner's under `refiner.`, a window memory's under `memory.` (any
may be missing), floats at half precision if wanted, and in its header: format version, backbone, the command that
trained it, and the code's version.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_sam2refiner.errors import IntegrityError
from napari_sam2refiner.planes.files import written_whole

FORMAT = "1"
_PREFIXES = ("base.", "refiner.", "memory.")

State = dict[str, Tensor]


class Weights(NamedTuple):
    """What a weight file holds.

    Attributes
    ----------
    base, refiner, memory : dict of tensors
        State dicts; empty where the file has none.
    metadata : dict of str
        The header of a file of ours; empty for others.
    """

    base: State
    refiner: State
    memory: State
    metadata: dict[str, str]


def read_weights(path: Path) -> Weights:
    """Read a weight file of ours (.safetensors) or in the official layout (.pt: a state dict, or one under `model`).

    Nothing in the file is run: only tensors and plain containers are accepted.

    Raises
    ------
    IntegrityError
        If it cannot be read as that.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    state = _read_pickle(path)
    state = state.get("model", state)
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        msg = f"weight file {path} holds no state dict, alone or under the key 'model'; choose a SAM 2.1 checkpoint."
        raise IntegrityError(msg)
    return Weights(dict(state), {}, {}, {})


def write_weights(
    path: Path,
    *,
    backbone: str,
    base: Mapping[str, Tensor] | None = None,
    refiner: Mapping[str, Tensor] | None = None,
    memory: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
    half: bool = True,
) -> None:
    """Write a weight file of ours.

    Parameters
    ----------
    path : Path
        Ends in .safetensors; replaced whole or not at all.
    backbone : str
        Builder of the network.
    base, refiner, memory : mapping of tensors, optional
        State dicts.
    metadata : mapping of str, optional
        More for the header: `command`, `version`.
    half : bool
        Whether floating-point tensors are stored as float16.

    Raises
    ------
    SaveError
        If the file cannot be written.
    """
    states = zip(_PREFIXES, (base or {}, refiner or {}, memory or {}), strict=True)
    tensors = {
        prefix + key: _plain(value.half() if half and value.is_floating_point() else value)
        for prefix, state in states
        for key, value in state.items()
    }
    header = {**(metadata or {}), "format": FORMAT, "backbone": backbone}
    with written_whole(path) as partial:
        try:
            save_file(tensors, partial, metadata=header)
        except safetensors.SafetensorError as error:
            raise OSError(str(error)) from error


def _plain(value: Tensor) -> Tensor:
    """Return a tensor with memory of its own, as safetensors wants it."""
    return value.detach().cpu().contiguous().clone()


def _read_safetensors(path: Path) -> Weights:
    """Read a file of ours."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is not a dict
    except (OSError, safetensors.SafetensorError) as error:
        msg = f"weight file {path} cannot be read ({error}); it is truncated or not a safetensors file: get it again."
        raise IntegrityError(msg) from error
    if metadata.get("format") != FORMAT or not all(key.startswith(_PREFIXES) for key in tensors):
        msg = (
            f"weight file {path} has format {metadata.get('format')!r}, this version reads {FORMAT!r}; "
            "choose a file written by napari-sam2refiner, or update it."
        )
        raise IntegrityError(msg)
    base, refiner, memory = ({k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in _PREFIXES)
    return Weights(base, refiner, memory, metadata)


def _read_pickle(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, without running anything in it."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a garbled file makes the unpickler raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f"weight file {path} cannot be read ({reason}); it is truncated or holds more than tensors: get it again."
        raise IntegrityError(msg) from error
    if not isinstance(content, dict):
        msg = f"weight file {path} holds {type(content).__name__}, not a state dict; choose a SAM 2.1 checkpoint."
        raise IntegrityError(msg)
    return content
