from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import FakeSession, FakeSource

from napari_sam2refiner.errors import ReadError, UnknownModelError
from napari_sam2refiner.planes.plane import PlaneIndex
from napari_sam2refiner.viewer.marks import Marks
from napari_sam2refiner.viewer.segmenter import Job, Request, Segmenter, perform


def silent(_: float) -> None:
    """Tell nobody."""


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def segmenter(log: list[Any]) -> Segmenter:
    segmenter = Segmenter(lambda name, _: name, lambda _: FakeSession(log), planes=2)
    segmenter.load("micro", silent)
    return segmenter


def test_a_plane_is_read_once_and_the_oldest_is_forgotten(segmenter: Segmenter, log: list[Any]) -> None:
    source = FakeSource(np.zeros((5, 20, 30)))
    marks = Marks(((5, 5, True),))
    for step in (0, 0, 1, 0, 2, 0, 1):
        segmenter.answer(Request(source, PlaneIndex((step, 0, 0), (1, 2)), marks), silent)
    assert [entry for entry in log if entry[0] == "image"] == [("image", (20, 30))] * 4


def test_transposed_and_coloured_planes(segmenter: Segmenter, log: list[Any]) -> None:
    segmenter.prepare(Request(FakeSource(np.zeros((5, 20, 30))), PlaneIndex((3, 0, 0), (2, 1))), silent)
    segmenter.prepare(Request(FakeSource(np.zeros((20, 30, 3))), PlaneIndex((0, 0, 0), (0, 1), 2)), silent)
    assert log == [("image", (30, 20)), ("image", (20, 30, 3))]


def test_nothing_without_a_model() -> None:
    segmenter = Segmenter(lambda name, _: name, lambda _: FakeSession())
    with pytest.raises(UnknownModelError, match="choose one"):
        segmenter.prepare(Request(FakeSource(np.zeros((4, 4))), PlaneIndex((0, 0))), silent)


def test_a_plane_that_cannot_be_read_is_named(segmenter: Segmenter) -> None:
    class Broken:
        shape, ndim, dtype = (3, 8, 8), 3, np.dtype(float)

        def __getitem__(self, _: object) -> None:
            msg = "chunk is gone"
            raise OSError(msg)

    request = Request(FakeSource(Broken()), PlaneIndex((2, 0, 0)))  # type: ignore[arg-type]
    with pytest.raises(ReadError, match=r"\(2, 0, 0\).*chunk is gone"):
        segmenter.prepare(request, silent)


@pytest.mark.parametrize(
    ("error", "words"), [(MemoryError(), "not enough memory"), (ValueError("odd"), "ValueError: odd")]
)
def test_whatever_is_raised_becomes_a_sentence(error: Exception, words: str) -> None:
    def work(_: Any) -> None:
        raise error

    outcome = perform(Job("answer", work))
    assert words in outcome.error
    assert "\n" not in outcome.error
