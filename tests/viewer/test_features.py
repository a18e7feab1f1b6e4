"""What is known of objects stands in the features of the result; what others wrote there stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels

from napari_sam2refiner.viewer.layers.features import describe, read_names
from napari_sam2refiner.viewer.objects import Described, Named


@pytest.fixture
def layer() -> Labels:
    return Labels(np.zeros((4, 5), np.uint32))


def test_what_is_written_is_read_and_goes_again(layer: Labels) -> None:
    describe(layer, {7: Described(Named("Anna", ""), 0.5), 2: Described(Named("", "round"), None)})
    assert layer.features["index"].tolist() == [2, 7]
    assert layer.features["score"].tolist() == pytest.approx([np.nan, 0.5], nan_ok=True)
    assert read_names(layer) == {2: Named("", "round"), 7: Named("Anna")}
    describe(layer, {7: Described(Named(), 0.5), 2: Described(Named(), None)})
    assert layer.features["index"].tolist() == [7]
    assert read_names(layer) == {}


@pytest.mark.parametrize("index", [[1, 3], None])
def test_columns_of_others_stay(layer: Labels, index: list[int] | None) -> None:
    """Without a column of labels, napari takes the row for the label."""
    layer.features = pd.DataFrame({"marker": [0.1, 0.2], **({} if index is None else {"index": index})})
    describe(layer, {3: Described(Named("Ben"), None)})
    describe(layer, {3: Described(Named(), None), 9: Described(Named(), 0.8)})
    table = layer.features.set_index("index")
    expected = {1: 0.1, 3: 0.2} if index else {0: 0.1, 1: 0.2}
    assert table["marker"].dropna().to_dict() == expected
    assert table.loc[9, "score"] == 0.8


def test_of_two_rows_of_a_label_the_first_counts_and_one_of_none_is_nothing(layer: Labels) -> None:
    assert read_names(layer) == {}
    layer.features = pd.DataFrame({"index": [1, 1], "name": ["Anna", None]})
    assert read_names(layer) == {1: Named("Anna")}
    layer.features = pd.DataFrame({"index": ["cell", 2], "name": ["Anna", "Ben"]})
    assert read_names(layer) == {2: Named("Ben")}
