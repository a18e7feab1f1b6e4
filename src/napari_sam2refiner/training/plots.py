"""The curves of a run, from its log.csv and validation.csv; needs matplotlib (extra `train`)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2refiner.errors import ReadError, SAM2RefinerError, SaveError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = dict[str, npt.NDArray[np.float64]]

TRAINING = {
    "iou_1": "after the first prompt",
    "iou_last": "after the last",
    "iou_best": "best level, first prompt",
    "iou_chosen": "chosen by the scores",
    "iou_possible": "best of all masks",
    "iou_base": "base",
    "iou_refined": "refined",
    "harmed": "share harmed",
    "iou_found": "found",
    "iou_copied": "the mask before, copied",
}
MEANS = {
    "mean_1": ("k.-", "mean, 1 click"),
    "mean_3": ("k.--", "mean, 3 clicks"),
    "mean_base_1": (".-", "mean of the base, 1 click"),
    "mean_base_3": (".--", "mean of the base, 3 clicks"),
    "mean_refined_1": ("k.-", "mean refined, 1 click"),
    "mean_refined_3": ("k.--", "mean refined, 3 clicks"),
    "mean_found": ("k.-", "mean, found"),
    "mean_copied": (".--", "mean, copied"),
}
SETS = {"_1": "1 click", "_found": "found"}  # endings of the columns of each set


def draw_curves(folder: Path) -> Path:
    """Draw the loss, the IoU on training crops, and the IoU on held-out crops of a run against its steps.

    Parameters
    ----------
    folder : Path
        Of the run, with log.csv and, if it has validated, validation.csv.

    Returns
    -------
    Path
        Of curve.png in that folder.

    Raises
    ------
    SAM2RefinerError
        If matplotlib is not installed.
    ReadError
        If there is no log, or it is none.
    SaveError
        If the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "curves need matplotlib, which is not installed; run: pip install 'napari-sam2refiner[train]'"
        raise SAM2RefinerError(msg) from error
    log = _read(folder / "log.csv")
    held_out = _read(folder / "validation.csv") if (folder / "validation.csv").exists() else None
    figure = Figure(figsize=(13, 4), layout="constrained", dpi=110)
    loss, training, validation = figure.subplots(1, 3)
    loss.plot(log["step"], log["loss"])
    loss.set(title=f"loss ({log['minutes'][-1]:.0f} minutes)", xlabel="step")
    for name in (name for name in TRAINING if name in log):
        training.plot(log["step"], log[name], label=TRAINING[name])
    training.set(title="IoU on training crops, running means", xlabel="step", ylim=(0, 1))
    training.legend(loc="lower right")
    validation.set(title="IoU on held-out crops, averaged weights", xlabel="step", ylim=(0, 1))
    if held_out is not None:
        _draw_validation(validation, held_out)
    path = folder / "curve.png"
    try:
        figure.savefig(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}); choose a folder that can be written."
        raise SaveError(msg) from error
    return path


def _draw_validation(axes: Axes, table: Table) -> None:
    """Draw the means, and the first column of each set."""
    for ending, what in SETS.items():
        for name, values in table.items():
            if name.endswith(ending) and name not in MEANS and "_base_" not in name:
                set_name = name.removesuffix(ending).removesuffix("_refined")
                axes.plot(table["step"], values, ".-", linewidth=0.7, alpha=0.7, label=f"{set_name}, {what}")
    for name, (style, label) in MEANS.items():
        if name in table:
            axes.plot(table["step"], table[name], style, label=label)
    axes.legend(loc="lower right", fontsize=6)


def _read(path: Path) -> Table:
    """Read a table of numbers by column."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
        table["step"][0], table["minutes"][0]
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}); give the folder of a run."
        raise ReadError(msg) from error
    except (ValueError, TypeError, LookupError) as error:
        msg = f"{path} is not the log of a run, or has no row yet ({error}); give the folder of a run."
        raise ReadError(msg) from error
    return table
