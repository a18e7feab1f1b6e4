"""Objects at hand go to files, and those of files into the viewer; what goes wrong is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam2refiner.labels.exchange.formats import FORMATS, export_objects, import_objects
from napari_sam2refiner.labels.exchange.objects import LabelledObjects
from napari_sam2refiner.viewer.exporter import Exporter, ImageAtHand, Wish
from napari_sam2refiner.viewer.segmenter import Job, Outcome, perform


class Office:
    """An exporter with everything around it; its jobs run when told."""

    def __init__(self, at_hand: ImageAtHand | None) -> None:
        self.at_hand = at_hand
        self.added: list[tuple[LabelledObjects, str]] = []
        self.shown: list[tuple[str, bool]] = []
        self.errors: list[str] = []
        self.waiting: list[tuple[Job, Callable[[Outcome], None]]] = []
        self.exporter = Exporter(
            lambda job, done: self.waiting.append((job, done)),
            lambda: self.at_hand,
            lambda: self.at_hand,
            self.add,
            lambda note, busy: self.shown.append((note, busy)),
            self.errors.append,
        )

    def add(self, objects: LabelledObjects, name: str) -> str:
        self.added.append((objects, name))
        return f"{name} [1]"

    def run(self) -> None:
        (job, done) = self.waiting.pop()
        done(perform(job))


@pytest.fixture
def at_hand() -> ImageAtHand:
    labels = np.zeros((3, 20, 30), np.uint32)
    labels[:, 2:8, 2:8], labels[1:, 10:14, 2:8] = 1, 2
    image = np.arange(labels.size * 3).reshape(*labels.shape, 3)
    return ImageAtHand(
        "cells",
        labels.shape,
        labels,
        scores={1: 0.9, 7: 0.1},
        classes={2: "round", 8: "gone"},
        names={2: "left", 8: "right"},
        parents={2: 1, 1: 8},
        scale=(1.0, 0.5, 0.5),
        image=image,
    )


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_each_format(one: Any, at_hand: ImageAtHand, tmp_path: Path) -> None:
    office, path = Office(at_hand), tmp_path / ("a" + (one.suffixes[0] if one.suffixes else ""))
    office.exporter.export(Wish(path, one.name))
    assert office.shown == [(f"Writing {path.name} ...", True)]
    assert not path.exists()
    office.run()
    note, busy = office.shown[-1]
    assert note.startswith(f"{path.name}: 2 objects written as {one.title} in ")
    assert not busy
    assert not office.errors
    if one.name == "csv":
        assert "intensity_mean_2" in path.read_text()
        return
    office.exporter.load(Wish(path, one.name))
    office.run()
    ((objects, name),) = office.added
    assert name == "a"
    np.testing.assert_array_equal(objects.labels, at_hand.labels)
    assert objects.scores == ({1: 0.9} if one.scores else {}), "not of the one that is gone"
    assert objects.classes.get(2, "") == ("round" if one.classes else "")
    assert 8 not in objects.classes
    assert objects.names == ({2: "left"} if one.names else {})
    assert objects.parents == ({2: 1} if one.lineage else {}), "not from one that is gone"
    assert office.shown[-1][0].endswith("See the layer a [1].")


def test_what_the_first_axis_is(at_hand: ImageAtHand, tmp_path: Path) -> None:
    office = Office(at_hand)
    office.exporter.export(Wish(tmp_path / "a.json", stacked="Z"))
    office.run()
    assert import_objects(tmp_path / "a.json").axes == "ZYX"


def test_what_goes_wrong_is_said(at_hand: ImageAtHand, tmp_path: Path) -> None:
    def fails(office: Office, act: Callable[[Wish], None], wish: Wish, message: str) -> None:
        act(wish)
        if office.waiting:
            office.run()
        assert message in office.errors[-1]
        assert office.shown[-1] == (office.errors[-1], False)

    nothing, none = Office(None), Office(ImageAtHand("cells", (20, 30), np.zeros((20, 30), int)))
    fails(nothing, nothing.exporter.export, Wish(tmp_path / "a.json"), "no objects to export; open an image")
    fails(none, none.exporter.export, Wish(tmp_path / "a.json"), "no objects to export; keep some first")
    export_objects(tmp_path / "a.zip", LabelledObjects(np.eye(9, dtype=int)))
    fails(nothing, nothing.exporter.load, Wish(tmp_path / "a.zip"), "open the image first")
    office = Office(at_hand)
    fails(office, office.exporter.load, Wish(tmp_path / "none.json"), "none.json cannot be read")
    fails(office, office.exporter.export, Wish(tmp_path / "a.zip"), "is there already")
    fails(office, office.exporter.export, Wish(tmp_path / "b" / "a.zip"), "there is no folder")
    five = Office(ImageAtHand("cells", (1, 2, 2, 4, 4), np.ones((1, 2, 2, 4, 4), int)))
    fails(five, five.exporter.export, Wish(tmp_path / "b.json"), "the labels have 5 axes")
    office.exporter.export(Wish(tmp_path / "a.zip", overwrite=True))
    office.run()
    assert "2 objects" in office.shown[-1][0]
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]
