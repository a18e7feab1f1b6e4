"""Objects over time: their tracks, and what they came from."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidLabelsError, ReadError
from napari_sam2refiner.labels.exchange.objects import LabelledObjects, boxes_in
from napari_sam2refiner.labels.write import ids_in

MOST = 65535  # labels in a file of the Cell Tracking Challenge

Labels = npt.NDArray[Any]


class Track(NamedTuple):
    """A row of man_track.txt: an object on every frame from first to last, and what it came from (0: nothing)."""

    label: int
    first: int
    last: int
    parent: int


class Node(NamedTuple):
    """An object on a frame: where its middle is and how large it is, in pixels, and the box around it."""

    object_id: int
    frame: int
    middle: tuple[float, ...]
    pixels: int
    box: tuple[slice, ...]


def read_tracks(path: Path) -> list[Track]:
    """Read a table as man_track.txt is.

    Raises
    ------
    ReadError
        If it is none.
    """
    try:
        rows = [[int(word) for word in line.split()] for line in path.read_text(encoding="utf-8").splitlines()]
        return [Track(*row) for row in rows if row]
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path} cannot be read ({error}); give rows of an id, first and last frame, and a parent or 0."
        raise ReadError(msg) from error


def as_tracks(frames: Sequence[Labels], parents: Mapping[int, int]) -> tuple[list[Labels], list[Track]]:
    """Split every object that is away for some frames into one track for each stay, since a track has no gaps.

    The first stay has the object's id where 16 bits hold all of them; else all are numbered from 1. A later stay has
    an id of its own, and the stay before as its parent; a parent that is nowhere is none.

    Returns
    -------
    list of (Y, X) or (Z, Y, X) uint16 array
    list of Track

    Raises
    ------
    InvalidLabelsError
        If there are more tracks than 16 bits hold.
    """
    where: dict[int, list[int]] = {}
    for t, labels in enumerate(frames):
        for number in ids_in(labels):
            where.setdefault(number, []).append(t)
    stays = {n: np.split(times, np.flatnonzero(np.diff(times) > 1) + 1) for n, times in sorted(where.items())}
    count = sum(map(len, stays.values()))
    if count > MOST:
        msg = f"there are {count} tracks, but their files hold {MOST}; take fewer frames."
        raise InvalidLabelsError(msg)
    largest = max(stays, default=0)
    fits = largest + count - len(stays) <= MOST
    free = largest if fits else len(stays)
    tracks, last, renamed = [], {}, [dict[int, int]() for _ in frames]
    for place, (number, parts) in enumerate(stays.items(), 1):
        later = range(free + 1, free + len(parts))
        free += len(later)
        labels_of = (number if fits else place, *later)
        last[number] = labels_of[-1]
        for label, stay in zip(labels_of, parts, strict=True):
            tracks.append((number, label, stay))
            for t in stay:
                renamed[t][number] = label
    rows = []
    before: dict[int, int] = {}
    for number, label, stay in tracks:
        parent = before.get(number, last.get(parents.get(number, 0), 0))
        rows.append(Track(label, int(stay[0]), int(stay[-1]), parent))
        before[number] = label
    return [_renamed(labels, names) for labels, names in zip(frames, renamed, strict=True)], sorted(rows)


def _renamed(labels: Labels, names: Mapping[int, int]) -> Labels:
    """Return labels under other names."""
    if not names:
        return np.zeros(labels.shape, np.uint16)
    ids = np.array([0, *names], np.uint64)
    order = np.argsort(ids)
    values = np.array([0, *names.values()], np.uint16)
    found: Labels = values[order][np.searchsorted(ids[order], labels.astype(np.uint64))]
    return found


def nodes_of(objects: LabelledObjects) -> list[Node]:
    """Return every object on every frame, frame by frame."""
    nodes = []
    for t, labels in enumerate(objects.frames):
        for object_id, box in boxes_in(labels).items():
            places = np.argwhere(labels[box] == object_id)
            middle = places.mean(axis=0) + [part.start for part in box]
            nodes.append(Node(object_id, t, tuple(map(float, middle)), len(places), box))
    return nodes


def links_of(nodes: Sequence[Node], parents: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return what follows what, as places in the list: each object itself, and its parent's last frame before it."""
    stays: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        stays.setdefault(node.object_id, []).append(place)
    links = [link for places in stays.values() for link in itertools.pairwise(places)]
    for child, parent in parents.items():
        first = stays.get(child, [None])[0]
        if first is not None:
            before = [place for place in stays.get(parent, []) if nodes[place].frame < nodes[first].frame]
            links += [(before[-1], first)] if before else []
    return sorted(links)


def tracks_along(
    nodes: Iterable[Hashable], links: Sequence[tuple[Hashable, Hashable]]
) -> tuple[dict[Hashable, int], dict[int, int]]:
    """Number objects anew by what follows what: one ends where it divides or merges.

    Returns
    -------
    dict
        The object of each node, from 1.
    dict
        What objects came from; of those that merged, the first.
    """
    children: dict[Hashable, list[Hashable]] = {}
    sources: dict[Hashable, list[Hashable]] = {}
    for source, target in links:
        children.setdefault(source, []).append(target)
        sources.setdefault(target, []).append(source)

    def goes_on(node: Hashable) -> bool:
        return len(sources.get(node, [])) == 1 and len(children[sources[node][0]]) == 1

    numbers: dict[Hashable, int] = {}
    parents: dict[int, int] = {}
    starts = [node for node in nodes if not goes_on(node)]
    for number, start in enumerate(starts, 1):
        node = start
        numbers[node] = number
        while len(after := children.get(node, [])) == 1 and goes_on(after[0]):
            node = after[0]
            numbers[node] = number
    for start in starts:
        if start in sources:
            parents[numbers[start]] = numbers[sources[start][0]]
    return numbers, parents
