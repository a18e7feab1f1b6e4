"""A scribble says what a few points say: a line drawn by hand becomes points along it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import InvalidPromptError

MOST_POINTS = 10
FULL_TURN = 2 * np.pi
ROUNDING = 1e-6  # of a spacing: so much longer is no longer


def sample_path(
    vertices: npt.NDArray[Any], spacing: float, most: int = MOST_POINTS, turn: float = np.pi / 2
) -> npt.NDArray[np.float64]:
    """Return points along a line, closer together where it bends.

    The line is measured by its length, plus one spacing for each `turn` of its direction; points stand at equal
    measures. Only the line counts: vertices more or fewer on it change nothing. Bends of less than a quarter of a
    spacing are taken for a shaking hand.

    Parameters
    ----------
    vertices : (V, 2) array
        Of the line, in order; at least one.
    spacing : float
        Neighbouring points are not farther from each other along the line, unless that would take more than `most`.
    most : int
        Points at most; 2 or more.
    turn : float
        Angle in radians that counts as much as one spacing.

    Returns
    -------
    (N, 2) float array
        On the line, in its order; the first and the last are its ends. One point for a line of no length.

    Raises
    ------
    InvalidPromptError
        If these are not vertices, or the numbers not positive.
    """
    line = np.asarray(vertices, dtype=np.float64)
    if line.ndim != 2 or line.shape[1] != 2 or not len(line) or not np.isfinite(line).all():
        msg = f"a scribble has vertices of shape {line.shape}; give rows of two finite numbers, (V, 2)."
        raise InvalidPromptError(msg)
    if spacing <= 0 or turn <= 0 or most < 2:
        msg = f"spacing {spacing}, turn {turn} and most {most} are too small; give positive ones, and 2 or more points."
        raise InvalidPromptError(msg)
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    if lengths[-1] < ROUNDING * spacing:
        return line[:1]
    steps = np.linspace(0, lengths[-1], 1 + max(2, _count(lengths[-1], spacing / 4)))
    measure = _measure(_along(line, lengths, steps), steps, spacing / turn)
    count = 1 + min(most - 1, max(1, _count(measure[-1], spacing)))
    places = np.interp(np.linspace(0, measure[-1], count), measure, steps)
    return _along(line, lengths, places)


def _count(length: float, step: float) -> int:
    """Return how many steps it takes."""
    return int(np.ceil(length / step - ROUNDING))


def _along(
    line: npt.NDArray[np.float64], lengths: npt.NDArray[np.float64], places: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the points of a line at distances from its beginning."""
    return np.stack([np.interp(places, lengths, line[:, axis]) for axis in (0, 1)], axis=1)


def _measure(chords: npt.NDArray[np.float64], steps: npt.NDArray[np.float64], weight: float) -> npt.NDArray[np.float64]:
    """Return the measure at each end of a chord: the length so far, and `weight` for each radian turned so far."""
    moves = np.diff(chords, axis=0)
    # A chord whose ends meet, where the line has turned back, goes no way of its own: it goes on as the one before.
    moving = np.flatnonzero(np.hypot(*moves.T) > ROUNDING * steps[1])
    before = np.searchsorted(moving, np.arange(len(moves)), side="right") - 1
    headings = np.arctan2(*moves[moving[np.maximum(before, 0)]].T) if len(moving) else np.zeros(len(moves))
    turned = np.abs((np.diff(headings) + np.pi) % FULL_TURN - np.pi)
    # A turn lies between two chords: half of it counts to each.
    around = np.concatenate([[0.0], turned / 2]) + np.concatenate([turned / 2, [0.0]])
    return np.asarray(steps + weight * np.concatenate([[0.0], np.cumsum(around)]))
