"""Where a run computes, by Lightning Fabric: one process or many, on CPUs or GPUs, on one machine or several."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessRaisedException

from napari_sam2refiner.errors import InvalidConfigError, SAM2RefinerError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from lightning_fabric import Fabric

T = TypeVar("T")


@dataclass(frozen=True)
class Machines:
    """What a run computes on.

    Attributes
    ----------
    device : str
        "cpu" or "cuda".
    devices : int
        GPUs, or processes of a CPU, on each machine; each takes other crops, all share their gradients.
    nodes : int
        Machines. With more than one, start the same command on each as torchrun or SLURM do.
    bf16 : bool
        Compute in bfloat16 on a CPU too, as always on GPUs.
    """

    device: str = "cpu"
    devices: int = 1
    nodes: int = 1
    bf16: bool = False


def launch(machines: Machines, call: Callable[[Fabric], T]) -> T:
    """Call something in every process of a run, and return what the first returned.

    Parameters
    ----------
    machines : Machines
    call : callable
        Gets the Fabric of its process; can be pickled if there is more than one.

    Raises
    ------
    InvalidConfigError
        If Lightning Fabric is not installed, or there are fewer devices.
    SAM2RefinerError
        As the call raised it, in whichever process was first.
    """
    if machines.device == "cuda" and machines.devices > torch.cuda.device_count():
        msg = f"{machines.devices} GPUs are wanted but {torch.cuda.device_count()} can be used; choose fewer devices."
        raise InvalidConfigError(msg)
    fabric = _fabric(machines)
    if machines.devices == machines.nodes == 1:
        fabric.launch()
        return call(fabric)
    errors: SimpleQueue[SAM2RefinerError] = get_context("spawn").SimpleQueue()
    try:
        result: T = fabric.launch(partial(_reporting, call=call, errors=errors))
    except ProcessRaisedException:
        if errors.empty():
            raise
        raise errors.get() from None
    return result


def _fabric(machines: Machines) -> Fabric:
    """Make the Fabric: bfloat16 on GPUs and where it is asked for, float32 elsewhere."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy

        from napari_sam2refiner.training.precision import Bfloat16
    except ImportError as error:
        msg = "training needs Lightning Fabric, which is not installed; run: pip install 'napari-sam2refiner[train]'"
        raise InvalidConfigError(msg) from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
    strategy: Any = "auto"
    if machines.devices * machines.nodes > 1:
        # Which parameters a step uses depends on its prompts.
        strategy = DDPStrategy(
            start_method="spawn" if machines.nodes == 1 else "popen",
            find_unused_parameters=True,
            broadcast_buffers=False,
        )
    half = machines.bf16 or machines.device == "cuda"
    return Fabric(
        accelerator=machines.device,
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy=strategy,
        plugins=[Bfloat16(machines.device)] if half else None,
    )


def _reporting(fabric: Fabric, call: Callable[[Fabric], T], errors: SimpleQueue[SAM2RefinerError]) -> T:
    """Call, and hand on what a user should read: a process of its own can only print it."""
    try:
        result = call(fabric)
    except SAM2RefinerError as error:
        errors.put(error)
        raise
    # Threads of a group that is not taken down may outlive the interpreter's end, and abort the process.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    return result
