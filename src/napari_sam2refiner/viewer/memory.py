"""What the process holds in memory, and how it is given back; no torch unless it is there already."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

STATM = Path("/proc/self/statm")


def resident() -> int | None:
    """Return the bytes of memory that the process takes up now; None where the system does not say."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def give_back() -> None:
    """Give what nobody refers to any more back to the system, and what torch holds in reserve on a GPU to others."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()
    with suppress(AttributeError, OSError, TypeError):  # glibc alone has it; it keeps freed memory otherwise
        ctypes.CDLL(None).malloc_trim(0)
