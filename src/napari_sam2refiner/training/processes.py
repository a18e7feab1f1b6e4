"""Several processes that train one network: each takes other crops, all share their gradients.

On a CPU whose cores others use too, threads wait for each other at every layer, processes once in a step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from napari_sam2refiner.errors import SAM2RefinerError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue


def run_in_parallel(processes: int, call: Callable[[], object]) -> None:
    """Call something in new processes of one thread each, which know of each other.

    Parameters
    ----------
    processes : int
    call : callable
        Can be pickled.

    Raises
    ------
    SAM2RefinerError
        As the call raised it, in whichever process was first.
    """
    errors: SimpleQueue[SAM2RefinerError] = get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        try:
            spawn(_one_of, (processes, str(Path(folder) / "meeting"), call, errors), nprocs=processes)
        except ProcessRaisedException:
            if errors.empty():
                raise
            raise errors.get() from None


def _one_of(rank: int, processes: int, meeting: str, call: Callable[[], object], errors: Any) -> None:
    """Be process number `rank`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes)
    try:
        call()
    except SAM2RefinerError as error:
        errors.put(error)
        raise
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process; the first logs, validates and saves."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """Return how many processes train."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share_gradients(network: nn.Module) -> None:
    """Average the gradients over all processes, in one message."""
    if count() == 1:
        return
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    message = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(message)
    message /= count()
    for p, part in zip(parameters, message.split([g.numel() for g in gradients]), strict=True):
        if p.grad is not None:
            p.grad.copy_(part.view_as(p.grad))


def agree(value: float) -> float:
    """Return what the first process says, so that all follow one clock."""
    if count() == 1:
        return value
    message = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(message, 0)
    return float(message.item())
