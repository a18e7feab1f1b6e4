"""Who follows whom: tracks without gaps, links across them, and tracks found by links."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam2refiner.errors import InvalidLabelsError, ReadError
from napari_sam2refiner.labels.exchange.lineage import (
    Track,
    as_tracks,
    links_of,
    nodes_of,
    read_tracks,
    tracks_along,
)
from napari_sam2refiner.labels.exchange.objects import LabelledObjects


def test_ids_stay_where_they_fit_16_bits() -> None:
    frames = [np.array([[5, 5, 9]]), np.array([[0, 0, 9]]), np.array([[5, 0, 9]])]
    out, tracks = as_tracks(frames, {5: 9, 9: 33})
    assert tracks == [Track(5, 0, 0, 9), Track(9, 0, 2, 0), Track(10, 2, 2, 5)]
    assert [labels.tolist() for labels in out] == [[[5, 5, 9]], [[0, 0, 9]], [[10, 0, 9]]]
    _, tracks = as_tracks([np.where(labels == 9, 65535, labels) for labels in frames], {})
    assert [track.label for track in tracks] == [1, 2, 3]


def test_more_tracks_than_fit_are_refused() -> None:
    with pytest.raises(InvalidLabelsError, match="there are 65536 tracks"):
        as_tracks([np.arange(1, 65537).reshape(256, 256)], {})


def test_links_reach_over_gaps_and_from_mothers_to_daughters() -> None:
    labels = np.zeros((4, 1, 6), int)
    labels[[0, 1, 3], 0, 0] = 7
    labels[2:, 0, 3:5] = 2
    nodes = nodes_of(LabelledObjects(labels, "TYX"))
    named = [
        (nodes[a].object_id, nodes[a].frame, nodes[b].object_id, nodes[b].frame) for a, b in links_of(nodes, {2: 7})
    ]
    assert sorted(named) == [(2, 2, 2, 3), (7, 0, 7, 1), (7, 1, 2, 2), (7, 1, 7, 3)]
    (there,) = [node for node in nodes if (node.object_id, node.frame) == (2, 3)]
    assert (there.middle, there.pixels) == ((0.0, 3.5), 2)
    assert links_of(nodes, {7: 2, 99: 7, 2: 98}) == links_of(nodes, {}), "a mother that is not there before is none"


def test_tracks_are_found_by_links() -> None:
    links = [("a", "b"), ("b", "c"), ("b", "d"), ("d", "e"), ("x", "y"), ("e", "f"), ("y", "f")]
    numbers, parents = tracks_along("abcdexyf", links)
    assert numbers == {"a": 1, "b": 1, "c": 2, "d": 3, "e": 3, "x": 4, "y": 4, "f": 5}
    assert parents == {2: 1, 3: 1, 5: 3}


@pytest.mark.parametrize("text", ["1 0 3", "1 0 x 0", "1,0,3,0"])
def test_a_table_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "man_track.txt").write_text(text)
    with pytest.raises(ReadError, match=r"man_track\.txt cannot be read .*; give rows of an id"):
        read_tracks(tmp_path / "man_track.txt")
