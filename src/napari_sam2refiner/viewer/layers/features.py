"""What is known of objects, in the features of a labels layer: napari shows them under the mouse and saves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_sam2refiner.viewer.objects import Described, Named

if TYPE_CHECKING:
    from napari.layers import Labels

INDEX = "index"  # by which napari finds the row of a label
OURS = ("name", "class", "score")


def read_names(layer: Labels) -> dict[int, Named]:
    """Return the names and classes of objects, by id; objects without either are left out."""
    table = _indexed(layer)
    columns = (table[column] if column in table else pd.Series("", table.index) for column in OURS[:2])
    rows = zip(table.index, *columns, strict=True)
    named = {int(object_id): Named(_text(name), _text(kind)) for object_id, name, kind in rows}
    return {object_id: one for object_id, one in named.items() if one}


def read_scores(layer: Labels) -> dict[int, float]:
    """Return how sure a model was of objects, by id, as far as it is noted."""
    return _numbers(layer, "score")


def read_parents(layer: Labels) -> dict[int, int]:
    """Return which objects came of which, by id; 0 and what is no id stand for none."""
    return {child: int(parent) for child, parent in _numbers(layer, "parent").items() if parent >= 1}


def describe(layer: Labels, described: Mapping[int, Described]) -> None:
    """Write what is known of objects, by id; columns and rows of others stay as they are."""
    table = _indexed(layer)
    for column in OURS:
        if column not in table:
            table[column] = pd.Series(float("nan") if column == "score" else None, table.index, _kind(column))
        table[column] = table[column].astype(_kind(column))
    ids = pd.Index(described, dtype=int)
    table = table.reindex(table.index.union(ids).sort_values())
    known = described.values()
    table.loc[ids, "name"] = np.array([one.named.name or None for one in known], object)
    table.loc[ids, "class"] = np.array([one.named.kind or None for one in known], object)
    table.loc[ids, "score"] = [float("nan") if one.score is None else round(one.score, 4) for one in known]
    is_gone = table.loc[ids].isna().all(axis=1)
    layer.features = table.drop(index=ids[is_gone]).rename_axis(INDEX).reset_index()


def _numbers(layer: Labels, column: str) -> dict[int, float]:
    """Return the numbers in a column, by id; also where they are noted as text."""
    table = _indexed(layer)
    if column not in table:
        return {}
    found = pd.to_numeric(table[column], errors="coerce").dropna()
    return {int(object_id): float(value) for object_id, value in found.items()}


def _indexed(layer: Labels) -> pd.DataFrame:
    """Return a copy of the features by label; without a column that says so, napari takes the row for the label."""
    table = layer.features.copy()
    if INDEX in table:
        table[INDEX] = pd.to_numeric(table[INDEX], errors="coerce")
        table = table.dropna(subset=INDEX).drop_duplicates(INDEX).set_index(INDEX)
    table.index = table.index.astype(int)
    return table


def _kind(column: str) -> Any:
    return float if column == "score" else object


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)
