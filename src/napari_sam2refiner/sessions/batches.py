"""How much a network is asked at once, and at which precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from napari_sam2refiner.errors import InsufficientMemoryError

if TYPE_CHECKING:
    from napari_sam2refiner.network.refiner import SAM2Refiner

BATCH = 32  # objects decoded at once, at most

T = TypeVar("T")
U = TypeVar("U")


class Batches:
    """Answers items in batches, halved as often as memory asks for it; later calls keep the smaller size."""

    def __init__(self) -> None:
        self.size = BATCH

    def __call__(self, items: Sequence[T], answer: Callable[[Sequence[T]], list[U]]) -> list[U]:
        """Return the answers of all items; raise `InsufficientMemoryError` if there is no memory for a single one."""
        answers: list[U] = []
        done = 0
        while done < len(items):
            part = items[done : done + self.size]
            try:
                answers += answer(part)
            except InsufficientMemoryError:
                raise
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    msg = (
                        "there is not enough memory for a single object of this image; close other programs, "
                        "set local_detail='off', or choose a smaller model."
                    )
                    raise InsufficientMemoryError(msg) from error
                self.size = len(part) // 2
            else:
                done += len(part)
        return answers


def precision(model: SAM2Refiner) -> AbstractContextManager[Any]:
    """Compute at the model's precision."""
    dtype = model.compute_dtype
    return nullcontext() if dtype == torch.float32 else torch.autocast(next(model.parameters()).device.type, dtype)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether this is what torch raises when an allocation fails."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(text in str(error) for text in ("can't allocate memory", "not enough memory"))
