"""SEG and TRA of the Cell Tracking Challenge, where a user clicks every object once, on the first frame it is on.

Nothing else is given: neither where an object goes nor when it divides, so that each daughter is clicked too. The
measures are those of py-ctcmetrics, on folders laid out as the challenge wants them
(https://celltrackingchallenge.net/evaluation-methodology; TRA: Matula et al., 10.1371/journal.pone.0144959).
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2refiner.errors import InvalidConfigError, ReadError
from napari_sam2refiner.labels.exchange.lineage import Track, as_tracks
from napari_sam2refiner.labels.thresholds import otsu_watershed
from napari_sam2refiner.labels.write import ids_in, next_free_id
from napari_sam2refiner.planes.intensity import rescale
from napari_sam2refiner.prompts import Prompts
from napari_sam2refiner.sessions.stack import StackSession
from napari_sam2refiner.simulated_user import deepest_point

if TYPE_CHECKING:
    from napari_sam2refiner.datasets.sequences import AnnotatedSequence
    from napari_sam2refiner.network.refiner import SAM2Refiner
    from napari_sam2refiner.network.window_memory import WindowMemory

Labels = npt.NDArray[Any]
Tracker = Callable[["AnnotatedSequence", range], Iterator[Labels]]
"""(sequence, frames) to the objects of each frame, in their order."""


class Tracked(NamedTuple):
    """Figures of one way to track a sequence.

    Attributes
    ----------
    frames, tracks : int
        Frames with truth, and tracks on them.
    seg, tra : float
        `seg` is nan where nothing is outlined on these frames.
    """

    frames: int
    tracks: int
    seg: float
    tra: float


def measure_tracks(sequence: AnnotatedSequence, trackers: dict[str, Tracker], frames: int | None) -> dict[str, Tracked]:
    """Let each tracker follow all objects of a sequence, and measure it on the frames that have truth.

    Parameters
    ----------
    sequence : AnnotatedSequence
    trackers : dict of str to callable
    frames : int, optional
        The first ones only.

    Raises
    ------
    ReadError
        If no object is on these frames.
    InvalidConfigError
        If py-ctcmetrics is not installed.
    """
    try:
        from ctc_metrics.scripts.evaluate import evaluate_sequence
    except ImportError as error:
        msg = "SEG and TRA need py-ctcmetrics; install it by: pip install 'napari-sam2refiner[evaluate]'."
        raise InvalidConfigError(msg) from error
    span = range(len(sequence))[:frames]
    known = {t: truth for t in span if (truth := sequence.truth(t)) is not None}
    if not any(truth.any() for truth in known.values()):
        msg = f"{sequence.name} has no object on its first {len(span)} frames; ask for more frames, or leave it out."
        raise ReadError(msg)
    found = {}
    with tempfile.TemporaryDirectory() as place:
        gold = Path(place, "01_GT")
        tracks = _write(gold / "TRA", "man_track", list(known.values()), sequence.parents)
        (gold / "SEG").mkdir()
        for i, t in enumerate(known):
            if (outlines := sequence.outlines(t)) is not None:
                tifffile.imwrite(gold / "SEG" / f"man_seg{i:04}.tif", as_tracks([outlines], {})[0][0])
        measures = ["SEG", "TRA"] if any((gold / "SEG").iterdir()) else ["TRA"]
        for n, (who, tracker) in enumerate(trackers.items()):
            result = Path(place, f"{n:02}_RES")
            labels = [one for t, one in zip(span, tracker(sequence, span), strict=True) if t in known]
            measured = {"SEG": 0.0, "TRA": 0.0}
            if _write(result, "mask", labels, {}):
                with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it prints what it does, and warns of frames without objects
                    measured = evaluate_sequence(str(result), str(gold), list(measures), threads=1)
            seg = float(measured["SEG"]) if "SEG" in measures else float("nan")
            found[who] = Tracked(len(known), len(tracks), seg, float(measured["TRA"]))
    return found


def _write(folder: Path, name: str, frames: Sequence[Labels], parents: Mapping[int, int]) -> list[Track]:
    """Write labels as the challenge wants them, with their tracks."""
    folder.mkdir(parents=True)
    frames, tracks = as_tracks(frames, parents)
    for i, labels in enumerate(frames):
        tifffile.imwrite(folder / f"{name}{i:04}.tif", labels)
    lines = [" ".join(map(str, track)) for track in tracks]
    table = "man_track.txt" if name == "man_track" else "res_track.txt"
    (folder / table).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tracks


def clicked_once(model: SAM2Refiner, memory: WindowMemory | None = None) -> Tracker:
    """Track by a stack session: every object gets one click in its middle on the first frame it is on."""

    def tracker(sequence: AnnotatedSequence, frames: range) -> Iterator[Labels]:
        stack, given = StackSession(model, sequence, memory=memory), set[int]()
        for t in frames:
            if (truth := sequence.truth(t)) is None:
                continue
            for number in sorted(set(ids_in(truth)) - given):
                point = deepest_point(truth == number)
                assert point is not None, "it is there"
                stack.add(number, t, Prompts(points=[point]))
                given.add(number)
        for frame in stack.propagate("forward", frames):
            yield frame.labels

    return tracker


def otsu_by_overlap(sequence: AnnotatedSequence, frames: range) -> Iterator[Labels]:
    """Track the parts of Otsu's threshold and a watershed: each goes on as what it overlaps most with, or is new."""
    before: Labels | None = None
    free = 1
    for t in frames:
        parts = otsu_watershed(rescale(sequence[t]))
        labels = np.zeros_like(parts)
        taken = set[int]()
        sizes = np.bincount(parts.ravel())
        for part in sorted(ids_in(parts), key=lambda part: -sizes[part]):
            under = np.zeros(1, int) if before is None else np.bincount(before[parts == part], minlength=2)
            number = int(under[1:].argmax()) + 1 if under[1:].any() else 0
            if not number or number in taken:
                number, free = free, free + 1
            taken.add(number)
            labels[parts == part] = number
        before, free = labels, max(free, next_free_id(labels))
        yield labels
