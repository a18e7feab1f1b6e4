"""Encoded frames that need not be encoded again: the latest in memory, all of them on disk if there is a folder.

A frame is known by what the network saw: its pixels after normalisation, the weights, and the precision. So frames of
another stack, or of the same one read with other limits, are never mixed up, and a folder may serve many stacks.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from napari_sam2refiner.errors import SaveError
from napari_sam2refiner.network.base import Features
from napari_sam2refiner.planes.files import written_whole

if TYPE_CHECKING:
    import torch

    from napari_sam2refiner.network.refiner import SAM2Refiner

LIMIT = 2**29  # bytes in memory: of a SAM 2.1 at 1024 pixels, some thirty frames


class EmbeddingCache:
    """Keeps encoded frames.

    Parameters
    ----------
    limit : int
        Bytes in memory at most; one frame is kept in any case.
    folder : Path, optional
        Where all of them are kept as files, in half precision; made if it is not there. What is in it may be deleted
        at any time.

    Raises
    ------
    SaveError
        If the folder cannot be made.
    """

    def __init__(self, limit: int = LIMIT, folder: Path | None = None) -> None:
        self._limit = limit
        self._folder = folder
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self._size = 0
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                msg = f"{folder} cannot be made: {error.strerror or error}; choose another folder for encoded frames."
                raise SaveError(msg) from error

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._size

    def __contains__(self, key: str) -> bool:
        """Whether a frame is known, in memory or in the folder."""
        return key in self._kept or (self._folder is not None and self._path(self._folder, key).exists())

    def get(self, key: str, device: torch.device, encode: Callable[[], Features]) -> Features:
        """Return an encoded frame; it is encoded where it is not known."""
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known
        found = self._read(key, device)
        if found is None:
            found = encode()
            if self._folder is not None:  # so that what is read back later is the same
                found = Features(*(value.half().float() for value in found))
                self._write(self._folder, key, found)
        self._keep(key, found)
        return found

    def _keep(self, key: str, features: Features) -> None:
        """Keep a frame in memory, and let go of the oldest ones."""
        self._kept[key] = features
        self._size += _bytes(features)
        while self._size > self._limit and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._size -= _bytes(oldest)

    def _read(self, key: str, device: torch.device) -> Features | None:
        """Return a frame from the folder; None where it is not there, or damaged."""
        if self._folder is None:
            return None
        try:
            tensors = load_file(self._path(self._folder, key), device=str(device))
            return Features(*(tensors[name].float() for name in Features._fields))
        except (OSError, KeyError, SafetensorError):
            return None

    def _write(self, folder: Path, key: str, features: Features) -> None:
        """Keep a frame in the folder; without room for it, go on without the folder."""
        tensors = {name: value.half().cpu().contiguous() for name, value in features._asdict().items()}
        try:
            with written_whole(self._path(folder, key)) as partial:
                partial.write_bytes(save(tensors))
        except SaveError as error:
            self._folder = None
            warnings.warn(f"{error} Frames are encoded again where they are needed again.", stacklevel=2)

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / f"{key}.safetensors"


def fingerprint(model: SAM2Refiner) -> str:
    """Return what tells a base and its precision from others."""
    found = hashlib.sha256(f"{model.backbone} {model.compute_dtype}".encode())
    for name, value in model.base.state_dict().items():
        found.update(f"{name} {float(value.cpu().double().sum()):.17g}".encode())
    return found.hexdigest()[:16]


def frame_key(weights: str, image: npt.NDArray[Any]) -> str:
    """Return the key of a frame (Y, X, 3) as the network sees it, with weights of that fingerprint."""
    return hashlib.sha256(f"{weights} {image.shape} {image.dtype}".encode() + image.tobytes()).hexdigest()[:32]


def _bytes(features: Features) -> int:
    return sum(value.nbytes for value in features)
