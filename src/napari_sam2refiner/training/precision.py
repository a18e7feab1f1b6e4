"""What is computed in bfloat16. Only imported where Lightning Fabric is there."""

from __future__ import annotations

from typing import Any

from lightning_fabric.plugins import MixedPrecision


class Bfloat16(MixedPrecision):
    """bfloat16 for the networks alone: samples stay the plain values that they are, which Fabric would take apart.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        super().__init__("bf16-mixed", device)

    def convert_input(self, data: Any) -> Any:
        """Return them as they are."""
        return data
