"""A viewer with the dock and a user, for tests of what happens in a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bench import Bench


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(image: Any = None, layer: dict[str, Any] | None = None, viewer: Any = None, **options: Any) -> Bench:
        viewer = viewer or make_napari_viewer_proxy(show=True)
        if layer is not None or image is not None:
            viewer.add_image(np.zeros((60, 80)) if image is None else image, **{"name": "cells", **(layer or {})})
        made.append(Bench(viewer, qtbot, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
        bench.dock = bench.viewer = None
